// How algorithms for matrix products are chosen, kept and found again, with the emulator's cuBLASLt: its algorithms
// differ in their bits, and it counts its calls.
#include <on_device.hpp>

#include <atomic>
#include <catch.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>
#include <tinygpt/gpu/context.cuh>

using namespace tinygpt;
using namespace tinygpt::test;
namespace fs = std::filesystem;

namespace {

/// A folder of its own that goes with it.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "tinygpt-plans-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

std::string contents(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// The only file of plans in the folder.
fs::path plans_in(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") return entry.path();
  }
  FAIL("there is no file of plans");
  return {};
}

/// Proposals of the library while it lives.
struct WithCandidates {
  explicit WithCandidates(int n) { emulator::Cublaslt::of_process().candidates = n; }
  ~WithCandidates() { emulator::Cublaslt::of_process().candidates = 1; }
};

cudaDeviceProp device() {
  cudaDeviceProp properties;
  gpu::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  return properties;
}

/// y (m x 24) (+)= x (m x 500) w^T, whose bits tell the algorithms apart.
struct Job {
  static constexpr std::int64_t n = 24, k = 500;

  explicit Job(std::int64_t rows = 64, gpu::Accumulate accumulate = gpu::Accumulate::no)
      : m(rows),
        product{m,
                n,
                k,
                gpu::Layout::as_stored,
                gpu::Layout::transposed,
                k,
                k,
                n,
                gpu::Number::float32,
                gpu::Number::float32,
                accumulate,
                gpu::Bias::none,
                16,
                16,
                16,
                16},
        x(as<float>(normal(static_cast<std::size_t>(m * k), 1))),
        w(as<float>(normal(n * k, 2))),
        y(std::vector<float>(static_cast<std::size_t>(m * n), 1.0f)) {}

  /// What the product is by this engine, and how often the library multiplied for it.
  std::pair<std::vector<float>, int> run(gpu::MatmulEngine& engine) {
    const int before = emulator::Cublaslt::of_process().matmuls;
    engine.run(product, x.data(), w.data(), y.data(), nullptr, nullptr);
    return {y.host(), emulator::Cublaslt::of_process().matmuls - before};
  }

  std::int64_t m;
  gpu::Product product;
  OnDevice<float> x, w, y;
};

std::vector<float> first_proposal() {
  gpu::MatmulEngine engine(device(), fs::path());
  return Job().run(engine).first;
}

}  // namespace

TEST_CASE("An algorithm that was timed is found again by the next process, which times nothing") {
  const Folder folder;
  const WithCandidates three(3);
  gpu::MatmulEngine first(device(), folder.path), second(device(), folder.path);
  const auto [chosen, calls] = Job().run(first);
  CHECK(calls > 3);
  CHECK(Job().run(first) == std::pair(chosen, 1));
  CHECK(Job().run(second) == std::pair(chosen, 1));
  CHECK(contents(plans_in(folder.path))
            .starts_with("tinygpt matmul plans 1: an emulated GPU, driver 13000, cuBLASLt 130000\n"));
}

TEST_CASE("Where there is no place for the file, nothing is timed and the first proposal taken") {
  const std::vector<float> expected = first_proposal();
  const WithCandidates three(3);
  for (const char* folder : {"", "/dev/null/plans"}) {
    gpu::MatmulEngine engine(device(), folder);
    CHECK(Job().run(engine) == std::pair(expected, 1));
  }
}

TEST_CASE("A line that was damaged is not believed, and the plan is made anew") {
  const Folder folder;
  const WithCandidates three(3);
  gpu::MatmulEngine first(device(), folder.path);
  Job().run(first);
  const fs::path file = plans_in(folder.path);
  const std::string whole = contents(file);
  // Every place of the line but the last, which ends it.
  for (std::size_t at = whole.find('\n') + 1; at + 1 < whole.size(); at += 7) {
    std::string damaged = whole;
    damaged[at] = damaged[at] == '7' ? '8' : '7';
    std::ofstream(file) << damaged;
    gpu::MatmulEngine engine(device(), folder.path);
    INFO("damaged at " << at);
    CHECK(Job().run(engine).second > 3);
  }
}

TEST_CASE("A file that another version wrote is not believed either") {
  const Folder folder;
  const WithCandidates three(3);
  gpu::MatmulEngine first(device(), folder.path);
  Job().run(first);
  const fs::path file = plans_in(folder.path);
  std::string other = contents(file);
  other.replace(other.find("130000"), 6, "130001");
  std::ofstream(file) << other;
  gpu::MatmulEngine engine(device(), folder.path);
  CHECK(Job().run(engine).second > 3);
}

TEST_CASE("An algorithm that the library does not know is replaced") {
  const Folder folder;
  const WithCandidates three(3);
  const Job job;
  gpu::MatmulEngine first(device(), folder.path);
  Job().run(first);
  const fs::path file = plans_in(folder.path);
  fs::remove(file);
  gpu::PlanFile stale(folder.path, "an emulated GPU, driver 13000, cuBLASLt 130000");
  CHECK(stale.path() == file);
  const auto never = [](const gpu::AlgorithmBits&) { return false; };
  CHECK(stale.find_or_choose(text(job.product), never, [] { return gpu::AlgorithmBits{1, 2, 3}; }));
  gpu::MatmulEngine engine(device(), folder.path);
  CHECK(Job().run(engine).second > 3);
  CHECK(stale.find(text(job.product)) != gpu::AlgorithmBits{1, 2, 3});
}

TEST_CASE("Timing leaves what is added to as it was") {
  const Folder folder;
  Job timed(64, gpu::Accumulate::yes), untimed(64, gpu::Accumulate::yes);
  gpu::MatmulEngine one(device(), fs::path());
  const std::vector<float> expected = untimed.run(one).first;
  const WithCandidates three(3);
  gpu::MatmulEngine engine(device(), folder.path);
  const auto [actual, calls] = timed.run(engine);
  CHECK(calls > 3);
  CHECK(relative_error(as<double>(actual), as<double>(expected)) < 1e-6);
}

TEST_CASE("Prompts of different lengths share an algorithm, batches have their own") {
  const Folder folder;
  const WithCandidates three(3);
  gpu::MatmulEngine engine(device(), folder.path);
  CHECK(Job(33).run(engine).second > 3);
  CHECK(Job(50).run(engine).second == 1);
  CHECK(Job(63).run(engine).second == 1);
  CHECK(Job(65).run(engine).second > 3);
  CHECK(Job(128).run(engine).second == 1);  // what 65 was found for
  CHECK(Job(192).run(engine).second > 3);
}

TEST_CASE("A product that is first met within a recording is not timed") {
  const std::vector<float> expected = first_proposal();
  const Folder folder;
  const WithCandidates three(3);
  gpu::MatmulEngine engine(device(), folder.path);
  Job job;
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  gpu::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  gpu::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  const int before = emulator::Cublaslt::of_process().matmuls;
  engine.run(job.product, job.x.data(), job.w.data(), job.y.data(), nullptr, stream);
  CHECK(emulator::Cublaslt::of_process().matmuls == before + 1);
  gpu::check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  gpu::check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  gpu::check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
  CHECK(job.y.host() == expected);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_CASE("Of those that choose at the same time one chooses, and the others take what it chose") {
  const Folder folder;
  std::atomic<int> choices = 0;
  std::vector<gpu::AlgorithmBits> taken(4);
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < taken.size(); ++i) {
    threads.emplace_back([&, i] {
      gpu::PlanFile file(folder.path, "GPU");
      taken[i] = file.find_or_choose(
                         "key", [](const gpu::AlgorithmBits&) { return true; },
                         [&] {
                           ++choices;
                           std::this_thread::sleep_for(std::chrono::milliseconds(20));
                           return gpu::AlgorithmBits{i};
                         })
                     .value();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(choices == 1);
  for (const gpu::AlgorithmBits& bits : taken) CHECK(bits == taken[0]);
}

TEST_CASE("TINYGPT_CACHE says where plans are kept, and nothing in it that they are not") {
  const char* before = std::getenv("TINYGPT_CACHE");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TINYGPT_CACHE", "/somewhere", 1);
  CHECK(gpu::PlanFile(gpu::PlanFile::default_folder(), "NVIDIA H200, driver 13000").path() ==
        "/somewhere/matmul-NVIDIA-H200-driver-13000.txt");
  ::setenv("TINYGPT_CACHE", "", 1);
  CHECK(gpu::PlanFile(gpu::PlanFile::default_folder(), "NVIDIA H200").path().empty());
  before == nullptr ? ::unsetenv("TINYGPT_CACHE") : ::setenv("TINYGPT_CACHE", kept.c_str(), 1);
}
