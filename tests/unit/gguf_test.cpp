// GGUF files: what is written is what llama.cpp's format says, and can be read again.
#include <catch.hpp>

#include <cstring>
#include <map>
#include <numeric>
#include <set>

#include <tinygpt/exchange/gguf.hpp>
#include <tinygpt/exchange/gguf_import.hpp>

#include <numbers.hpp>
#include <scratch.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

const Config gpt2_like{.layers = 2,
                       .embd = 64,
                       .query_heads = 4,
                       .kv_heads = 4,
                       .ctx = 16,
                       .head_dim = 16,
                       .vocab = 261,
                       .ffn = 256,
                       .activation = gelu_tanh,
                       .bias = all};
const Config llama_like{.layers = 2,
                        .embd = 64,
                        .query_heads = 4,
                        .kv_heads = 2,
                        .ctx = 16,
                        .head_dim = 24,
                        .vocab = 259,
                        .ffn = 96,
                        .activation = swiglu,
                        .norm = rms,
                        .positions = rope,
                        .rope_base = 500'000,
                        .head = untied};

/// One of each kind.
std::map<std::string, Config> configs() {
  std::map<std::string, Config> list{{"gpt2", gpt2_like}, {"llama", llama_like}};
  Config c = gpt2_like;
  c.bias = none;
  list["gpt2 without biases"] = c;
  c.head = untied;
  c.bias = attn_in | attn_out;
  list["gpt2 untied with biases of the attention"] = c;
  c = llama_like;
  c.head = tied;
  c.bias = all;
  list["llama tied with biases"] = c;
  c = llama_like;
  c.qk_norm = true;
  list["qwen3"] = c;
  c.norm_eps = 1e-5;
  list["qwen3 with llama's epsilon"] = c;
  c.head = tied;
  c.query_heads = c.kv_heads = 3;
  list["qwen3 tied"] = c;
  return list;
}

LoadedModel random_model(const Config& config, unsigned seed = 1) {
  const ParamTable table(config);
  LoadedModel model{"test", config, std::vector<float>(static_cast<std::size_t>(table.arena_size())),
                    Tokenizer::bytes()};
  for (const ParamRow& row : table) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      const auto x = test::normal(static_cast<std::size_t>(row.layer_size()),
                                  seed * 1000 + static_cast<unsigned>(row.id) * 10 + static_cast<unsigned>(l), 0.02);
      std::copy(x.begin(), x.end(), model.weights.begin() + (row.offset + l * row.stride));
    }
  }
  return model;
}

std::vector<float> numbers_of(const GgufReader& file, const gguf::Tensor& tensor) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.bytes));
  file.read(tensor.offset, bytes);
  std::vector<float> x(1);
  for (std::size_t i = 0; i < tensor.dimensions; ++i) x.resize(x.size() * static_cast<std::size_t>(tensor.shape[i]));
  gguf::dequantize(tensor.type, bytes.data(), x);
  return x;
}

double relative_error(std::span<const float> actual, std::span<const float> expected) {
  return test::relative_error(std::vector<double>(actual.begin(), actual.end()),
                              std::vector<double>(expected.begin(), expected.end()));
}

/// Of numbers that went through a type.
double error_of(gguf::TensorType type, const std::vector<float>& x) {
  const auto& row = gguf::tensor_type(type);
  std::vector<std::byte> bytes(x.size() / static_cast<std::size_t>(row.block) * static_cast<std::size_t>(row.bytes));
  gguf::quantize(type, x, bytes.data());
  std::vector<float> back(x.size());
  gguf::dequantize(type, bytes.data(), back);
  return relative_error(back, x);
}

}  // namespace

TEST_CASE("quantised normal numbers are as near as the types allow") {
  for (const float deviation : {1.0f, 0.02f, 1e-3f}) {
    const auto drawn = test::normal(1 << 18, 7, static_cast<double>(deviation));
    const std::vector<float> x(drawn.begin(), drawn.end());
    CAPTURE(deviation, error_of(gguf::TensorType::q5_0, x), error_of(gguf::TensorType::q4_k, x));
    CHECK(error_of(gguf::TensorType::f32, x) == 0);
    CHECK(error_of(gguf::TensorType::bf16, x) < 0.0018);
    CHECK(error_of(gguf::TensorType::f16, x) < (deviation < 0.01f ? 0.0004 : 0.00022));
    CHECK(error_of(gguf::TensorType::q8_0, x) <= 0.006);
    CHECK(error_of(gguf::TensorType::q5_0, x) <= 0.045);
    CHECK(error_of(gguf::TensorType::q4_0, x) <= 0.09);
    CHECK(error_of(gguf::TensorType::q4_k, x) <= 0.075);
  }
}

TEST_CASE("blocks have the bytes that the format says") {
  std::vector<float> x(32);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i) - 16;
  std::byte bytes[34];
  gguf::quantize(gguf::TensorType::q8_0, x, bytes);
  std::uint16_t d;
  std::memcpy(&d, bytes, 2);
  CHECK(d == float16(16.0f / 127).bits);
  CHECK(bytes[2] == std::byte{0x81});                   // -127
  CHECK(std::to_integer<int>(bytes[2 + 16 + 1]) == 8);  // 1 * 127 / 16 = 7.94
  gguf::quantize(gguf::TensorType::q4_0, x, bytes);
  std::memcpy(&d, bytes, 2);
  CHECK(d == float16(2.0f).bits);           // -16 / -8
  CHECK(bytes[2] == std::byte{0x80});       // number 0 is -16: 0; number 16 is 0: 8
  CHECK(bytes[2 + 15] == std::byte{0xF8});  // -1: 8 (-0.5 + 8.5); 15: 15 (7.5 + 8.5, at most 15)
  gguf::quantize(gguf::TensorType::q5_0, x, bytes);
  std::uint32_t high;
  std::memcpy(&high, bytes + 2, 4);
  CHECK(high == 0xFFFF0000u);
  CHECK(bytes[6] == std::byte{0x00});       // 0 and 16
  CHECK(bytes[6 + 15] == std::byte{0xFF});  // 15 and 31
}

TEST_CASE("blocks of zeros, of one number and of tiny numbers come back") {
  for (const auto& row : gguf::tensor_types) {
    const auto n = static_cast<std::size_t>(row.block);
    CAPTURE(row.name);
    for (const float value : {0.0f, 0.75f, -0.75f, 1e-30f, -1e-42f, 65504.0f}) {
      CAPTURE(value);
      std::vector<std::byte> bytes(static_cast<std::size_t>(row.bytes));
      std::vector<float> x(n, value), back(n);
      gguf::quantize(row.type, x, bytes.data());
      gguf::dequantize(row.type, bytes.data(), back);
      for (const float y : back) REQUIRE(std::fabs(y - value) <= std::fabs(value) * 0.07f + 1e-7f);
    }
  }
}

TEST_CASE("the numbers of 6 bits of Q4_K are where they are expected") {
  std::array<int, 8> scales, offsets, scales_back, offsets_back;
  for (int i = 0; i < 8; ++i) {
    scales[static_cast<std::size_t>(i)] = 63 - 7 * i;
    offsets[static_cast<std::size_t>(i)] = 5 + 8 * i;
  }
  std::byte bytes[12];
  gguf::q4_k::pack(scales, offsets, bytes);
  gguf::q4_k::unpack(bytes, scales_back, offsets_back);
  CHECK(scales == scales_back);
  CHECK(offsets == offsets_back);
  CHECK(std::to_integer<int>(bytes[0]) == (63 | (scales[4] >> 4) << 6));
  CHECK(std::to_integer<int>(bytes[8]) == ((scales[4] & 15) | (offsets[4] & 15) << 4));
}

TEST_CASE("the search of Q4_K is better than the range alone") {
  const auto drawn = test::normal(256, 3);
  const std::vector<float> x(drawn.begin(), drawn.end());
  for (int p = 0; p < 8; ++p) {
    const float* const part = x.data() + 32 * p;
    const auto fit = gguf::q4_k::fit(part);
    const float low = std::min(*std::min_element(part, part + 32), 0.0f);
    const float high = std::max(*std::max_element(part, part + 32), 0.0f);
    CHECK(gguf::q4_k::error_of(part, fit.scale, fit.offset) < gguf::q4_k::error_of(part, (high - low) / 15, -low));
  }
}

TEST_CASE("a file has the model's keys and tensors, each in its place") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model.gguf";
  for (const auto& [name, config] : configs()) {
    CAPTURE(name);
    const LoadedModel model = random_model(config);
    write_gguf(path, model.view(), GgufType::f32);
    const GgufReader file(path);
    const std::string a = name.substr(0, name.find(' '));
    CHECK(file.text("general.architecture") == a);
    CHECK(file.text("general.name") == "test");
    CHECK(file.whole("general.file_type") == 0);
    CHECK(file.whole(a + ".block_count") == 2);
    CHECK(file.whole(a + ".context_length") == 16);
    CHECK(file.whole(a + ".vocab_size") == config.vocab);
    CHECK(file.array("tokenizer.ggml.tokens", gguf::Kind::text).size == static_cast<std::uint64_t>(config.vocab));
    if (a != "gpt2") {
      CHECK(file.whole(a + ".rope.dimension_count") == 24);
      CHECK(file.whole(a + ".attention.head_count_kv") == config.kv_heads);
      CHECK(file.real(a + ".rope.freq_base") == 500'000);
      CHECK(file.real(a + ".attention.layer_norm_rms_epsilon") == static_cast<float>(config.norm_eps));
    }
    std::int64_t end = 0;
    for (const gguf::Tensor& tensor : file.tensors()) {
      CHECK(tensor.offset % 32 == 0);
      CHECK(tensor.offset >= end);
      end = tensor.offset + tensor.bytes;
    }
    CHECK(file.size() == (end + 31) / 32 * 32);
    CHECK((file.tensor("output.weight") != nullptr) == (a == "gpt2" || config.head == untied));
    CHECK(file.tensor("blk.1.ffn_down.weight")->shape_vector() == std::vector<std::int64_t>{64, config.ffn});
  }
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);
}

TEST_CASE("queries and keys of llama are turned to neighbours, and those of qwen3 are not") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model.gguf";
  for (const bool qk_norm : {false, true}) {
    Config config = llama_like;
    config.qk_norm = qk_norm;
    config.bias = qk_norm ? BiasSet::none : all;
    const LoadedModel model = random_model(config);
    write_gguf(path, model.view(), GgufType::f32);
    const GgufReader file(path);
    const ParamTable table(config);
    const std::int64_t C = config.embd, D = config.head_dim;
    const auto ours = [&](std::int64_t row, std::int64_t col) {
      const ParamRow& r = table[Param::qkv_weight];
      return model.weights[static_cast<std::size_t>(r.offset + r.stride + row * C + col)];
    };
    const auto q = numbers_of(file, *file.tensor("blk.1.attn_q.weight"));
    const auto k = numbers_of(file, *file.tensor("blk.1.attn_k.weight"));
    const auto v = numbers_of(file, *file.tensor("blk.1.attn_v.weight"));
    // Number i of the first half of head h is its number 2 i there, that of the second half 2 i + 1.
    int wrong = 0;
    for (std::int64_t h = 0; h < config.query_heads; ++h) {
      for (std::int64_t half = 0; half < 2; ++half) {
        for (std::int64_t i = 0; i < D / 2; ++i) {
          for (std::int64_t c = 0; c < C; ++c) {
            const std::int64_t from = h * D + half * (D / 2) + i, to = qk_norm ? from : h * D + 2 * i + half;
            wrong += q[static_cast<std::size_t>(to * C + c)] != ours(from, c);
            if (h >= config.kv_heads) continue;
            wrong += k[static_cast<std::size_t>(to * C + c)] != ours(config.query_width() + from, c);
            wrong +=
                v[static_cast<std::size_t>(from * C + c)] != ours(config.query_width() + config.kv_width() + from, c);
          }
        }
      }
    }
    CHECK(wrong == 0);
    if (qk_norm) continue;
    const ParamRow& bias = table[Param::qkv_bias];
    CHECK(numbers_of(file, *file.tensor("blk.0.attn_q.bias"))[3] ==
          model.weights[static_cast<std::size_t>(bias.offset + 12 + 1)]);
  }
}

TEST_CASE("a model comes back from its file, bit for bit in float32") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model.gguf";
  for (const auto& [name, config] : configs()) {
    CAPTURE(name);
    const LoadedModel model = random_model(config);
    write_gguf(path, model.view(), GgufType::f32);
    const LoadedModel back = read_gguf(path);
    CHECK(back.config == config);
    CHECK(back.name == "test");
    CHECK(back.weights == model.weights);
    REQUIRE(back.tokenizer);
    CHECK(*back.tokenizer == Tokenizer::bytes());
    for (const auto& [type, most] :
         {std::pair(GgufType::f16, 3e-4), std::pair(GgufType::bf16, 2e-3), std::pair(GgufType::q8_0, 6e-3),
          std::pair(GgufType::q4_0, 0.09), std::pair(GgufType::q4_k, 0.09)}) {
      write_gguf(path, model.view(), type);
      const LoadedModel near = read_gguf(path);
      CHECK(near.config == config);
      const double error = relative_error(near.weights, model.weights);
      CAPTURE(static_cast<int>(type), error);
      CHECK(error < most);
      CHECK((error > most / 50));
    }
  }
}

TEST_CASE("vectors stay float32, and rows that are no whole blocks go into other types") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model.gguf";
  const auto type_in = [&](Config config, GgufType type, const char* tensor) {
    write_gguf(path, random_model(config).view(), type);
    return std::string(gguf::tensor_type(GgufReader(path).tensor(tensor)->type).name);
  };
  CHECK(type_in(gpt2_like, GgufType::q4_k, "blk.0.ffn_down.weight") == "Q4_K");  // rows of 256
  CHECK(type_in(gpt2_like, GgufType::q4_k, "blk.0.ffn_up.weight") == "Q5_0");    // rows of 64
  CHECK(type_in(gpt2_like, GgufType::q4_k, "output.weight") == "Q8_0");
  CHECK(type_in(gpt2_like, GgufType::q4_0, "token_embd.weight") == "Q8_0");  // the same numbers
  CHECK(type_in(llama_like, GgufType::q4_0, "token_embd.weight") == "Q4_0");
  CHECK(type_in(llama_like, GgufType::q4_0, "output.weight") == "Q8_0");
  CHECK(type_in(gpt2_like, GgufType::q8_0, "position_embd.weight") == "F32");
  CHECK(type_in(gpt2_like, GgufType::f16, "blk.1.attn_qkv.bias") == "F32");
  CHECK(type_in(gpt2_like, GgufType::bf16, "blk.1.attn_norm.weight") == "F32");
  Config narrow = gpt2_like;
  narrow.embd = 48, narrow.head_dim = 12;
  CHECK(type_in(narrow, GgufType::q8_0, "blk.0.ffn_up.weight") == "F16");
  CHECK(type_in(narrow, GgufType::q8_0, "blk.0.ffn_down.weight") == "Q8_0");
  CHECK_THAT(gguf_remarks(narrow, GgufType::q8_0).at(0), Contains("F16") && Contains("48"));
  CHECK_THAT(gguf_remarks(gpt2_like, GgufType::q4_k).at(0), Contains("Q5_0") && Contains("256"));
  CHECK(gguf_remarks(gpt2_like, GgufType::q8_0).empty());
  narrow.activation = gelu;
  CHECK_THAT(gguf_remarks(narrow, GgufType::f32).at(0), Contains("tanh"));
}

TEST_CASE("an architecture that llama.cpp does not know is refused, and nothing is written") {
  const ScratchDirectory scratch;
  const auto path = scratch.file("model.gguf", "old");
  const auto refused = [&](Config config, const std::string& why) {
    CHECK_THROWS_WITH(write_gguf(path, random_model(config).view(), GgufType::f32), Contains(why));
    CHECK(std::filesystem::file_size(path) == 3);
  };
  Config c = gpt2_like;
  c.activation = relu;
  refused(c, "relu");
  c = llama_like;
  c.qk_norm = true;
  c.bias = attn_in | attn_out;
  refused(c, "QkNorm");
  c = llama_like;
  c.positions = none;
  refused(c, "Positions<none>");
}

TEST_CASE("numbers that a type cannot keep are refused by name, and the old file stays") {
  const ScratchDirectory scratch;
  const auto path = scratch.file("model.gguf", "old");
  using enum GgufType;
  const auto holds = [](GgufType type, float x) {
    return type == f32 || type == bf16 || std::fabs(x) <= (type == f16 ? 65504 : type == q8_0 ? 8e6f : 5e5f);
  };
  for (const float x : {NAN, -INFINITY, INFINITY, 65504.0f, -65505.0f, -5e5f, 8e6f, 8.4e6f, 3.39e38f}) {
    LoadedModel model = random_model(llama_like);
    const ParamRow row = ParamTable(llama_like)[Param::ffn_out_weight];
    model.weights[static_cast<std::size_t>(row.offset + row.stride + 5)] = x;
    for (const GgufType type : {f32, bf16, f16, q8_0, q4_0}) {
      CAPTURE(x, static_cast<int>(type));
      if (std::isfinite(x) && holds(type, x) && !(type == bf16 && x > 3.3895e38f)) {
        write_gguf(scratch.path / "other.gguf", model.view(), type);
        for (const float back : read_gguf(scratch.path / "other.gguf").weights) CHECK(std::isfinite(back));
        std::filesystem::remove(scratch.path / "other.gguf");
      } else {
        CHECK_THROWS_WITH(write_gguf(path, model.view(), type), Contains("blk.1.ffn_down.weight"));
      }
    }
    CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);
    CHECK(std::filesystem::file_size(path) == 3);
  }
}

namespace {

Tokenizer trained(Pattern pattern, WholeWords whole_words, bool reachable = true, bool special = true) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  tokens.emplace_back("th");
  tokens.emplace_back(" th");
  tokens.emplace_back("the");
  std::vector<Merge> merges{{'t', 'h', 256}, {' ', 256, 257}, {256, 'e', 258}};
  if (!reachable) tokens.emplace_back("hello");
  std::vector<SpecialToken> list;
  if (special) {
    list.push_back({"<|endoftext|>", static_cast<std::int32_t>(tokens.size())});
    tokens.emplace_back();
  }
  return Tokenizer(tokens, merges, pattern, list, whole_words);
}

}  // namespace

TEST_CASE("a tokenizer's pattern has the name under which llama.cpp knows it, or the model is refused") {
  const auto pre = [](const Tokenizer& tokenizer) { return std::string(gguf::tokenizer_keys(tokenizer, 270).pre); };
  CHECK(pre(trained(Pattern::gpt2, WholeWords::merged)) == "gpt-2");
  CHECK(pre(trained(Pattern::gpt2, WholeWords::merged, false)) == "gpt-2");
  CHECK(pre(trained(Pattern::gpt2, WholeWords::at_once)) == "gpt-2");
  CHECK_THROWS_WITH(pre(trained(Pattern::gpt2, WholeWords::at_once, false)), Contains("at once"));
  CHECK(pre(trained(Pattern::gpt4, WholeWords::at_once, false)) == "llama-bpe");
  CHECK(pre(trained(Pattern::gpt4, WholeWords::merged)) == "llama-bpe");
  CHECK(pre(trained(Pattern::gpt4, WholeWords::merged, false)) == "smaug-bpe");
  CHECK_THROWS_WITH(pre(trained(Pattern::none, WholeWords::merged)), Contains("pattern"));
  CHECK_THROWS_WITH(pre(trained(Pattern::gpt4_whole_numbers, WholeWords::at_once)), Contains("number of any length"));
  CHECK(pre(Tokenizer::bytes()) == "gpt-2");
  CHECK(pre(Tokenizer::characters("some text")) == "gpt-2");
}

TEST_CASE("llama.cpp is told a token that ends a text, and it is one that no text gives") {
  using gguf::tokenizer_keys;
  using Ids = std::vector<std::int32_t>;
  CHECK(tokenizer_keys(trained(Pattern::gpt2, WholeWords::merged), 260).ends == Ids{259});
  CHECK(tokenizer_keys(trained(Pattern::gpt2, WholeWords::merged, true, false), 300).ends == Ids{259});
  CHECK(tokenizer_keys(Tokenizer::bytes(), 256).ends == Ids{0xFF});
  const auto padded = tokenizer_keys(Tokenizer::characters("abc"), 5);
  CHECK(padded.ends == Ids{3});
  CHECK(padded.tokens == std::vector<std::string>{"a", "b", "c", "[PAD3]", "[PAD4]"});
  CHECK(padded.types == std::vector<std::int32_t>{1, 1, 1, 3, 5});
  CHECK_THROWS_WITH(tokenizer_keys(Tokenizer::characters("abc"), 3), Contains("Vocab<4>"));
  CHECK_THROWS_AS(tokenizer_keys(Tokenizer::characters("abc"), 2), Error);
}

TEST_CASE("tokenizers come back from a file") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model.gguf";
  for (const Tokenizer& tokenizer :
       {trained(Pattern::gpt2, WholeWords::merged), trained(Pattern::gpt4, WholeWords::at_once, false),
        trained(Pattern::gpt4, WholeWords::merged, false), Tokenizer::characters("Some text.\n")}) {
    CAPTURE(tokenizer.description());
    LoadedModel model = random_model(gpt2_like);
    model.tokenizer = tokenizer;
    write_gguf(path, model.view(), GgufType::f16);
    CHECK(*read_gguf(path).tokenizer == tokenizer);
  }
  LoadedModel model = random_model(gpt2_like);
  model.tokenizer.reset();
  write_gguf(path, model.view(), GgufType::f16);
  CHECK_FALSE(read_gguf(path).tokenizer);
  CHECK(GgufReader(path).text("tokenizer.ggml.model") == "no_vocab");
}

TEST_CASE("a file of llama.cpp's without the output of a tied gpt2 is read") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model.gguf";
  const LoadedModel model = random_model(gpt2_like);
  auto tensors = gguf::place(gguf_tensors(gpt2_like, "gpt2"), GgufType::f32, tied);
  REQUIRE(tensors.back().map.name == "output.weight");
  tensors.pop_back();
  AtomicFile file(path);
  file.write(gguf::header_of(model.view(), "gpt2", GgufType::f32, tensors));
  gguf::Gathered data(file);
  for (const auto& tensor : tensors) gguf::write_tensor_data(data, tensor, model.weights);
  data.flush();
  file.commit();
  const LoadedModel back = read_gguf(path);
  CHECK(back.config == gpt2_like);
  CHECK(back.weights == model.weights);
}
