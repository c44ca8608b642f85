// Trains on a text, saves the model, loads it again and lets it write up to a stop string.
#include <filesystem>
#include <iostream>
#include <string>

#include <tinygpt/io.hpp>
using namespace tinygpt;

using Model = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<32>, Vocab<256>>;

int main() try {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "the quick brown fox jumps over the lazy dog. ";
  const Tokenizer tokenizer = Tokenizer::bytes();

  // Train: the source of batches is the text's tokens.
  cpu::Context ctx;
  Trainer<Model> trainer(ctx, {.max_iters = 200, .batch_size = 8, .learning_rate = 3e-3});
  const TokenStream data(tokenizer.encode(text));
  while (trainer.iteration() < trainer.options().max_iters) trainer.step(data);

  // Save: a directory in Hugging Face's layout.
  const std::filesystem::path directory = "my-model";
  write_model_directory(directory, {"my-model", Model::config, trainer.weights(), &tokenizer});

  // Load and generate. The weights must live as long as the generator.
  const LoadedModel loaded = read_model_directory(directory, Model::config);
  Generator<Model> generator(ctx, loaded.weights);
  const WriteOptions options{.max_new_tokens = 100, .sampling = {.temperature = 0}, .stop = {"."}};
  std::cout << "the quick";
  write_text(generator, loaded.tokenizer.value(), "the quick", options,
             [](std::string_view piece) { std::cout << piece << std::flush; });
  std::cout << '\n';
} catch (const Error& error) {  // a file, a disk or a text: what() is one sentence
  std::cerr << error.what() << '\n';
  return 1;
}
