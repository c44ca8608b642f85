// How fast a model directory is read and written, beside reading the same bytes from the page cache, as `cat` does.
//
//   tinygpt-bench-model_files [--benchmark_min_time=...]
//
// The ratio is what counts: both run in turns in one process. A model of GPT-2 small's shape has all four matrices
// turned; one of Llama's has none. Weights are read into memory that is there already, as a trainer has it. What is
// written goes to /dev/shm, where there is one: waiting for a disk is not ours.
#include <benchmark/benchmark.h>

#include <fcntl.h>

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

std::filesystem::path scratch() {
  static const struct Directory {
    Directory()
        : path((std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp") +
               ("/tinygpt-bench-" + std::to_string(::getpid()))) {
      std::filesystem::create_directory(path);
    }
    ~Directory() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
  } directory;
  return directory.path;
}

/// A model's directory, written once.
std::filesystem::path written(const Config& config, StoredType type) {
  const auto directory = scratch() / (std::to_string(config.ffn) + "-" + std::to_string(bytes_of(type)));
  if (std::filesystem::exists(directory)) return directory;
  const std::vector<float> weights(static_cast<std::size_t>(ParamTable(config).arena_size()), 0.5f);
  write_model_directory(directory, {"bench", config, weights, nullptr}, type);
  return directory;
}

/// Every byte of a file, by read() into 128 KiB, as cat has it.
std::int64_t read_through(const std::filesystem::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  static std::vector<char> buffer(128 << 10);
  std::int64_t bytes = 0;
  for (ssize_t n; (n = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) bytes += n;
  return bytes;
}

void read_file(benchmark::State& state, const Config& config, StoredType type) {
  const auto path = written(config, type) / "model.safetensors";
  std::int64_t bytes = 0;
  for (auto _ : state) bytes += read_through(path);
  state.SetBytesProcessed(bytes);
}

void load(benchmark::State& state, const Config& config, StoredType type) {
  const auto directory = written(config, type);
  std::vector<float> weights(static_cast<std::size_t>(ParamTable(config).arena_size()));
  for (auto _ : state) load_weights(ModelReader(directory), config, weights);
  state.SetBytesProcessed(
      static_cast<std::int64_t>(state.iterations() * std::filesystem::file_size(directory / "model.safetensors")));
}

void write(benchmark::State& state, const Config& config, StoredType type) {
  const std::vector<float> weights(static_cast<std::size_t>(ParamTable(config).arena_size()), 0.5f);
  const auto directory = scratch() / "written";
  for (auto _ : state) write_model_directory(directory, {"bench", config, weights, nullptr}, type);
  state.SetBytesProcessed(
      static_cast<std::int64_t>(state.iterations() * std::filesystem::file_size(directory / "model.safetensors")));
}

}  // namespace

BENCHMARK_CAPTURE(read_file, llama_float32, llama, StoredType::float32)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, llama_float32, llama, StoredType::float32)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write, llama_float32, llama, StoredType::float32)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, llama_bf16, llama, StoredType::bfloat16)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write, llama_bf16, llama, StoredType::bfloat16)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_file, gpt2_float32, gpt2, StoredType::float32)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, gpt2_float32, gpt2, StoredType::float32)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write, gpt2_float32, gpt2, StoredType::float32)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, gpt2_float16, gpt2, StoredType::float16)->Unit(benchmark::kMillisecond);

BENCHMARK_MAIN();
