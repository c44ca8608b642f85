// Tokens per second that batches are gathered at, from memory and from mapped shards: to compare with a training
// step's.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <filesystem>
#include <vector>

#include <tinygpt/data/prefetcher.hpp>
#include <tinygpt/io/shard_writer.hpp>

namespace {

using namespace tinygpt;

/// The same 64 Mi tokens in memory, or in eight shards in a directory of their own, all in the page cache.
class Corpus {
 public:
  static constexpr int vocab = 50257, shards = 8;
  static constexpr std::size_t shard_tokens = std::size_t{8} << 20;

  explicit Corpus(ShardFormat format) {
    std::string name = (std::filesystem::temp_directory_path() / "tinygpt-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw file_error("create", name, errno);
    path_ = name;
    std::vector<std::int32_t> tokens(shard_tokens);
    for (int s = 0; s < shards; ++s) {
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = static_cast<std::int32_t>((i * 2654435761u + static_cast<std::size_t>(s)) % vocab);
      }
      ShardWriter writer(file(s), format);
      writer.write(tokens);
      writer.finish();
    }
  }
  ~Corpus() { std::filesystem::remove_all(path_); }

  std::filesystem::path file(int s) const { return path_ / ("train_" + std::to_string(s) + ".bin"); }
  std::vector<TokenShard> open() const {
    std::vector<TokenShard> opened;
    for (int s = 0; s < shards; ++s) opened.push_back(TokenShard::open(file(s)));
    return opened;
  }

 private:
  std::filesystem::path path_;
};

const Corpus& corpus(ShardFormat format) {
  static const Corpus uint16(ShardFormat::llmc_uint16), uint32(ShardFormat::llmc_uint32);
  return format == ShardFormat::llmc_uint16 ? uint16 : uint32;
}

template <class Source> void draw(benchmark::State& state, const Source& source) {
  const auto B = static_cast<std::size_t>(state.range(0)), T = static_cast<std::size_t>(state.range(1));
  std::vector<std::int32_t> tokens(B * T), targets(B * T);
  std::uint64_t number = 0;
  for (auto _ : state) {
    source.draw(tokens, targets, static_cast<int>(T), 1337, Purpose::training_batch, ++number);
    benchmark::DoNotOptimize(tokens.data());
    benchmark::ClobberMemory();
  }
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(B * T),
                                                  benchmark::Counter::kIsRate);
}

void from_memory(benchmark::State& state) {
  std::vector<std::int32_t> tokens(std::size_t{64} << 20, 7);
  draw(state, TokenStream(std::move(tokens), static_cast<Sampling>(state.range(2))));
}
template <ShardFormat format> void from_shards(benchmark::State& state) {
  draw(state, TokenStream(corpus(format).open(), Corpus::vocab, static_cast<Sampling>(state.range(2))));
}
/// With nothing to do between the batches: the rate at which the thread hands them over.
void prefetched(benchmark::State& state) {
  const TokenStream stream(corpus(ShardFormat::llmc_uint16).open(), Corpus::vocab);
  draw(state, Prefetcher(stream));
}
void validate(benchmark::State& state) {
  const auto shards = corpus(ShardFormat::llmc_uint16).open();
  for (auto _ : state) {
    for (const auto& shard : shards) shard.validate(Corpus::vocab);
  }
  state.counters["tokens/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * Corpus::shards * Corpus::shard_tokens, benchmark::Counter::kIsRate);
}

/// Batch and context of tiny_char, of GPT-2 and of a long context; 0 for epochs, 1 for random windows.
void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"batch", "context", "random"})->UseRealTime();
  for (const int random : {0, 1}) bench->Args({16, 128, random})->Args({16, 1024, random})->Args({4, 8192, random});
}
BENCHMARK(from_memory)->Apply(sizes);
BENCHMARK(from_shards<ShardFormat::llmc_uint16>)->Name("uint16_shards")->Apply(sizes);
BENCHMARK(from_shards<ShardFormat::llmc_uint32>)->Name("uint32_shards")->Apply(sizes);
BENCHMARK(prefetched)
    ->ArgNames({"batch", "context"})
    ->Args({16, 128})
    ->Args({16, 1024})
    ->Args({4, 8192})
    ->UseRealTime();
BENCHMARK(validate)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
