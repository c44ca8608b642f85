// llm.c's checkpoints: what is written comes back, and a file that lies is refused before memory is taken.
#include <catch.hpp>

#include <cstring>
#include <functional>

#include <sys/stat.h>

#include <counted_memory.hpp>
#include <numbers.hpp>
#include <scratch.hpp>

#include <tinygpt/exchange/llmc.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

const Config gpt2_like = llmc::config_of({0, 0, /*ctx*/ 7, /*vocab*/ 131, /*layers*/ 3, /*heads*/ 3, /*embd*/ 12, 256});

std::vector<float> numbers(const Config& c, unsigned seed = 1) {
  const ParamTable table(c);
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  const auto values = test::normal(arena.size(), seed);
  for (const ParamRow& row : table) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        const auto at = static_cast<std::size_t>(row.offset + l * row.stride + i);
        arena[at] = static_cast<float>(values[at]);
      }
    }
  }
  return arena;
}

std::string bytes_of_model(const Config& c, std::span<const float> weights, StoredType type) {
  const ScratchDirectory scratch;
  write_llmc(scratch.path / "model.bin", {"model", c, weights, nullptr}, type);
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);
  return read_small_file(scratch.path / "model.bin");
}

LoadedModel read_bytes(const std::string& bytes) {
  const ScratchDirectory scratch;
  return read_llmc(scratch.file("model.bin", bytes));
}

float number_at(const std::string& bytes, std::int64_t index) {
  float x;
  std::memcpy(&x, bytes.data() + llmc::header_bytes + 4 * index, sizeof x);
  return x;
}

std::string with(std::string bytes, std::size_t word, std::int32_t value) {
  std::memcpy(bytes.data() + 4 * word, &value, sizeof value);
  return bytes;
}

}  // namespace

TEST_CASE("a checkpoint of llm.c's gives back the numbers that were written, in float32 to the bit") {
  const auto weights = numbers(gpt2_like);
  const std::string bytes = bytes_of_model(gpt2_like, weights, StoredType::float32);
  const LoadedModel model = read_bytes(bytes);
  CHECK(model.config == gpt2_like);
  CHECK(model.name == "model");
  CHECK(model.weights == weights);
  CHECK_FALSE(model.tokenizer);
  CHECK(bytes_of_model(model.config, model.weights, StoredType::float32) == bytes);

  const std::string half = bytes_of_model(gpt2_like, weights, StoredType::bfloat16);
  CHECK(half.size() - 1024 == (bytes.size() - 1024) / 2);
  const LoadedModel rounded = read_bytes(half);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (rounded.weights[i] != static_cast<float>(bfloat16(weights[i]))) FAIL(i);
  }
  CHECK(bytes_of_model(rounded.config, rounded.weights, StoredType::bfloat16) == half);
}

TEST_CASE("the header and the order of the tensors are those of llm.c") {
  const auto weights = numbers(gpt2_like);
  const std::string bytes = bytes_of_model(gpt2_like, weights, StoredType::float32);
  std::array<std::int32_t, 256> header{};
  std::memcpy(header.data(), bytes.data(), sizeof header);
  const std::array<std::int32_t, 8> expected{20240326, 3, 7, 131, 3, 3, 12, 256};
  CHECK(std::equal(expected.begin(), expected.end(), header.begin()));
  CHECK(std::all_of(header.begin() + 8, header.end(), [](auto word) { return word == 0; }));

  const ParamTable table(gpt2_like);
  const auto here = [&](Param id, std::int64_t l, std::int64_t i) {
    return weights[static_cast<std::size_t>(table[id].offset + l * table[id].stride + i)];
  };
  constexpr std::int64_t L = 3, C = 12, Vp = 256, T = 7;
  CHECK(number_at(bytes, 130 * C + 11) == here(Param::token_embedding, 0, 130 * C + 11));
  for (std::int64_t i = 131 * C; i < Vp * C; ++i) CHECK(number_at(bytes, i) == 0);
  std::int64_t at = Vp * C;
  CHECK(number_at(bytes, at) == here(Param::position_embedding, 0, 0));
  at += T * C;
  const std::pair<Param, std::int64_t> kinds[] = {{Param::norm1_weight, C},           {Param::norm1_bias, C},
                                                  {Param::qkv_weight, 3 * C * C},     {Param::qkv_bias, 3 * C},
                                                  {Param::attn_out_weight, C * C},    {Param::attn_out_bias, C},
                                                  {Param::norm2_weight, C},           {Param::norm2_bias, C},
                                                  {Param::ffn_in_weight, 4 * C * C},  {Param::ffn_in_bias, 4 * C},
                                                  {Param::ffn_out_weight, 4 * C * C}, {Param::ffn_out_bias, C}};
  for (const auto& [id, size] : kinds) {
    for (std::int64_t l = 0; l < L; ++l) {
      CHECK(number_at(bytes, at) == here(id, l, 0));
      CHECK(number_at(bytes, at + size - 1) == here(id, l, size - 1));
      at += size;
    }
  }
  CHECK(number_at(bytes, at) == here(Param::final_norm_weight, 0, 0));
  CHECK(number_at(bytes, at + C) == here(Param::final_norm_bias, 0, 0));
  CHECK(bytes.size() == static_cast<std::size_t>(1024 + 4 * (at + 2 * C)));
  // gpt2_124M.bin, as llm.c's train_gpt2.py writes it.
  CHECK(llmc::file_bytes({20240326, 3, 1024, 50257, 12, 12, 768, 50304}, StoredType::float32) == 497'904'640);
}

TEST_CASE("biases that a model lacks are zeros for llm.c, and rows of no token may hold anything") {
  Config c = gpt2_like;
  c.bias = attn_in;
  const auto weights = numbers(c);
  std::string bytes = bytes_of_model(c, weights, StoredType::float32);
  LoadedModel model = read_bytes(bytes);
  const ParamTable theirs(model.config), ours(c);
  for (const ParamRow& row : theirs) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        const float expected =
            ours.has(row.id) ? weights[static_cast<std::size_t>(ours[row.id].offset + l * ours[row.id].stride + i)]
                             : 0.0f;
        if (model.weights[static_cast<std::size_t>(row.offset + l * row.stride + i)] != expected) FAIL(row.name);
      }
    }
  }
  const float junk = 3;
  std::memcpy(bytes.data() + 1024 + 4 * 131 * 12, &junk, sizeof junk);
  CHECK(read_bytes(bytes).weights == model.weights);
}

TEST_CASE("what llm.c does not know is refused in the words of the type, and leaves nothing") {
  const ScratchDirectory scratch;
  const auto refusal = [&](const std::function<void(Config&)>& change, StoredType type = StoredType::float32) {
    Config c = gpt2_like;
    change(c);
    const auto weights = numbers(c);
    try {
      write_llmc(scratch.path / "model.bin", {"model", c, weights, nullptr}, type);
    } catch (const Error& error) {
      CHECK(std::filesystem::is_empty(scratch.path));
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(refusal([](Config& c) { c.positions = rope; }),
             Contains("Positions<learned>") && Contains("as hf or onnx"));
  CHECK_THAT(refusal([](Config& c) { c.norm = rms; }), Contains("Norm<layer>"));
  CHECK_THAT(refusal([](Config& c) { c.norm_eps = 1e-6; }), Contains("Norm<layer> with the epsilon 1e-5"));
  CHECK_THAT(refusal([](Config& c) { c.activation = gelu; }), Contains("Activation<gelu_tanh>"));
  CHECK_THAT(refusal([](Config& c) { c.head = untied; }), Contains("Head<tied>"));
  CHECK_THAT(refusal([](Config& c) { c.bias = all | head; }), Contains("bias on the head"));
  CHECK_THAT(refusal([](Config& c) { c.kv_heads = 1; }), Contains("key heads"));
  CHECK_THAT(refusal([](Config& c) { c.head_dim = 6; }), Contains("HeadDim<C / Hq>"));
  CHECK_THAT(refusal([](Config& c) { c.qk_norm = true; }), Contains("QkNorm"));
  CHECK_THAT(refusal([](Config& c) { c.ffn = 47; }), Contains("Ffn<4 C>"));
  CHECK_THAT(refusal([](Config&) {}, StoredType::float16), Contains("float16") && Contains("bf16"));
  CHECK(refusal([](Config&) {}).empty());
}

TEST_CASE("a file that is no checkpoint of llm.c's is refused in one sentence that says where") {
  const std::string good = bytes_of_model(gpt2_like, numbers(gpt2_like), StoredType::float32);
  int files = 0;
  const auto fault = [&](const std::string& bytes) -> std::string {
    ++files;
    const ScratchDirectory scratch;
    const auto path = scratch.file("model.bin", bytes);
    CHECK(peak_bytes_of([&] { read_llmc(path); }) <= most_bytes_for(bytes.size()));
    try {
      read_llmc(path);
    } catch (const DamagedFile& error) {
      return error.what();
    }
    return "";
  };
  CHECK(fault(good).empty());

  // Half-written ones.
  CHECK_THAT(fault(""), Contains("is empty"));
  CHECK_THAT(fault("x"), Contains("only 1 of the 1024 bytes"));
  CHECK_THAT(fault(good.substr(0, 1023)), Contains("only 1023 of the 1024"));
  CHECK_THAT(fault(good.substr(0, 1024)), Contains("it has 1024 bytes, where the sizes"));
  CHECK_THAT(fault(good.substr(0, good.size() - 1)),
             Contains("where the sizes in its header need " + std::to_string(good.size())));
  CHECK_THAT(fault(good.substr(0, good.size() / 2)), Contains("sizes in its header"));
  CHECK_THAT(fault(good + '\0'), Contains("sizes in its header"));

  // Others' files.
  CHECK_THAT(fault(std::string(2000, 'a')), Contains("the first number (byte 0)"));
  CHECK_THAT(fault(with(good, 0, 0)), Contains("20240326"));
  CHECK_THAT(fault(with(good, 0, 20240325)), Contains("(byte 0) is 20240325"));
  CHECK_THAT(fault(with(good, 0, static_cast<std::int32_t>(__builtin_bswap32(20240326)))), Contains("another machine"));
  CHECK_THAT(fault(with(good, 1, 1)), Contains("the version (byte 4) is 1, where 3 (float32) and 5 (bf16)"));
  CHECK_THAT(fault(with(good, 1, 2)), Contains("the version"));
  CHECK_THAT(fault(with(good, 1, 4)), Contains("the version"));
  CHECK_THAT(fault(with(good, 1, 5)), Contains("sizes in its header"));
  CHECK_THAT(fault(with(good, 1, -3)), Contains("the version (byte 4) is -3"));

  // Sizes that lie.
  const char* const names[] = {"context length",  "vocabulary", "number of layers",
                               "number of heads", "width",      "padded vocabulary"};
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string where = "the " + std::string(names[i]) + " (byte " + std::to_string(8 + 4 * i) + ") is ";
    for (const std::int32_t value : {0, -1, INT32_MIN, INT32_MAX}) {
      CAPTURE(names[i], value);
      CHECK_THAT(fault(with(good, 2 + i, value)), Contains(where + std::to_string(value) + ", not from 1 to"));
    }
  }
  CHECK_THAT(fault(with(good, 2, 8)), Contains("sizes in its header"));
  CHECK_THAT(fault(with(good, 3, 257)), Contains("(byte 28) is 256, less than the vocabulary of 257"));
  CHECK_THAT(fault(with(good, 4, 4)), Contains("sizes in its header"));
  CHECK_THAT(fault(with(good, 5, 5)), Contains("(byte 24) is 12, no multiple of the 5 heads"));
  CHECK_THAT(fault(with(good, 5, 13)), Contains("no multiple"));
  CHECK_THAT(fault(with(good, 6, 24)), Contains("sizes in its header"));
  CHECK_THAT(fault(with(good, 7, 130)), Contains("less than the vocabulary"));
  CHECK_THAT(fault(with(good, 7, 255)), Contains("sizes in its header"));
  // The largest sizes that are allowed together.
  std::string largest = good;
  const std::int32_t most[] = {10'000'000, 10'000'000, 10'000, 100'000, 1'000'000, 20'000'000};
  for (std::size_t i = 0; i < 6; ++i) largest = with(largest, 2 + i, most[i]);
  CHECK_THAT(fault(largest), Contains("sizes in its header need 480120520008001024"));

  CHECK(files >= 40);

  // Kinds of llm.c's files by name.
  const ScratchDirectory scratch;
  for (const auto& [magic, kind] :
       {std::pair{20240520, "tokens"}, std::pair{20240801, "tokens"}, std::pair{20240328, "a tokenizer"},
        std::pair{20240327, "the debug state"}, std::pair{20240527, "the state of an optimizer"}}) {
    CHECK_THROWS_WITH(read_llmc(scratch.file("m.bin", with(good, 0, magic))),
                      Contains(kind) && Contains("not a model"));
  }
  CHECK_THROWS_WITH(read_llmc(scratch.path), Contains("directory"));
  CHECK_THROWS_WITH(read_llmc(scratch.path / "none"), Contains("no such file"));
  REQUIRE(::mkfifo((scratch.path / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_llmc(scratch.path / "pipe"), Contains("not a regular file"));
}

TEST_CASE("a model's file is told by its first bytes") {
  const std::string good = bytes_of_model(gpt2_like, numbers(gpt2_like), StoredType::float32);
  CHECK(is_llmc_model(std::as_bytes(std::span(good))));
  CHECK_FALSE(is_llmc_model(std::as_bytes(std::span(good)).first(3)));
  const std::string tokens = with(good, 0, 20240520);
  CHECK_FALSE(is_llmc_model(std::as_bytes(std::span(tokens))));
}

TEST_CASE("a tokenizer for llm.c is the bytes of each token, with their number before them") {
  const ScratchDirectory scratch;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.push_back("he");
  tokens.push_back("");
  const Tokenizer tokenizer(tokens, {{'h', 'e', 256}}, Pattern::gpt2, {{"<|endoftext|>", 257}});
  write_llmc_tokenizer(scratch.path / "t.bin", tokenizer);
  const std::string bytes = read_small_file(scratch.path / "t.bin");
  std::array<std::int32_t, 256> header{};
  REQUIRE(bytes.size() > sizeof header);
  std::memcpy(header.data(), bytes.data(), sizeof header);
  CHECK(std::vector(header.begin(), header.begin() + 5) == std::vector<std::int32_t>{20240328, 2, 258, 257, 0});
  std::vector<std::string> read;
  for (std::size_t at = sizeof header; at < bytes.size();) {
    const auto n = static_cast<unsigned char>(bytes[at]);
    read.push_back(bytes.substr(at + 1, n));
    at += 1 + n;
  }
  tokens.back() = "<|endoftext|>";
  CHECK(read == tokens);
  CHECK_THROWS_WITH(write_llmc_tokenizer(scratch.path / "u.bin", Tokenizer::bytes()), Contains("<|endoftext|>"));
}
