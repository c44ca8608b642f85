// A first program: the loss of a model that knows nothing, all weights 0, is the logarithm of its vocabulary.
#include <cstdint>
#include <iostream>
#include <vector>

#include <tinygpt/layout/arena.hpp>
#include <tinygpt/presets/classic.hpp>
#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/step.hpp>

using namespace tinygpt;
using Model = presets::tiny_char;
static_assert(Model::param_count == 1'846'656);

int main() {
  const std::vector<std::int32_t> bytes{'I', 'n', ' ', 't', 'h', 'e', ' ', 'b', 'e', 'g', 'i', 'n', 'n', 'i', 'n', 'g'};
  const int T = static_cast<int>(bytes.size()) - 1;
  const ActivationPlan plan = Activations<Model, float>::inference_plan(1, T);
  const std::vector<float> weights(static_cast<std::size_t>(Model::params.arena_size()));
  Arena<std::byte> arena(plan.bytes());
  const Activations<Model, float> act(arena.data(), plan, 1, T);
  const Params<Model, const float> w(weights.data());

  reference::Context<float> ctx;
  float loss = 0;
  forward<Model>(ctx, w, act, TokenIds(bytes.data(), 1, T));
  evaluate<Model>(ctx, &loss, w, act, TokenIds(bytes.data() + 1, 1, T), 1.0 / T);
  std::cout << Model::param_count << " parameters, loss " << loss << '\n';
}
