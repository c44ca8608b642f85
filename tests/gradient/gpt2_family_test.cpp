// Whole models of the GPT-2 family against dual numbers.
#include "families.hpp"
#include "model_gradient.hpp"

using namespace tinygpt::test;

// The models of both families, times the circumstances of each: what the release promises is at least 60.
static_assert((std::tuple_size_v<gpt2_family> + std::tuple_size_v<llama_family>)*std::size(circumstances) >= 60);

TEMPLATE_LIST_TEST_CASE("every gradient of a model of the GPT-2 family agrees with dual numbers", "[gradient]",
                        gpt2_family) {
  agrees_with_duals<TestType>();
}
