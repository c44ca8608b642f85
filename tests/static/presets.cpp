// The registry of presets: complete, without repetition, and worked out from shapes a second time, by the formulas.
#include <tinygpt/presets/all.hpp>

#include <tinygpt/model/param_table.hpp>

namespace {

using namespace tinygpt;

static_assert(presets::registry.size() == 44);  // 14 classic, 4 gpt2, 5 factory, 15 modern, 6 consumer

// (Compared by name and not by address, which g++ 12 does not call constant under the sanitizers.)
constexpr bool names_differ() {
  for (const Preset& preset : presets::registry) {
    int of_that_name = 0;
    for (const Preset& other : presets::registry) of_that_name += other.name == preset.name;
    if (of_that_name != 1 || presets::find(preset.name)->name != preset.name) return false;
  }
  return true;
}
static_assert(names_differ());
static_assert(!presets::find("tiny_chat") && !presets::find(""));

/// By the formulas of the documents, which share no code with the table of tensors.
constexpr std::int64_t by_formula(const Config& c) {
  const std::int64_t C = c.embd, L = c.layers, V = c.vocab, T = c.ctx, F = c.ffn, Q = c.query_heads, KV = c.kv_heads,
                     D = c.head_dim;
  if (c.norm == rms) {
    return V * C + L * (2 * C * Q * D + 2 * C * KV * D + 3 * C * F + 2 * C + (c.qk_norm ? 2 * D : 0)) + C;
  }
  return V * C + T * C + L * (4 * C * C + 2 * C * F + 4 * C) + 2 * C +
         (c.bias == BiasSet::all ? L * (4 * C + F + C) : 0) + (c.head == untied ? V * C : 0);
}
constexpr bool counts_hold() {
  for (const Preset& preset : presets::registry) {
    if (ParamTable(preset.config).param_count() != by_formula(preset.config)) return false;
  }
  return true;
}
static_assert(counts_hold());

/// What a family has in common.
constexpr bool families_hold() {
  for (const Preset& preset : presets::registry) {
    const Config& c = preset.config;
    const bool llama = c.norm == rms && c.positions == rope && c.activation == swiglu && c.bias == BiasSet::none &&
                       c.head == tied && c.head_dim == 64 && c.query_heads > c.kv_heads;
    const bool gpt = c.norm == layer && c.positions == learned && c.ffn == 4 * c.embd && c.query_heads == c.kv_heads;
    const bool biased = c.bias == BiasSet::all && c.activation == gelu_tanh;
    const bool holds =
        preset.family == "classic"   ? gpt && c.bias == BiasSet::none && c.activation == gelu && c.head == tied
        : preset.family == "gpt2"    ? gpt && biased && c.head == tied && c.vocab == 50257 && c.ctx == 1024
        : preset.family == "factory" ? gpt && biased && c.head == untied
        : preset.family == "modern"
            ? llama && c.qk_norm && c.vocab == 32768 && c.ctx == 2048
            : preset.family == "consumer" && llama && !c.qk_norm && c.vocab == 32000 && c.query_heads == 4 * c.kv_heads;
    if (!holds) return false;
  }
  return true;
}
static_assert(families_hold());

/// Training defaults that a run can begin with.
constexpr bool defaults_hold() {
  for (const Preset& preset : presets::registry) {
    const TrainOptions& o = preset.defaults;
    if (o.batch_size < 1 || o.grad_accum_steps < 1 || o.learning_rate < 5e-5 || o.learning_rate > 6e-4) return false;
    if (o.min_learning_rate != o.learning_rate / 10 || o.dropout < 0 || o.dropout > 0.2) return false;
    if (o.warmup_iters < 100 || o.max_iters < 5 * o.warmup_iters / 2) return false;
  }
  return true;
}
static_assert(defaults_hold());
static_assert(presets::find("750M_1024_domain_adapt")->config == presets::find("750M_1024")->config);
static_assert(presets::find("750M_1024_domain_adapt")->defaults.learning_rate == 5e-5);
static_assert(presets::find("modern_180M")->defaults.grad_accum_steps == 12);

}  // namespace
