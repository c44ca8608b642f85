// What the compiler predicts is what the process takes: its peak above an empty process is within 5 % of the
// prediction.
#include <cstdio>
#include <vector>

#include <catch.hpp>
#include <process_memory.hpp>
#include <tinygpt/tinygpt.hpp>

using namespace tinygpt;

namespace {

// One small model of each family, from 50 to 400 MB, each large in another term: weights, activations or logits.
using Classic = GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<256>, Vocab<8192>>;
using Gpt2 = GPT<Layers<2>, Embd<256>, Heads<4>, Ctx<256>, Vocab<16384>, Bias<all>, Activation<gelu_tanh>>;
using Factory =
    GPT<Layers<3>, Embd<320>, Heads<5>, Ctx<128>, Vocab<4000>, Bias<all>, Activation<gelu_tanh>, Head<untied>>;
using Modern = GPT<Layers<4>, Embd<256>, Heads<4, 2>, Ctx<512>, Ffn<640>, Vocab<2048>, Norm<rms>, Positions<rope>,
                   Activation<swiglu>, QkNorm>;
using Consumer = GPT<Layers<2>, Embd<512>, Heads<8, 2>, Ctx<128>, Ffn<2048>, Vocab<8000>, Norm<rms>, Positions<rope>,
                     Activation<swiglu>>;

constexpr int threads = 2;

void compare(const char* name, std::int64_t measured, std::int64_t predicted) {
  const double ratio = static_cast<double>(measured) / static_cast<double>(predicted);
  std::printf("%-20s predicted %7.1f MB   measured %7.1f MB   %+.1f %%\n", name, static_cast<double>(predicted) / 1e6,
              static_cast<double>(measured) / 1e6, 100 * (ratio - 1));
  CHECK(ratio > 0.95);
  CHECK(ratio < 1.05);
}

template <class M> void train(const char* name, int batch, Recompute recompute = Recompute::none) {
  TrainMemory memory = train_memory(M::config, Batch{batch}, Time{M::config.ctx}, float32, recompute);
  memory.workspace = cpu::train_workspace(M::config, M::config.ctx, threads);
  std::vector<std::int32_t> text(5000);
  memory.corpus = static_cast<std::int64_t>(text.size() * sizeof text[0]);
  const auto measured = peak_of([&] {
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int32_t>(i * i % 997);
    const TokenStream data(std::move(text));
    cpu::Context ctx(threads);
    Trainer<M, cpu::Context> trainer(ctx, {.batch_size = batch, .dropout = 0.1, .eval_iters = 1, .recompute = recompute});
    for (int i = 0; i < 2; ++i) trainer.step(data);
    trainer.evaluate(data);
  });
  compare((std::string(name) + ", batch " + std::to_string(batch)).c_str(), measured, memory.total());
}

template <class M> void generate(const char* name) {
  GenerateMemory memory = generate_memory(M::config);
  memory.workspace = cpu::generate_workspace(M::config, threads);
  const auto measured = peak_of([&] {
    Arena<float> weights(M::params.arena_size());
    initialize<M>(weights.span(), 1);
    cpu::Context ctx(threads);
    Generator<M, cpu::Context> generator(ctx, weights.span());
    // A prompt as long as the context, then past its end.
    generator.generate(std::vector<std::int32_t>(M::config.ctx, 1), 2, {.top_p = 0.9},
                       [](std::int32_t) { return true; });
  });
  compare(name, measured, memory.total());
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
TEST_CASE("sanitizers take memory of their own, so that nothing is measured under them") { SUCCEED(); }
#else
TEST_CASE("training takes the memory that was predicted, in 15 configurations of five families") {
  for (const int batch : {1, 2, 4}) train<Classic>("classic", batch);
  for (const int batch : {1, 2, 8}) train<Gpt2>("gpt2", batch);
  for (const int batch : {4, 8, 16}) train<Factory>("factory", batch);
  for (const int batch : {1, 2, 4}) train<Modern>("modern", batch);
  for (const int batch : {1, 4, 16}) train<Consumer>("consumer", batch);
}

TEST_CASE("recomputation takes the memory that was predicted") {
  train<Classic>("classic, activations", 4, Recompute::activations);
  train<Gpt2>("gpt2, blocks", 8, Recompute::blocks);
  train<Modern>("modern, activations", 4, Recompute::activations);
  train<Modern>("modern, blocks", 8, Recompute::blocks);
  train<Consumer>("consumer, blocks", 16, Recompute::blocks);
}

// Large enough that the weights do not hide the rest.
TEST_CASE("generating takes the memory that was predicted") {
  generate<GPT<Layers<32>, Embd<256>, Heads<4>, Ctx<512>, Vocab<8192>>>("classic");
  generate<GPT<Layers<16>, Embd<256>, Heads<4, 2>, Ctx<1024>, Vocab<16384>, Norm<rms>, Positions<rope>,
               Activation<swiglu>, QkNorm>>("modern");
}
#endif
