// Bad GGUF files made by hand: each is one typed error that says where.
#include <catch.hpp>

#include <cstring>
#include <functional>
#include <regex>

#include <tinygpt/exchange/gguf.hpp>
#include <tinygpt/exchange/gguf_import.hpp>

#include <counted_memory.hpp>
#include <scratch.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

/// Bytes in a row.
class Bytes {
 public:
  template <class N> Bytes& number(N n) {
    text_.append(reinterpret_cast<const char*>(&n), sizeof n);
    return *this;
  }
  Bytes& u32(std::uint32_t n) { return number(n); }
  Bytes& u64(std::uint64_t n) { return number(n); }
  Bytes& raw(std::string_view s) {
    text_ += s;
    return *this;
  }
  Bytes& text(std::string_view s) { return u64(s.size()).raw(s); }
  Bytes& key(std::string_view name, gguf::Kind kind) { return text(name).u32(static_cast<std::uint32_t>(kind)); }
  Bytes& pad(std::size_t to = 32) {
    text_.resize((text_.size() + to - 1) / to * to);
    return *this;
  }
  const std::string& str() const { return text_; }

 private:
  std::string text_;
};

Bytes header(std::uint64_t tensors, std::uint64_t keys) { return Bytes().raw("GGUF").u32(3).u64(tensors).u64(keys); }

struct Dim {
  std::vector<std::uint64_t> extents;
};
void entry(Bytes& b, std::string_view name, const Dim& dim, std::uint32_t type, std::uint64_t offset) {
  b.text(name).u32(static_cast<std::uint32_t>(dim.extents.size()));
  for (const std::uint64_t e : dim.extents) b.u64(e);
  b.u32(type).u64(offset);
}

/// One tensor without keys, and so many bytes of data after the padding.
std::string one(std::string_view name, const Dim& dim, std::uint32_t type, std::uint64_t offset, std::size_t data) {
  Bytes b = header(1, 0);
  entry(b, name, dim, type, offset);
  return b.pad().raw(std::string(data, '\0')).str();
}
std::string two(std::string_view name, std::uint64_t second_offset, std::size_t data) {
  Bytes b = header(2, 0);
  entry(b, "a", {{4}}, 0, 0);
  entry(b, name, {{4}}, 0, second_offset);
  return b.pad().raw(std::string(data, '\0')).str();
}
std::string one_key(const std::function<void(Bytes&)>& fill) {
  Bytes b = header(0, 1);
  fill(b);
  return b.str();
}

using gguf::Kind;
constexpr std::uint64_t huge = ~std::uint64_t{0};

struct Bad {
  const char* name;
  std::string bytes;
  const char* says;
};

std::vector<Bad> bad_files() {
  const std::string long_key(70'000, 'k');
  const auto array = [](Kind element, std::uint64_t n, std::string_view data) {
    return one_key(
        [&](Bytes& b) { b.key("k", Kind::array).u32(static_cast<std::uint32_t>(element)).u64(n).raw(data); });
  };
  const auto alignment = [](Kind kind, std::uint64_t n) {
    return one_key([&](Bytes& b) {
      b.key("general.alignment", kind);
      kind == Kind::u32 ? b.u32(static_cast<std::uint32_t>(n)) : b.u64(n);
    });
  };
  return {
      {"three bytes", "GGU", "byte 0"},
      {"another mark", "GGML" + header(0, 0).str().substr(4), "byte 0"},
      {"a mark alone", "GGUF", "byte 4"},
      {"half a version", std::string("GGUF\3\0", 6), "byte 4"},
      {"version 0", Bytes().raw("GGUF").u32(0).u64(0).u64(0).str(), "version 0"},
      {"version 1", Bytes().raw("GGUF").u32(1).u64(0).u64(0).str(), "version 1"},
      {"a future version", Bytes().raw("GGUF").u32(4).u64(0).u64(0).str(), "version 4"},
      {"big-endian", Bytes().raw("GGUF").u32(0x03000000).u64(0).u64(0).str(), "version 50331648"},
      {"no counts", Bytes().raw("GGUF").u32(3).str(), "byte 8"},
      {"no number of keys", Bytes().raw("GGUF").u32(3).u64(0).str(), "byte 16"},
      {"as many tensors as there are numbers", header(huge, 0).str(), "byte 8"},
      {"so many tensors that their memory wraps", header(huge / 64 + 2, 0).pad(4096).str(), "byte 8"},
      {"a tensor more than the bytes", header(2, 0).raw(std::string(65, 'x')).str(), "byte"},
      {"as many keys as there are numbers", header(0, huge).str(), "byte 16"},
      {"more keys than bytes", header(0, 10).raw(std::string(100, '\0')).str(), "byte 16"},
      {"more keys than any file", header(0, 5000).raw(std::string(100'000, '\0')).str(), "byte 16"},
      {"a key that is missing", header(0, 1).raw(std::string(7, '\0')).str(), "byte 16"},
      {"a key of no characters", one_key([](Bytes& b) { b.key("", Kind::u64).u64(1); }), "byte 24"},
      {"a key with a zero in it", one_key([](Bytes& b) { b.key(std::string_view("a\0b", 3), Kind::u64).u64(1); }),
       "byte 24"},
      {"a key longer than the file", one_key([](Bytes& b) { b.u64(200).raw("short and too short"); }), "byte 32"},
      {"a key as long as there are numbers", one_key([](Bytes& b) { b.u64(huge).raw("0123456789"); }), "byte 24"},
      {"a key of 70,000 characters", one_key([&](Bytes& b) { b.key(long_key, Kind::u64).u64(1); }), "byte 24"},
      {"a type that is none", one_key([](Bytes& b) { b.text("key").u32(13).u64(0); }), "byte 35"},
      {"a type of all ones", one_key([](Bytes& b) { b.text("key").u32(~0u).u64(0); }), "byte 35"},
      {"a value that is missing", one_key([](Bytes& b) { b.key("key", Kind::u64).u32(0); }), "byte 39"},
      {"a truth of 2", one_key([](Bytes& b) { b.key("key", Kind::boolean).raw("\2"); }), "byte 39"},
      {"a text longer than the file", one_key([](Bytes& b) { b.key("key", Kind::text).u64(9).raw("eight888"); }),
       "byte 47"},
      {"a text of all ones", one_key([](Bytes& b) { b.key("key", Kind::text).u64(huge).raw("eight888"); }), "byte 39"},
      {"a key twice", header(0, 2).key("k", Kind::u8).raw("\1").key("k", Kind::u8).raw("\2").str(), "twice"},
      {"an array of arrays", array(Kind::array, 1, std::string(40, '\0')), "array of arrays"},
      {"an array of nothing known", array(static_cast<Kind>(99), 1, std::string(40, '\0')), "99"},
      {"an array longer than the file", array(Kind::u8, 5, "1234"), "byte 41"},
      {"an array whose bytes wrap", array(Kind::u64, huge / 8 + 1, std::string(8, '\0')), "byte 41"},
      {"an array of too many texts", array(Kind::text, huge / 8 + 2, std::string(16, '\0')), "byte 41"},
      {"an array of a text that is too long", array(Kind::text, 1, Bytes().u64(3).raw("ab").str()), "byte 57"},
      {"an array of a text whose length wraps", array(Kind::text, 1, Bytes().u64(huge - 7).raw("ab").str()), "byte 57"},
      {"an array that ends in a length", array(Kind::text, 2, Bytes().u64(3).raw("abcd12345").str()), "byte 60"},
      {"an alignment of 0", alignment(Kind::u32, 0), "alignment is 0"},
      {"an alignment of 3", alignment(Kind::u32, 48), "alignment is 48"},
      {"an alignment of 2^31", alignment(Kind::u32, 1u << 31), "alignment is 2147483648"},
      {"an alignment of 64 bits", alignment(Kind::u64, 32), "32-bit"},
      {"a name of 64 characters", one(std::string(64, 'n'), {{4}}, 0, 0, 32), "byte 24"},
      {"a name of no characters", one("", {{4}}, 0, 0, 64), "byte 24"},
      {"a name with an escape", one("a\x1b[2J", {{4}}, 0, 0, 32), "byte 24"},
      {"no dimensions", one("a", {{}}, 0, 0, 64), "0 dimensions"},
      {"five dimensions", one("a", {{1, 1, 1, 1, 1}}, 0, 0, 32), "5 dimensions"},
      {"2^32 - 1 dimensions", header(1, 0).text("a").u32(~0u).u64(1).u64(1).u64(1).str(), "dimensions"},
      {"an extent of 0", one("a", {{4, 0}}, 0, 0, 32), "extent of 0"},
      {"a negative extent", one("a", {{4, huge}}, 0, 0, 32), "extent"},
      {"a product of extents that wraps to 4", one("a", {{4, (huge >> 1) + 2, 2, 1}}, 0, 0, 32), "extent"},
      {"a product that wraps to 0", one("a", {{1ull << 32, 1ull << 32}}, 0, 0, 32), "extent"},
      {"bytes that wrap", one("a", {{1ull << 31, 1ull << 31}}, 0, 0, 32), "larger than any file"},
      {"bytes that wrap when padded", one("a", {{huge >> 1}}, 0, 0, 32), "larger than any file"},
      {"more bytes than the file", one("a", {{1'000'000}}, 0, 0, 32), "more than the file can hold"},
      {"a type of tensors that is none", one("a", {{32}}, 4, 0, 128), "type 4"},
      {"a type of tensors of all ones", one("a", {{32}}, ~0u, 0, 128), "type 4294967295"},
      {"a row that is no whole block", one("a", {{33}}, 8, 0, 128), "no whole blocks"},
      {"a place that is not the first", one("a", {{4}}, 0, 32, 128), "is at 32"},
      {"a place of all ones", one("a", {{4}}, 0, huge, 128), "no file has"},
      {"a place that overlaps", two("b", 0, 64), "is at 0"},
      {"a place that is not aligned", two("b", 16, 64), "is at 16"},
      {"a place after a hole", two("b", 64, 128), "is at 64"},
      {"a name twice", two("a", 32, 64), "twice"},
      {"data that is missing", two("b", 32, 40), "48 bytes"},
      {"no data at all", header(1, 0).str() + Bytes().text("a").u32(1).u64(1).u32(0).u64(0).str(), "at byte"},
      {"bytes after the last tensor", two("b", 32, 65), "1 bytes after"},
  };
}

std::size_t offset_in(const std::string& message) {
  std::smatch found;
  REQUIRE(std::regex_search(message, found, std::regex("at byte ([0-9]+), ")));
  return std::stoul(found[1]);
}

}  // namespace

TEST_CASE("sixty bad files are each refused with the place of the fault") {
  const ScratchDirectory scratch;
  const auto files = bad_files();
  CHECK(files.size() >= 60);
  for (const Bad& bad : files) {
    CAPTURE(bad.name);
    const auto path = scratch.file("bad.gguf", bad.bytes);
    std::string said;
    try {
      const GgufReader file(path);
    } catch (const DamagedFile& error) {
      said = error.what();
    }
    CAPTURE(said);
    CHECK_THAT(said, Contains(bad.says));
    CHECK(offset_in(said) <= bad.bytes.size());
    CHECK(peak_bytes_of([&] { const GgufReader file(path); }) <= most_bytes_for(bad.bytes.size()));
  }
}

TEST_CASE("a good small file is read, so that the bad ones are bad for their own reason") {
  const ScratchDirectory scratch;
  CHECK(GgufReader(scratch.file("a", two("b", 32, 64))).tensor("b")->offset == 128);
  CHECK(GgufReader(scratch.file("b", two("b", 32, 48))).tensors().size() == 2);  // without the last padding
  CHECK(GgufReader(scratch.file("c", one("a", {{32, 2}}, 8, 0, 68))).tensors()[0].shape[0] == 2);
  CHECK(GgufReader(scratch.file("d", header(0, 0).str())).tensors().empty());
  const auto values = header(0, 3).key("a", Kind::i8).raw("\xff").key("b", Kind::f64).number(0.5).key("c", Kind::array);
  const GgufReader file(scratch.file("e", Bytes(values).u32(8).u64(2).text("").text("xy").str()));
  CHECK(file.find("a")->bits == huge);
  CHECK(file.real("b") == 0.5);
  CHECK(file.find("c")->text(0).empty());
  CHECK(file.find("c")->text(1) == "xy");
  CHECK(file.find("d") == nullptr);
  const auto aligned = header(1, 1).key("general.alignment", Kind::u32).u32(64);
  Bytes b = aligned;
  entry(b, "a", {{4}}, 0, 0);
  CHECK(GgufReader(scratch.file("f", b.pad(64).raw(std::string(64, '\0')).str())).tensors()[0].offset % 64 == 0);
}

TEST_CASE("every prefix of a file, and every file with a byte changed in its head, is read or refused") {
  const ScratchDirectory scratch;
  const Config config{.layers = 1,
                      .embd = 4,
                      .query_heads = 2,
                      .kv_heads = 1,
                      .ctx = 4,
                      .head_dim = 2,
                      .vocab = 258,
                      .ffn = 4,
                      .activation = swiglu,
                      .norm = rms,
                      .positions = rope};
  const std::vector<float> weights(static_cast<std::size_t>(ParamTable(config).arena_size()), 0.5f);
  const Tokenizer bytes = Tokenizer::bytes();
  write_gguf(scratch.path / "model", {"m", config, weights, &bytes}, GgufType::f32);
  const std::string whole = read_small_file(scratch.path / "model");
  CHECK(read_gguf(scratch.path / "model").config == config);
  int refused = 0;
  for (std::size_t n = 0; n < whole.size(); n += n < 2000 ? 7 : 97) {
    const auto path = scratch.file("part", whole.substr(0, n));
    CHECK_THROWS_AS(read_gguf(path), DamagedFile);
    ++refused;
  }
  CHECK(refused > 300);
  for (std::size_t at = 0; at < 9000; at += 3) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
    const auto path = scratch.file("changed", changed);
    try {
      read_gguf(path);
    } catch (const Error&) {
    }
  }
}

namespace {

/// A model whose keys can be changed.
struct Model {
  std::string architecture = "llama";
  std::function<void(gguf::Header&)> more = [](gguf::Header&) {};
  std::map<std::string, std::uint32_t> sizes{
      {"block_count", 1},          {"context_length", 8},          {"embedding_length", 4}, {"feed_forward_length", 4},
      {"attention.head_count", 2}, {"attention.head_count_kv", 1}, {"vocab_size", 3}};
  float epsilon = 1e-6f, base = 10000;
  std::vector<std::string> tokens{"a", "b", "ab"}, merges{"a b"};
  std::vector<std::int32_t> types{1, 1, 1};
  std::string tokenizer = "gpt2", pre = "gpt-2";
  std::vector<MappedTensor> tensors;

  Model() {
    const Config c{.layers = 1,
                   .embd = 4,
                   .query_heads = 2,
                   .kv_heads = 1,
                   .ctx = 8,
                   .head_dim = 2,
                   .vocab = 3,
                   .ffn = 4,
                   .activation = swiglu,
                   .norm = rms,
                   .positions = rope,
                   .head = tied};
    tensors = gguf_tensors(c, "llama");
  }

  std::string bytes() const {
    gguf::Header keys;
    keys.key("general.architecture", std::string_view(architecture));
    for (const auto& [name, n] : sizes) keys.key("llama." + name, n);
    keys.key("llama.attention.layer_norm_rms_epsilon", epsilon);
    keys.key("llama.rope.freq_base", base);
    keys.key("tokenizer.ggml.model", std::string_view(tokenizer));
    keys.key("tokenizer.ggml.pre", std::string_view(pre));
    keys.key("tokenizer.ggml.tokens", tokens);
    keys.key("tokenizer.ggml.token_type", types);
    keys.key("tokenizer.ggml.merges", merges);
    more(keys);
    Bytes b = header(tensors.size(), keys.keys()).raw(keys.bytes());
    std::string data;
    for (const MappedTensor& tensor : tensors) {
      std::vector<std::uint64_t> extents;
      for (std::size_t i = tensor.shape.size(); i-- > 0;)
        extents.push_back(static_cast<std::uint64_t>(tensor.shape[i]));
      entry(b, tensor.name, {extents}, 0, data.size());
      std::int64_t n = 1;
      for (const std::int64_t e : tensor.shape) n *= e;
      data.resize((data.size() + static_cast<std::size_t>(n) * 4 + 31) / 32 * 32);
    }
    return b.pad().raw(data).str();
  }
};

}  // namespace

TEST_CASE("a sound file of a model that cannot be is refused by a sentence") {
  const ScratchDirectory scratch;
  const auto import = [&](const std::function<void(Model&)>& change) {
    Model model;
    change(model);
    return read_gguf(scratch.file("model.gguf", model.bytes()));
  };
  const auto refused = [&](const std::function<void(Model&)>& change, const std::string& why) {
    CAPTURE(why);
    CHECK_THROWS_WITH(import(change), Contains(why));
    CHECK_THROWS_AS(import(change), Error);
  };
  CHECK(import([](Model&) {}).config.vocab == 3);
  CHECK(import([](Model& m) { m.epsilon = 1e-5f; }).config.norm_eps == 1e-5);
  CHECK(import([](Model&) {}).tokenizer->encode("ab") == std::vector<std::int32_t>{2});
  refused([](Model& m) { m.architecture = "mamba"; }, "mamba");
  for (const char* const key : {"block_count", "context_length", "embedding_length", "feed_forward_length",
                                "attention.head_count", "attention.head_count_kv"}) {
    refused([&](Model& m) { m.sizes[key] = 0; }, "is 0, not 1 to");
    refused([&](Model& m) { m.sizes[key] = 0x7FFFFFFF; }, "is 2147483647, not 1 to");
    refused([&](Model& m) { m.sizes[key] = 0xFFFFFFFF; }, "from 0 to 2147483647");
  }
  refused([](Model& m) { m.sizes.erase("block_count"); }, "'llama.block_count' is missing");
  refused([](Model& m) { m.sizes["block_count"] = 2; }, "is missing");
  refused([](Model& m) { m.sizes["block_count"] = 10'000; }, "parameters");
  refused([](Model& m) { m.sizes["feed_forward_length"] = 10'000'000; }, "parameters");
  refused([](Model& m) { m.sizes["embedding_length"] = 6; }, "even");
  refused([](Model& m) { m.sizes["attention.head_count"] = 3; }, "heads");
  refused([](Model& m) { m.sizes["attention.head_count_kv"] = 4; }, "n_kv_head");
  refused([](Model& m) { m.sizes["attention.key_length"] = 3; }, "even");
  refused([](Model& m) { m.sizes["attention.value_length"] = 4; }, "value_length");
  refused([](Model& m) { m.sizes["rope.dimension_count"] = 1; }, "rope.dimension_count");
  refused([](Model& m) { m.sizes["expert_count"] = 8; }, "expert_count");
  refused([](Model& m) { m.sizes["attention.sliding_window"] = 8; }, "sliding_window");
  refused([](Model& m) { m.more = [](auto& k) { k.key("llama.rope.scaling.type", std::string_view("yarn")); }; },
          "RoPE");
  for (const float epsilon : {0.0f, -1e-5f, 1e-13f, 1.0f, INFINITY}) {
    refused([&](Model& m) { m.epsilon = epsilon; }, "layer_norm_rms_epsilon' must be a number from 1e-12 to 0.1");
  }
  refused([](Model& m) { m.epsilon = NAN; }, "layer_norm_rms_epsilon");
  refused([](Model& m) { m.base = 10000.5f; }, "base");
  refused([](Model& m) { m.base = NAN; }, "base");
  refused([](Model& m) { m.base = 1e20f; }, "base");
  refused([](Model& m) { m.tensors.pop_back(); }, "missing");
  refused([](Model& m) { m.tensors.erase(m.tensors.begin()); }, "token_embd.weight");
  refused([](Model& m) { m.tensors.push_back({"rope_freqs.weight", {1}, {}}); }, "rope_freqs");
  refused([](Model& m) { m.tensors.back().shape = {2, 2}; }, "shape (2, 2)");
  refused([](Model& m) { m.tokenizer = "llama"; }, "'llama'");
  refused([](Model& m) { m.pre = "qwen2"; }, "'qwen2'");
  refused([](Model& m) { m.tokens.pop_back(); }, "2 tokens");
  refused([](Model& m) { m.types.pop_back(); }, "another number");
  refused([](Model& m) { m.types = {1, 6, 1}; }, "does not stand for bytes");
  refused([](Model& m) { m.tokens[1] = "\xff"; }, "does not stand for bytes");
  refused([](Model& m) { m.tokens[1] = "a"; }, "");
  refused([](Model& m) { m.merges = {"a c"}; }, "element 0");
  refused([](Model& m) { m.merges = {"ab"}; }, "element 0");
  refused([](Model& m) { m.merges = {""}; }, "element 0");
  refused([](Model& m) { m.merges = {"a b", "a b"}; }, "merge 2");
}
