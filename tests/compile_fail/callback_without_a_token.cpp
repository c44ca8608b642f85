// rule: callback_takes_a_token
// sentence: generate.. calls emit.token. with a std::int32_t, .* and return nothing, or a bool
// names: lambda
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/reference/reference.hpp>

using namespace tinygpt;

using Model = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Vocab<16>>;

void write(Generator<Model, reference::Context<float>>& generator, std::span<const std::int32_t> prompt) {
#ifdef BAD
  generator.generate(prompt, 1, {}, [] {});
#else
  generator.generate(prompt, 1, {}, [](std::int32_t) {});
#endif
}
