// rule: callback_takes_text
// sentence: write_text.. calls emit.piece. with a std::string_view: take it, and return nothing, or a bool
// names: lambda
#include <tinygpt/data/write_text.hpp>
#include <tinygpt/reference/reference.hpp>

using namespace tinygpt;

using Model = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Vocab<256>>;

void write(Generator<Model, reference::Context<float>>& generator) {
#ifdef BAD
  write_text(generator, Tokenizer::bytes(), "a", {}, [](std::int32_t) {});
#else
  write_text(generator, Tokenizer::bytes(), "a", {}, [](std::string_view) {});
#endif
}
