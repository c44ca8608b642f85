// Kinds and their words: a number that is no kind is never written as another one.
#include <tinygpt/exchange/gguf_layout.hpp>
#include <tinygpt/exchange/onnx.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/hf_config.hpp>
#include <tinygpt/layout/activations.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

constexpr Config small = GPT<Layers<1>, Embd<6>, Heads<1>, Ctx<2>, Vocab<3>, Bias<all>>::config;

template <class Change> Config changed(Change&& change) {
  Config c = small;
  change(c);
  return c;
}

}  // namespace

TEST_CASE("a kind without a word is refused by everything that would write it") {
  const Config strange[] = {
      changed([](Config& c) { c.activation = ActivationKind(99); }), changed([](Config& c) { c.norm = NormKind(99); }),
      changed([](Config& c) { c.positions = PositionKind(99); }), changed([](Config& c) { c.head = HeadKind(99); })};
  for (const Config& c : strange) {
    CHECK_THROWS(config_to_json(c));
    CHECK_THROWS(type_text(c));
  }
  CHECK_THROWS_WITH(config_text::word_of(config_text::activations, ActivationKind(99)),
                    "the kind 99 has no word: add it to the table of words");
}

TEST_CASE("every activation has its own name in a config.json of GPT-2's family, or the family is refused") {
  for (const auto& row : config_text::activations) {
    const Config c = changed([&](Config& to) { to.activation = row.first; });
    CAPTURE(std::string(row.second));
    const HfFit fit = hf_family(c);
    CHECK(fit.family.has_value() == (row.first != swiglu));
    if (!fit.family) {
      CHECK(fit.why_not.find("Activation<" + std::string(row.second) + ">") != std::string::npos);
      continue;
    }
    CHECK(config_from_hf(hf_config_json(c, StoredType::float32, std::nullopt), "config.json").activation == row.first);
  }
  CHECK(gguf_fit(changed([](Config& c) { c.activation = relu; })).why_not == "Activation<relu> is not known there");
  CHECK(gguf_fit(small).architecture == std::string("gpt2"));
}

TEST_CASE("what follows from a kind is asked in one place") {
  static_assert(!is_gated(relu) && !is_gated(gelu) && !is_gated(gelu_tanh) && is_gated(swiglu));
  static_assert(default_ffn(gelu, 6) == 24 && default_ffn(swiglu, 6) == 16);
  static_assert(default_ffn(gelu, 2'000'000'000) == std::numeric_limits<int>::max());
  CHECK_THROWS(is_gated(ActivationKind(99)));
  CHECK_THROWS(default_norm_eps(NormKind(99)));
  CHECK_THROWS(storage_of(Precision(99)));
  CHECK_THROWS(ActivationPlan(small, 1, 1, ActivationPlan::For::training, Recompute(99)));
}
