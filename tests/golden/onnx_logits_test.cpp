#include <catch.hpp>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <oracle_models.hpp>
#include <scratch.hpp>

#include <tinygpt/exchange/onnx.hpp>
#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/step.hpp>

using namespace tinygpt;

namespace {

std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

/// Logits (T, V) of one sequence.
template <class M>
std::vector<float> logits_of(const std::vector<float>& weights, const std::vector<std::int32_t>& ids) {
  using V = typename AxesOf<M>::V;
  const int T = static_cast<int>(ids.size());
  reference::Context<float> ctx;
  const ActivationPlan plan = Activations<M, float>::plan(1, T);
  Arena<std::byte> arena(plan.bytes());
  const Activations<M, float> act(arena.data(), plan, 1, T);
  if (const auto table = act.rope_table()) fill_rope(ctx, table, M::config.rope_base);
  const Params<M, const float> w(weights.data());
  forward<M>(ctx, w, act, TokenIds(ids.data(), 1, T));
  std::vector<float> logits(static_cast<std::size_t>(T) * V::value);
  const Tensor<float, Batch<dyn>, Time<dyn>, V> out(logits.data(), 1, T);
  linear(ctx, out, read(act.normed(2 * M::config.layers)), w.head_weight(), w.head_bias());
  return logits;
}

/// Of the models that this test compiles; tests/oracles has all of them.
template <int... Numbers>
std::vector<float> logits_of_one_of(int number, const std::vector<float>& weights,
                                    const std::vector<std::int32_t>& ids) {
  std::vector<float> logits;
  const auto one = [&]<int N>() {
    if (N == number)
      logits = logits_of<std::tuple_element_t<static_cast<std::size_t>(N), test::OracleModels>>(weights, ids);
  };
  (one.template operator()<Numbers>(), ...);
  return logits;
}

}  // namespace

TEST_CASE("ONNX Runtime has the logits of this project from the files that it writes") {
  std::ifstream file(TINYGPT_SOURCE_DIR "/tests/golden/onnx_logits.json");
  const auto golden = nlohmann::json::parse(file);
  REQUIRE(golden.at("cases").size() == static_cast<std::size_t>(test::oracle_model_count));
  int compared = 0;
  for (const auto& expected : golden.at("cases")) {
    CAPTURE(expected.at("type").get<std::string>());
    const int number = expected.at("number").get<int>();
    Config config;
    CHECK(test::with_oracle_model(number, [&]<class M>() { config = M::config; }));
    const auto weights = test::oracle_weights(config, golden.at("seed").get<std::uint64_t>());
    const ScratchDirectory scratch;
    const auto path = scratch.path / "model.onnx";
    // The name of the program's model is a part of the file.
    write_onnx(path, {"model-" + std::to_string(number), config, weights, nullptr}, OnnxCache::without);
    const std::string bytes = read_small_file(path);
    CHECK(bytes.size() == expected.at("bytes").get<std::size_t>());
    CHECK(crc32(bytes) == expected.at("crc32").get<std::uint32_t>());

    const auto ids = expected.at("ids").get<std::vector<std::int32_t>>();
    const auto ours = logits_of_one_of<0, 2, 5, 8, 11, 12, 14, 15>(number, weights, ids);
    if (ours.empty()) continue;
    ++compared;
    const auto rows = expected.at("logits").get<std::vector<std::vector<float>>>();
    const auto columns = expected.at("columns").get<std::vector<std::size_t>>();
    REQUIRE(rows.size() == ids.size());
    for (std::size_t t = 0; t < rows.size(); ++t) {
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const float mine = ours[t * static_cast<std::size_t>(config.vocab) + columns[i]];
        if (!(std::abs(mine - rows[t][i]) < 1e-4f))
          FAIL(t << ", " << columns[i] << ": " << mine << ", not " << rows[t][i]);
      }
    }
  }
  CHECK(compared == 8);
}
