// Whole models of the Llama family against dual numbers.
#include "families.hpp"
#include "model_gradient.hpp"

using namespace tinygpt::test;

TEMPLATE_LIST_TEST_CASE("every gradient of a model of the Llama family agrees with dual numbers", "[gradient]",
                        llama_family) {
  agrees_with_duals<TestType>();
}
