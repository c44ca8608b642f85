#include <catch.hpp>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <random>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/run_directory.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

/// A directory of its own for each test, removed at its end.
struct Scratch {
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "tinygpt-io-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw file_error("create", name, errno);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

/// A generation: three files that hold its number, so that a mixture of two is seen.
void write_generation(const std::filesystem::path& target, int number, Replacement how = Replacement::exchange) {
  AtomicDirectory directory(target);
  for (const char* name : {"a", "b", "c"}) {
    OutputFile file(directory.path(name));
    for (int i = 0; i < 500; ++i) file.write(std::to_string(number) + "\n");
    file.finish();
  }
  directory.commit(how);
}

/// The number of the generation in a directory; -1 where it is not whole.
int generation(const std::filesystem::path& target) {
  try {
    const std::string a = read_small_file(target / "a");
    const bool whole = a == read_small_file(target / "b") && a == read_small_file(target / "c");
    const auto number = std::stoi(a);
    std::string expected;
    for (int i = 0; i < 500; ++i) expected += std::to_string(number) + "\n";
    return whole && a == expected ? number : -1;
  } catch (const std::exception&) {
    return -1;
  }
}

std::size_t entries(const std::filesystem::path& directory) {
  const std::filesystem::directory_iterator begin(directory), end;
  return static_cast<std::size_t>(std::distance(begin, end));
}

/// Runs f in a process of its own and returns its exit status.
template <class F> int in_child(F&& f) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 99;
    try {
      code = f();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a directory appears whole, replaces the one before it, and leaves nothing beside it") {
  for (const auto how : {Replacement::exchange, Replacement::two_renames}) {
    const Scratch scratch;
    const auto target = scratch.path / "model";
    for (int i = 0; i < 3; ++i) {
      write_generation(target, i, how);
      CHECK(generation(target) == i);
      CHECK(entries(scratch.path) == 1);
    }
  }
}

TEST_CASE("without commit nothing changes and nothing stays") {
  const Scratch scratch;
  const auto target = scratch.path / "model";
  write_generation(target, 1);
  {
    AtomicDirectory directory(target);
    OutputFile(directory.path("a")).write("x");
  }
  CHECK(generation(target) == 1);
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("what a crash left is cleared, what lives is left alone") {
  const Scratch scratch;
  const auto target = scratch.path / "model";
  write_generation(target, 1);
  std::filesystem::create_directories(scratch.path / ".model.tinygpt-tmp-1-0" / "deep");
  std::filesystem::create_directory(scratch.path / ".model.tinygpt-old");
  std::filesystem::create_directory(scratch.path / ".hidden");
  AtomicDirectory alive(target);
  AtomicDirectory::clean_siblings(scratch.path / "model");
  CHECK(entries(scratch.path) == 3);  // model, .hidden and the living one
  CHECK_NOTHROW(OutputFile(alive.path("a")).finish());
  CHECK(generation(target) == 1);
}

TEST_CASE("a directory that lost its name between two renames gets it back") {
  const Scratch scratch;
  write_generation(scratch.path / "model", 5);
  std::filesystem::rename(scratch.path / "model", scratch.path / ".model.tinygpt-old");
  AtomicDirectory::clean_siblings(scratch.path / "model");
  CHECK(generation(scratch.path / "model") == 5);
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("kill -9 at any moment leaves one whole generation, never older than one that was acknowledged") {
  std::mt19937 random(1);
  for (const auto how : {Replacement::exchange, Replacement::two_renames}) {
    const Scratch scratch;
    const auto target = scratch.path / "model";
    // Kills are spread over the time that two generations take here, whatever the disk.
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < 3; ++i) write_generation(target, 0, how);
    const std::chrono::duration<double, std::micro> three = std::chrono::steady_clock::now() - begun;
    const auto longest = static_cast<unsigned>(std::clamp(three.count() * 2 / 3, 1000.0, 50'000.0));
    int last = 0;
    for (int round = 0; round < 150; ++round) {
      int pipe[2];
      REQUIRE(::pipe(pipe) == 0);
      const pid_t child = ::fork();
      if (child == 0) {
        for (int i = last + 1;; ++i) {
          write_generation(target, i, how);
          if (::write(pipe[1], &i, sizeof i) != sizeof i) ::_exit(1);
        }
      }
      ::close(pipe[1]);
      ::usleep(static_cast<useconds_t>(random() % longest));
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      int acknowledged = last;
      for (int i; ::read(pipe[0], &i, sizeof i) == sizeof i;) acknowledged = i;
      ::close(pipe[0]);
      AtomicDirectory::clean_siblings(scratch.path / "model");
      last = generation(target);
      REQUIRE(last >= acknowledged);
      REQUIRE(entries(scratch.path) == 1);
    }
    CHECK(last > 0);
  }
}

TEST_CASE("a limit on the size of files is one sentence, and the old directory stays") {
  const Scratch scratch;
  const auto target = scratch.path / "model";
  write_generation(target, 1);
  CHECK(in_child([&] {
          ::signal(SIGXFSZ, SIG_IGN);
          const rlimit limit{700, 700};
          ::setrlimit(RLIMIT_FSIZE, &limit);
          try {
            write_generation(target, 2);
          } catch (const Error& error) {
            const std::string sentence = error.what();
            return sentence.find("may not be that large") != std::string::npos &&
                           sentence.find("/a") != std::string::npos
                       ? 0
                       : 1;
          }
          return 2;
        }) == 0);
  CHECK(generation(target) == 1);
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("a full disk is one sentence with the bytes needed and free, and the old directory stays") {
  try {
    OutputFile file("/dev/full", Descriptor(::open("/dev/full", O_WRONLY | O_CLOEXEC)), Checksum::take);
    file.write("x");
    FAIL("a full device took a byte");
  } catch (const Error& error) {
    CHECK_THAT(error.what(),
               Contains("/dev/full") && Contains("the disk is full") && Contains("1 bytes more are needed"));
  }
  const Scratch scratch;
  if (::mount("none", scratch.path.c_str(), "tmpfs", 0, "size=16k") != 0) {
    WARN("not root: a small filesystem cannot be mounted, so only /dev/full was tried");
    return;
  }
  {
    const auto target = scratch.path / "model";
    AtomicDirectory first(target);
    OutputFile whole(first.path("a"));
    whole.write("whole");
    whole.finish();
    first.commit();
    try {
      AtomicDirectory second(target);
      OutputFile file(second.path("a"));
      for (int i = 0; i < 100; ++i) file.write(std::string(1000, 'x'));
      FAIL("the disk did not get full");
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Contains("the disk is full") && Contains("are free"));
    }
    CHECK(read_small_file(target / "a") == "whole");
    CHECK(entries(scratch.path) == 1);
  }
  ::umount2(scratch.path.c_str(), MNT_DETACH);
}

TEST_CASE("a place where one may not write is one sentence") {
  CHECK_THROWS_WITH(AtomicDirectory("/nonexistent/model"), Contains("/nonexistent") && Contains("no such file"));
  CHECK_THROWS_WITH(AtomicDirectory("/proc/model"), Contains("/proc"));
  const Scratch scratch;
  std::filesystem::permissions(scratch.path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  CHECK(in_child([&] {
          if (::geteuid() == 0 && ::setuid(65534) != 0) return 0;
          try {
            AtomicDirectory directory(scratch.path / "model");
          } catch (const Error& error) {
            return std::string(error.what()).find("permission denied") != std::string::npos ? 0 : 1;
          }
          return 2;
        }) == 0);
  std::filesystem::permissions(scratch.path, std::filesystem::perms::owner_all);
}

TEST_CASE("a file replaced atomically keeps its content when the new one cannot be written") {
  const Scratch scratch;
  const auto path = scratch.path / "metrics.jsonl";
  write_file_atomically(path, "one\n");
  write_file_atomically(path, "two\n");
  CHECK(read_small_file(path) == "two\n");
  CHECK(in_child([&] {
          ::signal(SIGXFSZ, SIG_IGN);
          const rlimit limit{10, 10};
          ::setrlimit(RLIMIT_FSIZE, &limit);
          try {
            write_file_atomically(path, std::string(100, 'x'));
          } catch (const Error&) {
            return 0;
          }
          return 1;
        }) == 0);
  CHECK(read_small_file(path) == "two\n");
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("the newest checkpoints of a run are found by their names and the older ones pruned") {
  const Scratch scratch;
  RunDirectory run(scratch.path / "run");
  run.lock();
  for (const std::int64_t step : {5, 250, 1'000'000, 20}) write_generation(run.step_path(step), static_cast<int>(step));
  std::filesystem::create_directory(run.path() / "step-7");  // not written like a checkpoint's name
  std::filesystem::create_directory(run.path() / "step-000009x");
  CHECK(run.steps() == std::vector<std::int64_t>{1'000'000, 250, 20, 5});
  run.prune(2);
  CHECK(run.steps() == std::vector<std::int64_t>{1'000'000, 250});
  CHECK_THROWS_WITH(RunDirectory(run.path()).lock(), Contains("in use by another"));
}

TEST_CASE("metrics after the resumed step are cut, with what a crash left half-written") {
  const Scratch scratch;
  const RunDirectory run(scratch.path);
  write_file_atomically(
      run.path() / "metrics.jsonl",
      "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":null}\nnoise\n{\"step\":2,\"val_loss\":1}\n{\"step\":3}\n{\"st");
  run.cut_metrics(2);
  CHECK(read_small_file(run.path() / "metrics.jsonl") ==
        "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":null}\n{\"step\":2,\"val_loss\":1}\n");
}
