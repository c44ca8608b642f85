// No reader takes more memory than four times the file and a megabyte, whatever the bytes say: on the seeds of the fuzz
// targets and on thousands of files that differ from them.
#include <catch.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <set>

#include <tinygpt/exchange/gguf_import.hpp>
#include <tinygpt/exchange/llmc.hpp>
#include <tinygpt/exchange/nanogpt.hpp>
#include <tinygpt/io/dataset.hpp>
#include <tinygpt/io/model_directory.hpp>

#include <counted_memory.hpp>

using namespace tinygpt;

namespace {

/// A file that lies in memory; its bytes change with each call.
std::string in_memory(std::string_view bytes) {
  static const int fd = ::memfd_create("file", 0);
  REQUIRE(::ftruncate(fd, 0) == 0);
  REQUIRE(::pwrite(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return "/proc/self/fd/" + std::to_string(fd);
}

std::vector<std::string> seeds(const char* target) {
  std::vector<std::string> all;
  const auto folder = std::filesystem::path(TINYGPT_SOURCE_DIR) / "tests/fuzz/corpus" / target;
  std::set<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.insert(entry.path());
  for (const auto& path : paths) all.push_back(read_small_file(path));
  REQUIRE_FALSE(all.empty());
  return all;
}

/// A file that differs from another as broken and as hostile ones do: bytes, numbers of both widths, digits, pieces
/// that are missing, doubled or many.
std::string mutated(std::string s, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  const std::uint64_t numbers[] = {0,           1,           2,          8,          255,        256,
                                   4096,        10'000,      65'535,     1'000'000,  10'000'000, 0x7FFF'FFFF,
                                   0x8000'0000, 0xFFFF'FFFF, 1ull << 40, ~0ull >> 1, ~0ull};
  for (int changes = 1 + static_cast<int>(below(4)); changes > 0; --changes) {
    const std::size_t at = below(s.size() < 1200 || below(2) == 0 ? s.size() : 1200);  // mostly in what is not data
    const std::uint64_t number = numbers[below(std::size(numbers))];
    const std::size_t aligned = at / 4 * 4;
    switch (below(8)) {
      case 0:
        if (!s.empty()) s[at] = static_cast<char>(random());
        break;
      case 1:
        if (aligned + 4 <= s.size()) std::memcpy(s.data() + aligned, &number, 4);
        break;
      case 2:
        if (aligned + 8 <= s.size()) std::memcpy(s.data() + aligned, &number, 8);
        break;
      case 3: {
        const auto digit = s.find_first_of("0123456789", at);
        if (digit != s.npos) s.replace(digit, 1, std::to_string(number));
        break;
      }
      case 4:
        s.resize(at);
        break;
      case 5:
        s.erase(at, below(64));
        break;
      case 6:
        s.insert(at, s.substr(below(s.size()), below(256)));
        break;
      default:
        s.insert(at, below(2) == 0 ? std::string(below(100'000), s.empty() ? 'x' : s[at < s.size() ? at : 0])
                                   : std::string(below(3000), '['));
    }
  }
  return s;
}

using Read = std::function<void(const std::string& bytes)>;

/// Reads the seeds and files that differ from them; says the worst.
void check(const char* target, int mutations, const Read& read) {
  std::mt19937 random(7);
  const auto good = seeds(target);
  std::vector<std::string> files = good;
  double worst = 0;
  int too_much = 0;
  for (int i = 0; i < static_cast<int>(good.size()) + mutations; ++i) {
    const std::size_t seed = static_cast<std::size_t>(i) % good.size();
    const std::string bytes = i < static_cast<int>(good.size()) ? good[seed] : mutated(good[seed], random);
    const std::int64_t peak = peak_bytes_of([&] { read(bytes); });
    worst = std::max(worst, static_cast<double>(peak) / static_cast<double>(most_bytes_for(bytes.size())));
    if (peak > most_bytes_for(bytes.size()) && too_much++ < 3) {
      CAPTURE(target, i, bytes.size(), peak);
      CHECK(peak <= most_bytes_for(bytes.size()));
    }
  }
  CAPTURE(target, worst);
  CHECK(too_much == 0);
  CHECK(worst > 0);  // something was counted
}

}  // namespace

TEST_CASE("the memory of a piece of code is counted") {
  CHECK(peak_bytes_of([] {}) == 0);
  const std::int64_t peak = peak_bytes_of([] {
    const std::vector<char> a(1'000'000);
    { const std::vector<char> b(2'000'000); }
    const std::vector<char> c(500'000);
    throw 1;
  });
  CHECK(peak >= 3'000'000);
  CHECK(peak < 3'010'000);
}

TEST_CASE("no reader of model files takes more than four times the file and a megabyte") {
  check("safetensors", 3000, [&](const std::string& bytes) {
    if (bytes.starts_with('i')) {
      tensor_files::parse_index(parse_json(std::string_view(bytes).substr(1), "index.json"), "index.json");
    } else {
      const SafetensorsReader reader(in_memory(bytes));
    }
  });
  check("gguf", 3000, [&](const std::string& bytes) { read_gguf(in_memory(bytes)); });
  check("llmc", 3000, [&](const std::string& bytes) { read_llmc(in_memory(bytes)); });
  check("nanogpt", 3000, [&](const std::string& bytes) {
    if (!bytes.empty()) read_nanogpt(in_memory(std::string_view(bytes).substr(1)), {bytes[0]});
  });
  check("hf_config", 3000,
        [&](const std::string& bytes) { model_config_from_json(parse_json(bytes, "config.json"), "config.json"); });
}

TEST_CASE("a file of a model that is as narrow as can be asks for no more memory than another") {
  // Consistent to the last byte: 10,000 layers of width 1 or 2, in float32 and bf16.
  for (const std::int32_t width : {1, 2, 8}) {
    for (const std::int32_t version : {llmc::float32_version, llmc::bfloat16_version}) {
      const llmc::Header header{llmc::model_magic, version, 1, 1, 10'000, 1, width, 1};
      const StoredType type = version == llmc::float32_version ? StoredType::float32 : StoredType::bfloat16;
      std::string bytes(static_cast<std::size_t>(*llmc::file_bytes(header, type)), '\0');
      std::memcpy(bytes.data(), &header, sizeof header);
      const std::string path = in_memory(bytes);
      CAPTURE(width, version, bytes.size());
      CHECK(peak_bytes_of([&] { read_llmc(path); }) <= most_bytes_for(bytes.size()));
      if (width == 1) {
        CHECK_THROWS_WITH(read_llmc(path), Catch::Matchers::Contains("width (byte 24) of 1"));
      }
    }
  }
}

TEST_CASE("no reader of tokenizers and data takes more than four times the file and a megabyte") {
  check("tokenizer_json", 3000,
        [](const std::string& bytes) { tokenizer_from_json(parse_json(bytes, "tokenizer.json"), "tokenizer.json"); });
  check("vocab_and_merges", 3000, [](const std::string& bytes) {
    const std::string_view text(bytes);
    const auto zero = std::min(text.find('\0'), text.size());
    tokenizer_from_vocab_and_merges(parse_json(text.substr(0, zero), "vocab.json"), "vocab.json",
                                    text.substr(std::min(zero + 1, text.size())), "merges.txt");
  });
  check("dataset_json", 3000, [](const std::string& bytes) {
    const bool metadata = bytes.starts_with('m');
    const Json json = parse_json(std::string_view(bytes).substr(metadata ? 1 : 0), "dataset.json");
    metadata ? dataset::raw("/nonexistent", json) : dataset::prepared("/nonexistent", json);
  });
  check("shard", 3000, [&](const std::string& bytes) {
    const auto shard = TokenShard::open(in_memory(std::string_view(bytes).substr(bytes.empty() ? 0 : 1)));
    shard.validate(50257, [](auto) {});
  });
}
