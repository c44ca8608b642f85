// What follows from an architecture is known before the program runs: ask for it in static_assert.
#include <cstdio>

#include <tinygpt/tinygpt.hpp>
using namespace tinygpt;

using Model = GPT<Layers<16>, Embd<768>, Heads<12, 4>, Ctx<1024>>;

static_assert(Model::param_count == 140'133'888);              // exact, not "about 150M"
static_assert(train_bytes<Model>(Batch{4}) < 8_GiB);           // will it fit the card?
static_assert(kv_cache_bytes(Model::config) == 32_MiB);        // what a conversation costs
static_assert(Model::params[Param::qkv_weight].rows == 1280);  // 12 query heads, 4 key and 4 value heads of 64

int main() {
  std::printf("%-20s %12s  %s\n", "tensor", "parameters", "shape");
  for (const ParamRow& row : Model::params) {
    std::printf("%-20s %12lld  %lld x %lld x %lld\n", row.name, static_cast<long long>(row.size()),
                static_cast<long long>(row.layers), static_cast<long long>(row.rows),
                static_cast<long long>(row.cols == 0 ? 1 : row.cols));
  }
  std::printf("%-20s %12lld\n", "all", static_cast<long long>(Model::param_count));
  std::printf("FLOPs per token, forward and backward: %lld\n", static_cast<long long>(Model::train_flops_per_token()));
}
