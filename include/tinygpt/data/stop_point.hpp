// Long work can be ended from outside: reads and writes of files ask between two pieces whether they should go on.
#pragma once

namespace tinygpt {

/// Thrown at a stop point. Not an exception of the standard library, so that nobody takes it for a fault; destructors
/// on its way remove what was not finished.
struct Interrupted {};

namespace stop_point {
/// Is this thread's work to end? Null where nobody asks.
inline thread_local bool (*wanted)() = nullptr;
}  // namespace stop_point

/// Throws Interrupted where this thread's work is to end.
inline void may_stop_here() {
  if (stop_point::wanted != nullptr && stop_point::wanted()) throw Interrupted();
}

/// While it lives, reads and writes of this thread end where wanted() is true.
class StopPoints {
 public:
  explicit StopPoints(bool (*wanted)()) : before_(stop_point::wanted) { stop_point::wanted = wanted; }
  StopPoints(const StopPoints&) = delete;
  StopPoints& operator=(const StopPoints&) = delete;
  ~StopPoints() { stop_point::wanted = before_; }

 private:
  bool (*before_)();
};

}  // namespace tinygpt
