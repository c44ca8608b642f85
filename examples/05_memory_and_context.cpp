// How memory grows with the context: linearly, because attention never holds a matrix of T x T. Prints the table of
// docs/explanation/memory.md; the compiler knew every number in it.
#include <cstdio>

#include <tinygpt/tinygpt.hpp>
using namespace tinygpt;

template <int T> using Model = GPT<Layers<16>, Embd<768>, Heads<12>, Ctx<T>>;  // the preset 150M, with another context

// Each doubling of the context adds twice what the one before it added.
constexpr std::int64_t activations(int time) {
  return train_memory(Model<4096>::config, Batch{8}, Time{time}).activations;
}
static_assert(activations(4096) - activations(2048) == 2 * (activations(2048) - activations(1024)));

template <int T> void row() {
  constexpr TrainMemory m = train_memory(Model<T>::config, Batch{8}, Time{T});
  // What the scores and weights of attention would take if they were kept: two matrices of T x T for each head.
  constexpr std::int64_t squares = 2LL * 4 * 8 * 16 * 12 * T * T;
  const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(1_GiB); };
  std::printf("| %5d | %5.2f | %5.2f | %5.2f | %7.1f | %6.2f |\n", T, gib(m.weights + m.gradients + m.moments),
              gib(m.activations), gib(m.total()), static_cast<double>(m.activations) / (8.0 * T) / 1024, gib(squares));
}

int main() {
  std::puts(
      "| context | weights, gradients, moments | activations | together | KiB for each token | T x T would add |");
  std::puts("| ---: | ---: | ---: | ---: | ---: | ---: |");
  row<256>(), row<512>(), row<1024>(), row<2048>(), row<4096>(), row<8192>();
}
