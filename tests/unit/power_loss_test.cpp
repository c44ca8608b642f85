// A checkpoint that is being saved when the process dies, at each system call that changes the disk, and when the power
// goes, with every loss that a disk is allowed: the run loads the checkpoint before, or the new one.
//
// The functions below take the place of the C library's in this program. They record what they are asked for where a
// test wants it, and do it.
#include <catch.hpp>

#include <dlfcn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdarg>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <scratch.hpp>

#include <tinygpt/io/model_files.hpp>
#include <tinygpt/io/run_directory.hpp>

namespace {

/// What was asked of the disk.
struct Event {
  enum class Kind { nothing, make_directory, create, write, sync, sync_directory, rename, exchange, remove } kind;
  std::string path, to = {}, bytes = {};
};

struct Recorder {
  std::string root;  ///< of the paths that count; none while it is empty
  std::vector<Event> events;
  std::map<int, std::string> open;  ///< path of each descriptor
  int die_at = -1;                  ///< number of the call at which the process ends
};
Recorder recorder;

/// The absolute path, where it counts.
std::optional<std::string> counted(int directory, const char* path) {
  if (recorder.root.empty() || path == nullptr) return std::nullopt;
  std::string whole = path;
  if (path[0] != '/') {
    const auto base = recorder.open.find(directory);
    if (base == recorder.open.end()) return std::nullopt;
    whole = base->second + "/" + path;
  }
  if (!whole.starts_with(recorder.root)) return std::nullopt;
  return whole;
}

void note(Event event) {
  if (static_cast<int>(recorder.events.size()) == recorder.die_at) ::_exit(77);
  recorder.events.push_back(std::move(event));
}

template <class Function> Function next_of(const char* name) { return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name)); }

int opened(int fd, int directory, const char* path, int flags) {
  if (fd < 0) return fd;
  if (const auto whole = counted(directory, path)) {
    recorder.open[fd] = *whole;
    if ((flags & O_CREAT) != 0) note({Event::Kind::create, *whole});
  }
  return fd;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const auto mode = va_arg(more, mode_t);
  va_end(more);
  static const auto real = next_of<int (*)(const char*, int, ...)>("open");
  return opened(real(path, flags, mode), AT_FDCWD, path, flags);
}
int openat(int directory, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const auto mode = va_arg(more, mode_t);
  va_end(more);
  static const auto real = next_of<int (*)(int, const char*, int, ...)>("openat");
  return opened(real(directory, path, flags, mode), directory, path, flags);
}
int fcntl(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  void* const argument = va_arg(more, void*);
  va_end(more);
  static const auto real = next_of<int (*)(int, int, ...)>("fcntl");
  const int result = real(fd, command, argument);
  if (!recorder.root.empty() && result >= 0 && command == F_DUPFD_CLOEXEC && recorder.open.contains(fd)) recorder.open[result] = recorder.open[fd];
  return result;
}
int close(int fd) {
  static const auto real = next_of<int (*)(int)>("close");
  if (!recorder.root.empty()) recorder.open.erase(fd);
  return real(fd);
}
ssize_t write(int fd, const void* bytes, size_t size) {
  static const auto real = next_of<ssize_t (*)(int, const void*, size_t)>("write");
  if (!recorder.root.empty() && recorder.open.contains(fd)) {
    note({Event::Kind::write, recorder.open[fd], "", std::string(static_cast<const char*>(bytes), size)});
  }
  return real(fd, bytes, size);
}
int fsync(int fd) {
  static const auto real = next_of<int (*)(int)>("fsync");
  if (!recorder.root.empty() && recorder.open.contains(fd)) {
    struct stat status {};
    const bool directory = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    note({directory ? Event::Kind::sync_directory : Event::Kind::sync, recorder.open[fd]});
  }
  return real(fd);
}
int mkdir(const char* path, mode_t mode) {
  static const auto real = next_of<int (*)(const char*, mode_t)>("mkdir");
  if (const auto whole = counted(AT_FDCWD, path)) note({Event::Kind::make_directory, *whole});
  return real(path, mode);
}
int rename(const char* from, const char* to) {
  static const auto real = next_of<int (*)(const char*, const char*)>("rename");
  if (const auto whole = counted(AT_FDCWD, from)) note({Event::Kind::rename, *whole, to});
  return real(from, to);
}
int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) {
  static const auto real = next_of<int (*)(int, const char*, int, const char*, unsigned)>("renameat2");
  if (const auto whole = counted(from_directory, from)) {
    note({flags == RENAME_EXCHANGE ? Event::Kind::exchange : Event::Kind::rename, *whole, to});
  }
  return real(from_directory, from, to_directory, to, flags);
}
int unlink(const char* path) {
  static const auto real = next_of<int (*)(const char*)>("unlink");
  if (const auto whole = counted(AT_FDCWD, path)) note({Event::Kind::remove, *whole});
  return real(path);
}
int unlinkat(int directory, const char* path, int flags) {
  static const auto real = next_of<int (*)(int, const char*, int)>("unlinkat");
  if (const auto whole = counted(directory, path)) note({Event::Kind::remove, *whole});
  return real(directory, path, flags);
}

}  // extern "C"

using namespace tinygpt;

namespace {

/// A checkpoint of some small files that hold its number.
void save(const RunDirectory& run, int step) {
  ModelWriter writer(run.step_path(step));
  writer.text("config.json", "{\"step\": " + std::to_string(step) + "}\n");
  writer.text("tokenizer.json", "{\"step\": " + std::to_string(step) + "}\n");
  writer.text("model.bin", std::string(1500, static_cast<char>('a' + step)));
  writer.text("trainer_state.json", "{\"step\": " + std::to_string(step) + "}\n");
  writer.commit();
  run.prune(2);
}

/// The step that a run resumes from; 0 where there is none. Throws where what it finds is not whole.
int loaded(const std::filesystem::path& path) {
  const auto load = [](const std::filesystem::path& step) {
    const ModelReader reader(step);
    const int number = reader.json("config.json").at("step").get<int>();
    for (const char* const name : {"tokenizer.json", "trainer_state.json"}) {
      if (reader.json(name).at("step").get<int>() != number) throw std::logic_error("files of two steps");
    }
    const std::string model = read_small_file(reader.path("model.bin"));
    reader.check("model.bin", crc32c(std::as_bytes(std::span(model.data(), model.size()))));
    if (model != std::string(1500, static_cast<char>('a' + number))) throw std::logic_error("weights of another step");
    return number;
  };
  if (RunDirectory(path).steps().empty()) return 0;
  return load_newest(path, load, [](const char*) {});
}

constexpr int saves = 8;

/// Saves step after step into an empty run, and calls saved(step) after each.
void save_all(const std::filesystem::path& path, const std::function<void(int)>& saved) {
  RunDirectory run(path);
  run.lock();
  for (int step = 1; step <= saves; ++step) {
    save(run, step);
    saved(step);
  }
}

struct Recording {
  explicit Recording(const std::filesystem::path& root) {
    recorder = {};
    recorder.root = root.string();
  }
  ~Recording() { recorder = {}; }
};

/// A disk as a filesystem without order keeps it: names and contents become durable apart, each when it is
/// synchronised, or earlier, in any order.
class Disk {
 public:
  struct File {
    std::string written, synced;
  };
  struct Directory {
    std::map<std::string, int> now, synced;  ///< numbers of files and directories by name
  };

  explicit Disk(std::string root) : root_(std::move(root)) { directories_[0]; }

  void apply(const Event& event) {
    switch (event.kind) {
      case Event::Kind::nothing:
        break;
      case Event::Kind::make_directory:
        if (!find(event.path)) directories_[enter(event.path, count_++)];
        break;
      case Event::Kind::create:
        if (!find(event.path)) files_[enter(event.path, count_++)];
        break;
      case Event::Kind::write:
        files_.at(*find(event.path)).written += event.bytes;
        break;
      case Event::Kind::sync: {
        File& file = files_.at(*find(event.path));
        file.synced = file.written;
        break;
      }
      case Event::Kind::sync_directory: {
        Directory& directory = directories_.at(*find(event.path));
        directory.synced = directory.now;
        break;
      }
      case Event::Kind::rename:
        if (const auto moved = find(event.path)) {
          if (find(event.to) && event.to.find("step-") != std::string::npos) break;  // RENAME_NOREPLACE refuses
          leave(event.path);
          enter(event.to, *moved);
        }
        break;
      case Event::Kind::exchange: {
        const int a = *find(event.path), b = *find(event.to);
        enter(event.path, b), enter(event.to, a);
        break;
      }
      case Event::Kind::remove:
        if (find(event.path)) leave(event.path);
        break;
    }
  }

  /// Which of the changes that were not synchronised reached the disk: changes are the content of a file, or the names
  /// of a directory.
  std::vector<int> pending() const {
    std::vector<int> numbers;
    for (const auto& [number, file] : files_) {
      if (file.written != file.synced) numbers.push_back(number);
    }
    for (const auto& [number, directory] : directories_) {
      if (directory.now != directory.synced) numbers.push_back(number);
    }
    return numbers;
  }

  /// What is there after the power came back. Files of `cut` end at a whole number of sectors.
  void restore(const std::filesystem::path& to, const std::set<int>& lost, bool cut) const {
    std::filesystem::create_directory(to);
    put(0, to, lost, cut);
  }

 private:
  void put(int number, const std::filesystem::path& to, const std::set<int>& lost, bool cut) const {
    const Directory& directory = directories_.at(number);
    for (const auto& [name, child] : lost.contains(number) ? directory.synced : directory.now) {
      if (const auto file = files_.find(child); file != files_.end()) {
        const File& content = file->second;
        std::string bytes = lost.contains(child) ? content.synced : content.written;
        if (cut && content.written != content.synced) bytes.resize(bytes.size() / 512 * 512);
        std::ofstream(to / name, std::ios::binary) << bytes;
      } else {
        std::filesystem::create_directory(to / name);
        put(child, to / name, lost, cut);
      }
    }
  }

  /// The directory of a path, and its last name.
  std::pair<Directory*, std::string> place(const std::string& path) {
    Directory* directory = &directories_.at(0);
    std::filesystem::path rest = std::filesystem::path(path).lexically_relative(root_);
    const std::string name = rest.filename().string();
    for (const auto& part : rest.parent_path()) {
      const auto found = directory->now.find(part.string());
      if (found == directory->now.end()) return {nullptr, ""};
      directory = &directories_.at(found->second);
    }
    return {directory, name};
  }
  std::optional<int> find(const std::string& path) {
    if (path == root_) return 0;
    const auto [directory, name] = place(path);
    if (directory == nullptr || !directory->now.contains(name)) return std::nullopt;
    return directory->now.at(name);
  }
  int enter(const std::string& path, int number) {
    const auto [directory, name] = place(path);
    return directory->now[name] = number;
  }
  void leave(const std::string& path) {
    const auto [directory, name] = place(path);
    directory->now.erase(name);
  }

  std::string root_;
  std::map<int, File> files_;
  std::map<int, Directory> directories_;
  int count_ = 1;
};

/// Which of the changes may be lost: all choices of a few, or none, all, each one, all but one of many.
std::set<std::set<int>> losses_of(const std::vector<int>& pending) {
  const std::set<int> all(pending.begin(), pending.end());
  std::set<std::set<int>> losses{{}, all};
  if (pending.size() <= 5) {
    for (unsigned choice = 0; choice < 1u << pending.size(); ++choice) {
      std::set<int> lost;
      for (std::size_t i = 0; i < pending.size(); ++i) {
        if ((choice >> i & 1) != 0) lost.insert(pending[i]);
      }
      losses.insert(lost);
    }
  }
  for (const int one : pending) {
    losses.insert({one});
    std::set<int> others = all;
    others.erase(one);
    losses.insert(others);
  }
  return losses;
}

struct Outcome {
  int states = 0, unsafe = 0;  ///< unsafe: neither the checkpoint before nor the new one is loaded
};

/// Starts a run anew after a loss of power at every moment of `events`.
Outcome after_every_loss(const std::vector<Event>& events, const std::vector<std::size_t>& acknowledged_at,
                         const std::filesystem::path& root, const std::filesystem::path& after) {
  Outcome outcome;
  Disk disk(root.string());
  for (std::size_t prefix = 0; prefix <= events.size(); ++prefix) {
    if (prefix > 0) disk.apply(events[prefix - 1]);
    const int acknowledged = static_cast<int>(
        std::count_if(acknowledged_at.begin(), acknowledged_at.end(), [&](std::size_t at) { return at <= prefix; }));
    for (const auto& lost : losses_of(disk.pending())) {
      for (const bool cut : {false, true}) {
        disk.restore(after, lost, cut);
        int step = -1;
        try {
          RunDirectory run(after);
          run.lock();
          step = loaded(after);
        } catch (const std::exception&) {
        }
        outcome.unsafe += step != acknowledged && step != acknowledged + 1;
        ++outcome.states;
        std::filesystem::remove_all(after);
      }
    }
  }
  return outcome;
}

}  // namespace

TEST_CASE("a process that ends at any call that changes the disk leaves the checkpoint before, or the new one") {
  int points = 0;
  for (bool ended = true; ended; ++points) {
    const ScratchDirectory scratch;
    const auto path = scratch.path / "run", done = scratch.path / "done";
    const pid_t child = ::fork();
    if (child == 0) {
      std::filesystem::create_directory(path);
      const Recording recording(path);
      recorder.die_at = points;
      save_all(path, [&](int step) { std::filesystem::create_directory(done.string() + std::to_string(step)); });
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    ended = WEXITSTATUS(status) == 77;
    REQUIRE((ended || WEXITSTATUS(status) == 0));
    int acknowledged = 0;
    while (std::filesystem::exists(done.string() + std::to_string(acknowledged + 1))) ++acknowledged;
    CAPTURE(points, acknowledged);
    {
      RunDirectory run(path);
      run.lock();
    }
    const int step = loaded(path);
    REQUIRE((step == acknowledged || step == acknowledged + 1));
    for (const auto& entry : std::filesystem::directory_iterator(path)) {  // the next start clears what was left
      REQUIRE(entry.path().filename().string().starts_with("step-"));
    }
  }
  CHECK(points > 60);
}

TEST_CASE("a loss of power at any moment, whatever had not reached the disk, leaves the checkpoint before or the new one") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "run";
  std::filesystem::create_directory(path);
  std::vector<Event> events;
  std::vector<std::size_t> acknowledged_at;
  {
    const Recording recording(path);
    save_all(path, [&](int) { acknowledged_at.push_back(recorder.events.size()); });
    events = recorder.events;
  }
  REQUIRE(acknowledged_at.size() == saves);
  REQUIRE(loaded(path) == saves);

  const Outcome outcome = after_every_loss(events, acknowledged_at, path, scratch.path / "after");
  CHECK(outcome.unsafe == 0);
  CHECK(outcome.states > 1000);

  // The same with a disk that forgets to synchronise files: what follows from it is seen.
  for (Event& event : events) {
    if (event.kind == Event::Kind::sync) event.kind = Event::Kind::nothing;
  }
  CHECK(after_every_loss(events, acknowledged_at, path, scratch.path / "after").unsafe > 0);
}
