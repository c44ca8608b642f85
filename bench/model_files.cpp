// How fast models are read, written and exported, beside what the page cache does with as many bytes.
//
//   tinygpt-bench-model_files [--benchmark_filter=...] [--benchmark_min_time=...]
//
// Each iteration takes turns: our work, then the page cache's on a file of the same length. The ratio of the two times
// is what counts (its median over the iterations); others who use the machine slow down both.
//   of_read   reading the file with read() into 128 KiB, as cat does, takes so much of our time
//   of_write  writing as many bytes from memory into a new file with write(), without fsync, takes so much of our time
// A model of GPT-2's shape has all matrices turned; one of Llama's has none. Models are read from a directory for
// temporary files (TMPDIR), into memory that is there already, as a trainer has it. What is written goes to /dev/shm,
// where there is one: waiting for a disk is not ours.
#include <benchmark/benchmark.h>

#include <fcntl.h>

#include <chrono>

#include <tinygpt/exchange/gguf.hpp>
#include <tinygpt/exchange/onnx.hpp>
#include <tinygpt/io/checkpoint.hpp>

using namespace tinygpt;

namespace {

const Config gpt2{.layers = 6,
                  .embd = 768,
                  .query_heads = 12,
                  .kv_heads = 12,
                  .ctx = 1024,
                  .head_dim = 64,
                  .vocab = 50257,
                  .ffn = 3072,
                  .activation = gelu_tanh,
                  .bias = BiasSet::all};
const Config llama{.layers = 6,
                   .embd = 768,
                   .query_heads = 12,
                   .kv_heads = 4,
                   .ctx = 1024,
                   .head_dim = 64,
                   .vocab = 50257,
                   .ffn = 2048,
                   .activation = swiglu,
                   .norm = rms,
                   .positions = rope};

/// A directory that goes with the program.
struct Scratch {
  explicit Scratch(const std::filesystem::path& parent)
      : path(parent / ("tinygpt-bench-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(path);
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};
std::filesystem::path to_read() {
  static const Scratch directory(std::filesystem::temp_directory_path());
  return directory.path;
}
std::filesystem::path to_write() {
  static const Scratch directory(std::filesystem::exists("/dev/shm") ? "/dev/shm"
                                                                     : std::filesystem::temp_directory_path());
  return directory.path;
}

std::vector<float> weights_of(const Config& config) {
  std::vector<float> weights(static_cast<std::size_t>(ParamTable(config).arena_size()));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i % 1000) * 1e-3f - 0.5f;
  return weights;
}

template <class F> double seconds_of(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Every byte of a file, as cat has it.
void read_through(const std::filesystem::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  static std::vector<char> buffer(128 << 10);
  while (::read(fd.get(), buffer.data(), buffer.size()) > 0) {
  }
}

/// So many bytes into a new file.
void write_plainly(const std::filesystem::path& path, std::int64_t bytes, std::span<const float> from) {
  std::filesystem::remove(path);
  const Descriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const auto all = std::as_bytes(from);
  for (std::size_t left = static_cast<std::size_t>(bytes), at = 0; left > 0;) {
    const std::size_t n = std::min({left, all.size() - at, std::size_t{1} << 17});
    if (::write(fd.get(), all.data() + at, n) != static_cast<ssize_t>(n)) throw Error("the disk is full");
    left -= n;
    at = (at + n) % all.size();
  }
}

double median(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers[numbers.size() / 2];
}

/// Reports seconds of ours beside the page cache's.
struct Report {
  std::vector<double> of_read, of_write;

  void finish(benchmark::State& state, std::int64_t bytes) const {
    state.counters["of_read"] = median(of_read);
    if (!of_write.empty()) state.counters["of_write"] = median(of_write);
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * bytes);
  }
};

/// A model's directory, written once: with a manifest and so with a checksum that is checked, or without.
std::filesystem::path written(const Config& config, StoredType type, Manifest manifest) {
  const auto directory = to_read() / (std::to_string(config.ffn) + safetensors::name_of(type) +
                                      (manifest == Manifest::yes ? "-checked" : ""));
  if (!std::filesystem::exists(directory)) {
    write_model_directory(directory, {"bench", config, weights_of(config), nullptr}, type, manifest);
  }
  return directory;
}

void load(benchmark::State& state, const Config& config, StoredType type, Manifest manifest) {
  const auto directory = written(config, type, manifest);
  const auto file = directory / "model.safetensors";
  std::vector<float> weights(static_cast<std::size_t>(ParamTable(config).arena_size()));
  Report report;
  for (auto _ : state) {
    const double ours = seconds_of([&] { load_weights(ModelReader(directory), config, weights); });
    report.of_read.push_back(seconds_of([&] { read_through(file); }) / ours);
    state.SetIterationTime(ours);
  }
  report.finish(state, static_cast<std::int64_t>(std::filesystem::file_size(file)));
}

/// write(path, weights) leaves a file or a directory there.
template <class Write> void write(benchmark::State& state, const Config& config, Write&& write) {
  const std::vector<float> weights = weights_of(config);
  const auto path = to_write() / "written", plain = to_write() / "plain";
  const auto bytes_there = [&] {
    if (!std::filesystem::is_directory(path)) return static_cast<std::int64_t>(std::filesystem::file_size(path));
    std::int64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path))
      bytes += static_cast<std::int64_t>(entry.file_size());
    return bytes;
  };
  Report report;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    std::filesystem::remove_all(path);
    const double ours = seconds_of([&] { write(path, weights); });
    bytes = bytes_there();
    std::filesystem::remove_all(path);
    report.of_write.push_back(seconds_of([&] { write_plainly(plain, bytes, weights); }) / ours);
    report.of_read.push_back(seconds_of([&] { read_through(plain); }) / ours);
    std::filesystem::remove(plain);
    state.SetIterationTime(ours);
  }
  report.finish(state, bytes);
}

void write_hf(benchmark::State& state, const Config& config, StoredType type) {
  write(state, config, [&](const std::filesystem::path& path, std::span<const float> weights) {
    write_model_directory(path, {"bench", config, weights, nullptr}, type);
  });
}

void save(benchmark::State& state, const Config& config) {
  const auto tokenizer = Tokenizer::bytes();
  write(state, config, [&](const std::filesystem::path& path, std::span<const float> weights) {
    save_checkpoint(path, "bench", config, tokenizer, {weights, weights, weights}, {});
  });
}

void export_gguf(benchmark::State& state, const Config& config, GgufType type) {
  write(state, config, [&](const std::filesystem::path& path, std::span<const float> weights) {
    write_gguf(path, {"bench", config, weights, nullptr}, type);
  });
}

void export_onnx(benchmark::State& state, const Config& config) {
  write(state, config, [&](const std::filesystem::path& path, std::span<const float> weights) {
    write_onnx(path, {"bench", config, weights, nullptr}, OnnxCache::without);
  });
}

}  // namespace

#define TINYGPT_BENCH(f, ...) BENCHMARK_CAPTURE(f, __VA_ARGS__)->UseManualTime()->Unit(benchmark::kMillisecond)

TINYGPT_BENCH(load, llama_float32, llama, StoredType::float32, Manifest::no);
TINYGPT_BENCH(load, llama_float32_checked, llama, StoredType::float32, Manifest::yes);
TINYGPT_BENCH(load, llama_bf16, llama, StoredType::bfloat16, Manifest::no);
TINYGPT_BENCH(load, llama_float16, llama, StoredType::float16, Manifest::no);
TINYGPT_BENCH(load, gpt2_float32, gpt2, StoredType::float32, Manifest::no);
TINYGPT_BENCH(load, gpt2_float32_checked, gpt2, StoredType::float32, Manifest::yes);
TINYGPT_BENCH(load, gpt2_bf16, gpt2, StoredType::bfloat16, Manifest::no);
TINYGPT_BENCH(load, gpt2_float16, gpt2, StoredType::float16, Manifest::no);
TINYGPT_BENCH(write_hf, llama_float32, llama, StoredType::float32);
TINYGPT_BENCH(write_hf, llama_bf16, llama, StoredType::bfloat16);
TINYGPT_BENCH(write_hf, gpt2_float32, gpt2, StoredType::float32);
TINYGPT_BENCH(write_hf, gpt2_float16, gpt2, StoredType::float16);
TINYGPT_BENCH(save, gpt2_float32, gpt2);
TINYGPT_BENCH(export_gguf, llama_f32, llama, GgufType::f32);
TINYGPT_BENCH(export_gguf, llama_f16, llama, GgufType::f16);
TINYGPT_BENCH(export_gguf, llama_q8_0, llama, GgufType::q8_0);
TINYGPT_BENCH(export_gguf, llama_q4_k, llama, GgufType::q4_k);
TINYGPT_BENCH(export_onnx, llama_float32, llama);

BENCHMARK_MAIN();
