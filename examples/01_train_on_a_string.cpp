// A GPT that is a type learns a string by heart and says it.
#include <iostream>
#include <string>

#include <tinygpt/tinygpt.hpp>
using namespace tinygpt;

using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Vocab<128>>;
static_assert(Model::param_count == 109'184);

int main() {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "the quick brown fox jumps over the lazy dog. ";
  const TokenStream data({text.begin(), text.end()});

  cpu::Context ctx;
  Trainer<Model> trainer(ctx, {.max_iters = 200, .batch_size = 8, .learning_rate = 3e-3});
  for (int i = 1; i <= 200; ++i) {
    const double loss = trainer.step(data).loss;
    if (i % 50 == 0) std::cout << "step " << i << ", loss " << loss << '\n';
  }
  Generator generator(ctx, trainer);
  generator.generate(std::vector<int>{'t', 'h', 'e'}, 60, {.temperature = 0}, [](int c) { std::cout << char(c); });
  std::cout << '\n';
}
