// Models that Hugging Face transformers wrote, and what it computes with them. tests/golden/hf_models.py made them,
// with the versions that each expected.json names; scripts/test-oracles.sh compares many more.
#include <catch.hpp>

#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/io/model_directory.hpp>

using namespace tinygpt;

namespace {

using gpt2_some_biases =
    GPT<Layers<1>, Embd<32>, Heads<1>, Ctx<80>, Vocab<131>, Activation<gelu_tanh>, Bias<attn_in | ffn>>;
using llama_wide_heads = GPT<Layers<2>, Embd<36>, Heads<3, 1>, Ctx<80>, HeadDim<20>, Vocab<101>, Activation<swiglu>,
                             Norm<rms>, Positions<rope>>;
using llama_epsilon =
    GPT<Layers<1>, Embd<24>, Heads<2, 1>, Ctx<80>, Vocab<60>, Activation<swiglu>, Norm<rms, 1e-5>, Positions<rope>>;
using qwen3_full =
    GPT<Layers<3>, Embd<24>, Heads<2>, Ctx<80>, Vocab<99>, Activation<swiglu>, Norm<rms>, QkNorm, Positions<rope>>;

template <class M> void check(const char* name) {
  const std::filesystem::path directory = std::string(TINYGPT_SOURCE_DIR "/tests/golden/hf/") + name;
  const Json expected = read_json(directory / "expected.json");
  const LoadedModel model = read_model_directory(directory, M::config);
  cpu::Context ctx(1);
  Generator<M, cpu::Context> generator(ctx, model.weights);
  const auto ids = expected["ids"].get<std::vector<std::int32_t>>();
  float worst = 0;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const auto logits = generator.decode(std::span(ids).subspan(t, 1), static_cast<int>(t));
    const auto theirs = expected["logits"][t].get<std::vector<float>>();
    REQUIRE(theirs.size() == logits.size());
    for (std::size_t i = 0; i < theirs.size(); ++i) worst = std::max(worst, std::abs(logits[i] - theirs[i]));
  }
  CHECK(worst < 1e-4f);
}

}  // namespace

TEST_CASE("models that transformers wrote give its logits") {
  check<gpt2_some_biases>("gpt2_some_biases");
  check<llama_wide_heads>("llama_wide_heads");
  check<llama_epsilon>("llama_epsilon");
  check<qwen3_full>("qwen3_full");
}
