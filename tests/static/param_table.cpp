// The parameter table: rows disjoint, aligned, without gaps larger than the alignment, decaying rows first.
#include <tinygpt/layout/params.hpp>

namespace {

using namespace tinygpt;

constexpr bool aligned(const ParamTable& table) {
  for (const ParamRow& row : table) {
    if (row.offset % param_alignment != 0 || row.stride % param_alignment != 0) return false;
  }
  return table.arena_size() % param_alignment == 0;
}

/// Each row begins where the one before it ends, and padding is less than one alignment for each layer's tensor.
constexpr bool packed(const ParamTable& table) {
  std::int64_t end = 0;
  for (const ParamRow& row : table) {
    if (row.offset != end || row.stride < row.layer_size() || row.stride >= row.layer_size() + param_alignment) return false;
    end = row.offset + row.layers * row.stride;
  }
  return end == table.arena_size();
}

/// Matrices decay and lie in [0, decay_end); vectors do not and lie after.
constexpr bool decay_first(const ParamTable& table) {
  for (const ParamRow& row : table) {
    const bool matrix = row.cols != 0;
    if (matrix != (row.decay == Decay::yes)) return false;
    if (matrix ? row.offset + row.layers * row.stride > table.decay_end() : row.offset < table.decay_end()) return false;
  }
  return true;
}

/// Every tensor at most once, found under its own name, in the order of the enumeration.
constexpr bool indexed(const ParamTable& table) {
  int last = -1, found = 0;
  for (const ParamRow& row : table) {
    if (static_cast<int>(row.id) <= last || !table.has(row.id) || table[row.id].offset != row.offset) return false;
    last = static_cast<int>(row.id);
  }
  for (int id = 0; id < static_cast<int>(Param::count); ++id) found += table.has(static_cast<Param>(id));
  return found == table.size();
}

template <class... Options>
constexpr bool sound = [] {
  constexpr ParamTable table = GPT<Options...>::params;
  return aligned(table) && packed(table) && decay_first(table) && indexed(table) &&
         table.param_count() <= table.arena_size();
}();

// Sizes that are no multiples of the alignment, every option that adds or removes a row.
static_assert(sound<Layers<3>, Embd<10>, Heads<2>, Ctx<7>, Vocab<11>>);
static_assert(sound<Layers<3>, Embd<10>, Heads<2>, Ctx<7>, Vocab<11>, Bias<all>>);
static_assert(sound<Layers<3>, Embd<10>, Heads<2>, Ctx<7>, Vocab<11>, Bias<head>, Head<untied>>);
static_assert(sound<Layers<3>, Embd<10>, Heads<2>, Ctx<7>, Vocab<11>, Bias<all | head>, Head<untied>>);
static_assert(sound<Layers<3>, Embd<10>, Heads<2>, Ctx<7>, Vocab<11>, Norm<rms>, Positions<none>>);
static_assert(sound<Layers<5>, Embd<14>, Heads<6, 3>, HeadDim<2>, Ctx<7>, Vocab<11>, Norm<rms>, Positions<rope>,
                    Activation<swiglu>, QkNorm, Ffn<9>>);
static_assert(sound<Layers<48>, Embd<1600>, Heads<25>, Ctx<1024>, Bias<all>>);

// The table is as long at any depth.
static_assert(GPT<Layers<1>, Embd<64>, Heads<4>, Ctx<32>>::params.size() ==
              GPT<Layers<400>, Embd<64>, Heads<4>, Ctx<32>>::params.size());

// What an architecture does not have is not in its table.
using Bare = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Norm<rms>, Positions<rope>>;
static_assert(!Bare::params.has(Param::position_embedding) && !Bare::params.has(Param::norm1_bias) &&
              !Bare::params.has(Param::qkv_bias) && !Bare::params.has(Param::q_norm_weight) &&
              !Bare::params.has(Param::head_weight) && !Bare::params.has(Param::head_bias));

// Views: shapes are constants, of the words that the user typed.
using Grouped = GPT<Layers<2>, Embd<8>, Heads<4, 2>, HeadDim<6>, Ctx<4>, Vocab<11>, Activation<swiglu>, Ffn<20>>;
using Views = Params<Grouped, const float>;
static_assert(std::is_same_v<decltype(Views(nullptr).token_embedding()), Tensor<const float, Vocab<11>, Embd<8>>>);
static_assert(std::is_same_v<decltype(Views(nullptr).qkv_weight(0)), Tensor<const float, Qkv<4, 2, 6>, Embd<8>>>);
static_assert(std::is_same_v<decltype(Views(nullptr).ffn_in_weight(0)), Tensor<const float, FfnIn<20, swiglu>, Embd<8>>>);
static_assert(std::is_same_v<decltype(Views(nullptr).attn_out_weight(0)), Tensor<const float, Embd<8>, QueryHeads<4, 6>>>);

}  // namespace
