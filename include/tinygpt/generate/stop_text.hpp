// Stop strings: where a text ends that a model writes.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/error.hpp>

namespace tinygpt {

/// Watches a text as it is written, piece by piece, for the first of several strings, which may be spread over pieces.
///
///   StopText stop({"\n\n", "User:"});
///   std::cout << stop.push(piece);        // what is surely before a stop string
///   if (stop.stopped()) ...               // nothing more will come
///   std::cout << stop.finish();           // at the end: what could have become one
class StopText {
 public:
  /// Without strings, every piece passes at once. Throws an Error where a string is empty.
  explicit StopText(std::vector<std::string> strings = {}) : strings_(std::move(strings)) {
    for (const std::string& s : strings_) {
      if (s.empty()) throw Error("a stop string is empty: give at least one character, or leave it out");
      longest_ = std::max(longest_, s.size());
    }
  }

  /// Takes the next piece; gives what may be shown: neither a stop string, nor what could be the beginning of one.
  std::string push(std::string_view piece) {
    if (stopped_) return {};
    held_ += piece;
    std::size_t end = std::string::npos;
    for (const std::string& s : strings_) end = std::min(end, held_.find(s));
    stopped_ = end != std::string::npos;
    if (!stopped_) end = held_.size() - possible_beginning();
    std::string sure = held_.substr(0, end);
    held_.erase(0, stopped_ ? held_.size() : end);
    return sure;
  }

  /// Did a stop string come? It was not given out, nor what followed it.
  bool stopped() const { return stopped_; }

  /// What push() held back, where the text ends without a stop string.
  std::string finish() { return std::exchange(held_, {}); }

 private:
  /// How many of the last bytes are the beginning of a stop string.
  std::size_t possible_beginning() const {
    for (std::size_t n = std::min(held_.size(), longest_); n > 0; --n) {
      const std::string_view last = std::string_view(held_).substr(held_.size() - n);
      const auto begins = [&](const std::string& s) { return s.starts_with(last); };
      if (std::any_of(strings_.begin(), strings_.end(), begins)) return n;
    }
    return 0;
  }

  std::vector<std::string> strings_;
  std::size_t longest_ = 0;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace tinygpt
