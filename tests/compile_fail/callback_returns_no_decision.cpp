// rule: callback_takes_a_token
// sentence: or for many prompts emit.i, token. .* and return nothing, or a bool
// names: lambda
#include <string>

#include <tinygpt/generate/generator.hpp>
#include <tinygpt/reference/reference.hpp>

using namespace tinygpt;

using Model = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Vocab<16>>;

void write(Generator<Model, reference::Context<float>>& generator, std::span<const std::vector<std::int32_t>> prompts) {
#ifdef BAD
  generator.generate(prompts, 1, {}, [](std::size_t, std::int32_t id) { return std::to_string(id); });
#else
  generator.generate(prompts, 1, {}, [](std::size_t, std::int32_t id) { return id != 0; });
#endif
}
