// Whole models against fourth-order differences, which share no code with dual numbers; and that gradients accumulate.
#include "families.hpp"
#include "model_gradient.hpp"

using namespace tinygpt;
using namespace tinygpt::test;

// Activations without kinks: a difference over the kink of a ReLU is no derivative.
using smooth_models =
    std::tuple<std::tuple_element_t<1, gpt2_family>, std::tuple_element_t<2, llama_family>, std::tuple_element_t<8, gpt2_family>>;

TEMPLATE_LIST_TEST_CASE("every gradient of a model agrees with fourth-order differences", "[gradient]", smooth_models) {
  // With h = 2e-4 truncation is h^4 = 2e-15 times a fifth derivative over 30, and roundoff 1.1e-16 / h = 6e-13 times the
  // ratio of the loss to its gradient. RMSNorm near a small input has fifth derivatives around 1e4: 1e-9 leaves room.
  for (const Circumstances& now : circumstances) {
    INFO(describe(TestType::config, now));
    const Problem<TestType> problem(now);
    CHECK(relative_error(problem.by_backward(), problem.by_differences(2e-4)) <= 1e-9);
  }
}

TEMPLATE_LIST_TEST_CASE("two backward passes add up to twice the gradient", "[gradient]", smooth_models) {
  const Problem<TestType> problem(circumstances[1]);
  std::vector<double> twice = problem.by_backward();
  for (double& g : twice) g *= 2;
  // A sum of 2n terms and twice a sum of n: they differ by the order of additions alone.
  CHECK(relative_error(problem.by_backward(2), twice) <= exact);
}

TEMPLATE_LIST_TEST_CASE("the backward pass leaves the padding between tensors at zero", "[gradient]", smooth_models) {
  const Problem<TestType> problem(circumstances[0]);
  std::vector<double> gradient = problem.by_backward();
  problem.each([&](std::size_t i) { gradient[i] = 0; });
  CHECK(norm2(gradient) == 0);
}
