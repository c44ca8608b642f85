// The backends owe what ops/backend.hpp lists. (The gpu's: tests/gpu/model_test.cpp, which can include it.)
#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/reference/reference.hpp>

namespace {

using namespace tinygpt;
static_assert(Backend<cpu::Context>);
static_assert(Backend<reference::Context<float>>);
static_assert(Backend<reference::Context<double>>);

// A context alone is none.
struct Idle {
  using element = float;
  using accumulator = float;
  struct Recording {};
};
static_assert(!Backend<Idle>);

}  // namespace
