// The parameter table and the views made of it, at run time.
#include <set>
#include <string>
#include <vector>

#include <tinygpt/layout/params.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

using Everything = GPT<Layers<3>, Embd<10>, Heads<4, 2>, HeadDim<6>, Ctx<7>, Vocab<11>, Ffn<9>, Activation<swiglu>, QkNorm,
                       Bias<all | head>, Head<untied>>;
using Little = GPT<Layers<3>, Embd<10>, Heads<2>, Ctx<7>, Vocab<11>, Norm<rms>, Positions<none>>;

TEST_CASE("the rows of a table add up to the exact count, by hand and from a config that no type made") {
  const Config c = Everything::config;
  const ParamTable table(c);
  std::int64_t sum = 0;
  for (const ParamRow& row : table) sum += row.size();
  // Tokens 11 x 10, positions 7 x 10, head 11 x 10 + 11, last norm 20. A layer: norms 40, QK-norm 12, projection
  // (4 + 2 + 2) 6 x 10 + 48, attention output 10 x 24 + 10, gate and up 18 x 10 + 18, down 10 x 9 + 10.
  CHECK(sum == 110 + 70 + 121 + 20 + 3 * (40 + 12 + 528 + 250 + 198 + 100));
  CHECK(table.param_count() == sum);
  CHECK(Everything::param_count == sum);
  CHECK(table.arena_size() == Everything::params.arena_size());
}

TEST_CASE("every tensor has a name of its own") {
  std::set<std::string> names;
  for (const ParamRow& row : Everything::params) names.insert(row.name);
  CHECK(names.size() == static_cast<std::size_t>(Param::count));
  CHECK(Everything::params.size() == static_cast<int>(Param::count));
}

/// Adds 1 to each element of a view; a null view has none.
template <class... Axes>
void touch(const Tensor<int, Axes...>& view) {
  for (std::int64_t i = 0; view && i < view.size(); ++i) ++view.data()[i];
}

template <class M>
std::vector<int> touched() {
  std::vector<int> arena(static_cast<std::size_t>(M::params.arena_size()));
  const Params<M, int> p(arena.data());
  touch(p.token_embedding());
  touch(p.position_embedding());
  touch(p.final_norm_weight());
  touch(p.final_norm_bias());
  touch(p.head_bias());
  if (M::config.head == untied) touch(p.head_weight());
  for (int l = 0; l < M::config.layers; ++l) {
    touch(p.norm1_weight(l));
    touch(p.norm1_bias(l));
    touch(p.qkv_weight(l));
    touch(p.qkv_bias(l));
    touch(p.q_norm_weight(l));
    touch(p.k_norm_weight(l));
    touch(p.attn_out_weight(l));
    touch(p.attn_out_bias(l));
    touch(p.norm2_weight(l));
    touch(p.norm2_bias(l));
    touch(p.ffn_in_weight(l));
    touch(p.ffn_in_bias(l));
    touch(p.ffn_out_weight(l));
    touch(p.ffn_out_bias(l));
  }
  return arena;
}

TEMPLATE_TEST_CASE("the views cover every parameter once and no padding", "", Everything, Little) {
  std::vector<int> arena = touched<TestType>();
  std::int64_t ones = 0;
  for (const ParamRow& row : TestType::params) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        int& element = arena[static_cast<std::size_t>(row.offset + l * row.stride + i)];
        REQUIRE(element == 1);
        element = 0;
        ++ones;
      }
    }
  }
  CHECK(ones == TestType::param_count);
  CHECK(arena == std::vector<int>(arena.size()));
}

TEST_CASE("a tied head is the token embedding") {
  std::vector<int> arena(static_cast<std::size_t>(Little::params.arena_size()));
  const Params<Little, int> p(arena.data());
  CHECK(p.head_weight().data() == p.token_embedding().data());
}

TEST_CASE("what an architecture lacks is a null view") {
  std::vector<int> arena(static_cast<std::size_t>(Little::params.arena_size()));
  const Params<Little, int> p(arena.data());
  CHECK_FALSE(p.position_embedding());
  CHECK_FALSE(p.norm1_bias(0));
  CHECK_FALSE(p.qkv_bias(0));
  CHECK_FALSE(p.q_norm_weight(0));
  CHECK_FALSE(p.head_bias());
}

}  // namespace
