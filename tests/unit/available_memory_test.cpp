// How much memory there is, from files as the kernel writes them, and what is said when training takes more.
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include <catch.hpp>
#include <tinygpt/cli/memory.hpp>
#include <tinygpt/model/gpt.hpp>

using namespace tinygpt;
using namespace tinygpt::cli;

namespace {

/// A root directory with the files of /proc and /sys that a test writes.
class Machine {
 public:
  Machine() {
    std::filesystem::remove_all(root_);
    write("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:    8000000 kB\n");
  }
  ~Machine() { std::filesystem::remove_all(root_); }

  Machine& write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
    return *this;
  }
  std::int64_t available() const { return available_memory(root_); }

 private:
  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("tinygpt-machine-" + std::to_string(::getpid()));
};

std::string refusal(const Config& config, const TrainMemory& memory, int batch, std::int64_t available,
                    Recompute recompute = Recompute::none) {
  try {
    check_memory(config, memory, {.batch_size = batch, .recompute = recompute}, available);
  } catch (const OutOfMemory& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("without control groups the memory is what the system has available") {
  CHECK(Machine().available() == 8'192'000'000);
  CHECK(Machine().write("proc/meminfo", "").available() == -1);
  CHECK(available_memory() > 0);
}

TEST_CASE("a control group's limit is respected, and so are those above it") {
  Machine machine;
  machine.write("proc/self/cgroup", "0::/user.slice/job\n")
      .write("sys/fs/cgroup/user.slice/job/memory.max", "max\n")
      .write("sys/fs/cgroup/user.slice/job/memory.current", "100\n");
  CHECK(machine.available() == 8'192'000'000);
  machine.write("sys/fs/cgroup/user.slice/memory.max", "2000000\n")
      .write("sys/fs/cgroup/user.slice/memory.current", "1500000\n");
  CHECK(machine.available() == 500'000);
  machine.write("sys/fs/cgroup/user.slice/memory.stat", "anon 1\ninactive_file 300000\n");
  CHECK(machine.available() == 800'000);  // cached files give way
  machine.write("sys/fs/cgroup/user.slice/job/memory.max", "150\n");
  CHECK(machine.available() == 50);
  machine.write("sys/fs/cgroup/user.slice/job/memory.current", "900\n");
  CHECK(machine.available() == 0);
}

TEST_CASE("in a container whose group's path is the host's, the limit is found at the root") {
  Machine machine;
  machine.write("proc/self/cgroup", "0::/docker/0123\n")
      .write("sys/fs/cgroup/memory.max", "1000\n")
      .write("sys/fs/cgroup/memory.current", "400\n");
  CHECK(machine.available() == 600);
}

TEST_CASE("control groups of version 1 are read, where no limit is a huge number") {
  Machine machine;
  machine.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n")
      .write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n")
      .write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "7\n");
  CHECK(machine.available() == 8'192'000'000);
  machine.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000\n")
      .write("sys/fs/cgroup/memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 3\n");
  CHECK(machine.available() == 4996);
}

TEST_CASE("what does not fit is refused with the largest batch that does, and with what recomputation allows") {
  using M = GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>, Vocab<256>>;
  TrainMemory memory = train_memory(M::config, Batch{64}, Time{128});
  memory.workspace = 2_MiB, memory.corpus = 5'000'000;
  const std::int64_t fixed = memory.workspace + memory.corpus;
  const auto says = [&](std::int64_t available, const char* what, Recompute recompute = Recompute::none) {
    CHECK_THAT(refusal(M::config, memory, 64, available, recompute), Catch::Contains(what));
  };
  CHECK(refusal(M::config, memory, 64, memory.total()).empty());
  CHECK(refusal(M::config, memory, 64, -1).empty());
  says(memory.total() - 1, "--batch-size 63 is the largest that fits, or this one with --recompute activations, and");
  const std::int64_t blocks = train_bytes<M>(Batch{64}, float32, Recompute::blocks) + fixed;
  says(blocks, "or this one with --recompute blocks");
  says(blocks - 1, "or 63 with --recompute blocks");
  says(train_bytes<M>(Batch{2}) + fixed, "--batch-size 2 is the largest that fits, or ");
  says(train_bytes<M>(Batch{1}) + fixed - 1, "with --recompute blocks is the largest that fits, and");
  memory = train_memory(M::config, Batch{64}, Time{128}, float32, Recompute::blocks);
  memory.workspace = 2_MiB, memory.corpus = 5'000'000;
  says(blocks - 1, "--batch-size 63 is the largest that fits, and", Recompute::blocks);
  const std::int64_t one = train_bytes<M>(Batch{1}, float32, Recompute::blocks) + fixed;
  says(one - 1, "not even --batch-size 1 fits with --recompute blocks");
  says(0, "not even --batch-size 1 fits");
}
