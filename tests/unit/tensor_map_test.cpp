// Tensors of other projects' files as matrices of the arena, and half precision.
#include <catch.hpp>

#include <Eigen/Core>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include <tinygpt/io/hf_layout.hpp>

using namespace tinygpt;

namespace {

std::vector<float> numbers(std::int64_t n) {
  std::vector<float> arena(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<float>(i + 1);
  return arena;
}

std::vector<std::byte> written(const MappedTensor& tensor, std::span<const float> arena, StoredType type,
                               const ForeignMemory* memory = nullptr) {
  std::vector<std::byte> bytes;
  write_tensor(tensor, arena, memory, type, [&](auto some) { bytes.insert(bytes.end(), some.begin(), some.end()); });
  return bytes;
}

bool read(const MappedTensor& tensor, std::span<float> arena, StoredType type, std::span<const std::byte> bytes,
          const ForeignMemory* memory = nullptr) {
  const bool fits = read_tensor(tensor, arena, memory, type, [&](std::span<std::byte> to) {
    std::memcpy(to.data(), bytes.data(), to.size());
    bytes = bytes.subspan(to.size());
  });
  CHECK(bytes.empty());
  return fits;
}

const ForeignMemory elsewhere{
    [](std::span<float> to, const float* from) { std::memcpy(to.data(), from, to.size_bytes()); },
    [](float* to, std::span<const float> from) { std::memcpy(to, from.data(), from.size_bytes()); }};

const Config gpt2_like{
    .layers = 3, .embd = 12, .query_heads = 3, .kv_heads = 3, .ctx = 7, .head_dim = 4, .vocab = 19, .ffn = 40};
const Config llama_like{.layers = 2,
                        .embd = 12,
                        .query_heads = 4,
                        .kv_heads = 2,
                        .ctx = 7,
                        .head_dim = 6,
                        .vocab = 19,
                        .ffn = 25,
                        .activation = swiglu,
                        .norm = rms,
                        .positions = rope,
                        .head = untied};

}  // namespace

TEST_CASE("half precision has the bits of another implementation, from and to every number") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto ours = float16::from_bits(static_cast<std::uint16_t>(bits));
    const Eigen::half theirs = Eigen::numext::bit_cast<Eigen::half>(static_cast<std::uint16_t>(bits));
    const float a = static_cast<float>(ours), b = static_cast<float>(theirs);
    wrong += std::isnan(a) ? !std::isnan(b) : std::memcmp(&a, &b, sizeof a) != 0;
    if (!std::isnan(a)) wrong += float16(a).bits != bits;
  }
  CHECK(wrong == 0);
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    float x;
    std::memcpy(&x, &bits, sizeof x);
    if (std::isnan(x)) continue;
    wrong += float16(x).bits != Eigen::numext::bit_cast<std::uint16_t>(Eigen::half(x));
  }
  CHECK(wrong == 0);
  CHECK(float16(65504.0f).bits == 0x7BFF);
  CHECK(float16(65519.9f).bits == 0x7BFF);
  CHECK(float16(65520.0f).bits == 0x7C00);
  CHECK(std::isnan(static_cast<float>(float16(std::nanf("")))));
}

TEST_CASE("a tensor comes back from its bytes, turned or not, in any type, in any memory") {
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 5}, {17, 33}, {700, 900}, {1, 400'000}, {300'000, 2}}) {
    for (const bool turned : {false, true}) {
      for (const ForeignMemory* const memory : {static_cast<const ForeignMemory*>(nullptr), &elsewhere}) {
        CAPTURE(rows, cols, turned, memory != nullptr);
        const auto arena = numbers(rows * cols + 7);
        const ArenaMatrix part{5, rows, cols, turned};
        const MappedTensor tensor{"x", {}, {part, zeros(3)}};
        const auto bytes = written(tensor, arena, StoredType::float32, memory);
        REQUIRE(bytes.size() == static_cast<std::size_t>(4 * (rows * cols + 3)));
        const auto at = [&](std::int64_t i) {
          float x;
          std::memcpy(&x, bytes.data() + 4 * i, 4);
          return x;
        };
        // The number in row r and column c, as numpy would find it.
        const std::int64_t r = rows / 2, c = cols / 3;
        CHECK(at(turned ? c * rows + r : r * cols + c) == arena[static_cast<std::size_t>(5 + r * cols + c)]);
        std::vector<float> back(arena.size());
        CHECK(read(tensor, back, StoredType::float32, bytes, memory));
        CHECK(std::equal(back.begin() + 5, back.begin() + 5 + rows * cols, arena.begin() + 5));
        CHECK(back[4] == 0);
        CHECK(back[static_cast<std::size_t>(5 + rows * cols)] == 0);
      }
    }
  }
  const auto arena = numbers(256);
  const MappedTensor tensor{"x", {}, {{0, 16, 16, true}}};
  for (const StoredType type : {StoredType::bfloat16, StoredType::float16}) {
    std::vector<float> back(256);
    const auto bytes = written(tensor, arena, type);
    CHECK(bytes.size() == 512);
    CHECK(read(tensor, back, type, bytes));
    CHECK(back == arena);
  }
}

TEST_CASE("every number of a turned matrix is in its place, whatever the sizes, types and addresses") {
  for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{1, 9}, {9, 1}, {4, 4}, {18, 35}, {31, 600}}) {
    for (const StoredType type : {StoredType::float32, StoredType::bfloat16, StoredType::float16}) {
      CAPTURE(rows, cols, static_cast<int>(type));
      std::vector<float> arena(static_cast<std::size_t>(rows * cols));
      for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<float>(i % 127);  // exact in each type
      const MappedTensor tensor{"x", {}, {ArenaMatrix{0, rows, cols, true}}};
      const auto bytes = written(tensor, arena, type);
      REQUIRE(bytes.size() == static_cast<std::size_t>(rows * cols * bytes_of(type)));
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < rows * cols; ++i) {
        const float want = arena[static_cast<std::size_t>(i % rows * cols + i / rows)];
        const std::byte* const at = bytes.data() + i * bytes_of(type);
        wrong += want != (type == StoredType::float32    ? tensor_map::number<float>(at)
                          : type == StoredType::bfloat16 ? tensor_map::number<bfloat16>(at)
                                                         : tensor_map::number<float16>(at));
      }
      CHECK(wrong == 0);
      std::vector<std::byte> unaligned(bytes.size() + 1);
      std::copy(bytes.begin(), bytes.end(), unaligned.begin() + 1);
      for (const ForeignMemory* const memory : {static_cast<const ForeignMemory*>(nullptr), &elsewhere}) {
        std::vector<float> back(arena.size());
        std::size_t seen = 0;
        CHECK(copy_tensor(tensor, back, memory, type, unaligned.data() + 1, [&](auto piece, const auto& copy) {
          CHECK(piece.data() == unaligned.data() + 1 + seen);
          seen += piece.size();
          copy();
        }));
        CHECK(seen == bytes.size());
        CHECK(back == arena);
      }
    }
  }
}

TEST_CASE("numbers for which the model has no place must be zero") {
  std::vector<float> arena(4);
  const MappedTensor tensor{"x", {}, {zeros(2), {0, 1, 4, false}}};
  std::vector<float> file{0, -0.0f, 1, 2, 3, 4};
  CHECK(read(tensor, arena, StoredType::float32, std::as_bytes(std::span(file))));
  CHECK(arena == std::vector<float>{1, 2, 3, 4});
  file[1] = 1e-30f;
  CHECK_FALSE(read(tensor, arena, StoredType::float32, std::as_bytes(std::span(file))));
  file[1] = std::nanf("");
  CHECK_FALSE(read(tensor, arena, StoredType::float32, std::as_bytes(std::span(file))));
}

TEST_CASE("transformers' layout has every parameter once") {
  std::vector<Config> configs{gpt2_like, llama_like};
  configs.push_back(gpt2_like);
  configs.back().bias = all;
  configs.back().head = untied;
  configs.push_back(llama_like);
  configs.back().qk_norm = true;
  configs.back().head = tied;
  configs.push_back(llama_like);
  configs.back().bias = all;
  for (const Config& config : configs) {
    const ParamTable table(config);
    std::vector<int> times(static_cast<std::size_t>(table.arena_size()));
    std::set<std::string> names;
    for (const MappedTensor& tensor : hf_tensors(config)) {
      CHECK(names.insert(tensor.name).second);
      std::int64_t product = 1;
      for (const std::int64_t extent : tensor.shape) product *= extent;
      CHECK(product == tensor.size());
      for (const ArenaMatrix& part : tensor.parts) {
        if (part.offset == ArenaMatrix::nowhere) continue;
        for (std::int64_t i = 0; i < part.size(); ++i) ++times[static_cast<std::size_t>(part.offset + i)];
      }
    }
    std::int64_t once = 0, more = 0;
    for (const int n : times) once += n == 1, more += n > 1;
    CHECK(once == table.param_count());
    CHECK(more == 0);
  }
}

TEST_CASE("transformers' names, shapes and orientation") {
  std::map<std::string, MappedTensor> tensors;
  for (MappedTensor& tensor : hf_tensors(gpt2_like)) tensors[tensor.name] = tensor;
  using Shape = std::vector<std::int64_t>;
  CHECK(tensors.at("transformer.wte.weight").shape == Shape{19, 12});
  CHECK(tensors.at("transformer.h.2.attn.c_attn.weight").shape == Shape{12, 36});
  CHECK(tensors.at("transformer.h.2.mlp.c_proj.weight").shape == Shape{40, 12});
  CHECK(tensors.at("transformer.h.0.mlp.c_fc.bias").parts[0].offset == ArenaMatrix::nowhere);
  CHECK(tensors.count("lm_head.weight") == 0);
  tensors.clear();
  for (MappedTensor& tensor : hf_tensors(llama_like)) tensors[tensor.name] = tensor;
  CHECK(tensors.at("model.layers.1.self_attn.q_proj.weight").shape == Shape{24, 12});
  CHECK(tensors.at("model.layers.1.self_attn.v_proj.weight").shape == Shape{12, 12});
  CHECK(tensors.at("model.layers.0.self_attn.o_proj.weight").shape == Shape{12, 24});
  CHECK(tensors.at("model.layers.0.mlp.down_proj.weight").shape == Shape{12, 25});
  CHECK(tensors.at("model.layers.1.input_layernorm.weight").shape == Shape{12});
  CHECK(tensors.at("lm_head.weight").shape == Shape{19, 12});
  const ParamTable table(llama_like);
  const auto& up = tensors.at("model.layers.1.mlp.up_proj.weight").parts[0];
  CHECK(up.offset == table[Param::ffn_in_weight].offset + table[Param::ffn_in_weight].stride + 25 * 12);
}

TEST_CASE("an architecture that transformers does not know says why") {
  const auto why = [](Config c, auto&& change) {
    change(c);
    const HfFit fit = hf_family(c);
    CHECK(fit.family.has_value() == fit.why_not.empty());
    return fit.why_not;
  };
  CHECK(why(gpt2_like, [](Config&) {}).empty());
  CHECK(why(llama_like, [](Config&) {}).empty());
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.norm = rms; }), Catch::Matchers::Contains("Norm<layer>"));
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.activation = swiglu; }), Catch::Matchers::Contains("swiglu"));
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.kv_heads = 1; }), Catch::Matchers::Contains("key heads"));
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.head_dim = 5; }), Catch::Matchers::Contains("HeadDim"));
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.qk_norm = true; }), Catch::Matchers::Contains("QkNorm"));
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.bias = BiasSet::head; }), Catch::Matchers::Contains("head"));
  CHECK_THAT(why(gpt2_like, [](Config& c) { c.positions = none; }), Catch::Matchers::Contains("Positions<none>"));
  CHECK_THAT(why(llama_like, [](Config& c) { c.norm = layer; }), Catch::Matchers::Contains("Norm<rms>"));
  CHECK_THAT(why(llama_like, [](Config& c) { c.activation = gelu; }), Catch::Matchers::Contains("swiglu"));
  CHECK_THAT(why(llama_like, [](Config& c) { c.bias = attn_in; }), Catch::Matchers::Contains("attention"));
}
