// A model as a graph of ONNX operators, for ONNX Runtime and what else reads them.
// Source: onnx/docs/Operators.md, operator set 17; the names of inputs and outputs are those of Hugging Face optimum.
#pragma once

#include <cmath>
#include <numbers>
#include <utility>

#include <tinygpt/config/words.hpp>
#include <tinygpt/exchange/onnx_graph.hpp>
#include <tinygpt/io/representable.hpp>
#include <tinygpt/io/model_view.hpp>
#include <tinygpt/io/tensor_map.hpp>

namespace tinygpt {

/// Does the graph take the keys and values of earlier tokens, and give those of all?
enum class OnnxCache { without, with };

struct OnnxOptions {
  StoredType weights = StoredType::float32;  ///< of the matrices; all computing is in float32
  /// A file would become larger: the weights go beside it. 2 GB is what protocol buffers end at.
  std::int64_t most_inside = 2'147'483'647;
};

namespace onnx {

/// Adds the operators of a model to a graph. Letters of shapes: B batch, S tokens of this call, P tokens before them,
/// T = P + S, and those of the whole project.
class ModelGraph {
 public:
  ModelGraph(const ModelView& model, OnnxCache cache, StoredType weights)
      : graph_(model.name.empty() ? "tinygpt" : model.name),
        config_(model.config),
        table_(model.config),
        arena_(model.weights),
        cached_(cache == OnnxCache::with),
        weights_(weights) {
    inputs();
    const std::string x = embedding();
    std::string residual = x;
    for (int l = 0; l < config_.layers; ++l) {
      const std::string at = "layers." + std::to_string(l) + ".";
      const std::string normed = norm(at + "norm1", residual, Param::norm1_weight, Param::norm1_bias, l);
      residual = graph_.add("Add", {residual, attention(at + "attention.", normed, l)}, at + "attention.residual");
      const std::string second = norm(at + "norm2", residual, Param::norm2_weight, Param::norm2_bias, l);
      residual = graph_.add("Add", {residual, feed_forward(at + "ffn.", second, l)}, at + "ffn.residual");
    }
    head(norm("final_norm", residual, Param::final_norm_weight, Param::final_norm_bias, 0));
    for (int l = 0; l < config_.layers && cached_; ++l) {
      for (const char* const end : {".key", ".value"}) {
        graph_.output("present." + std::to_string(l) + end, Element::float32,
                      {"batch", config_.kv_heads, "total_sequence", config_.head_dim});
      }
    }
  }

  const Graph& graph() const { return graph_; }

 private:
  using Names = Graph::Names;

  // Tensors.

  /// A part of the arena under its own name and, where it is not kept in float32, the operator that makes it so.
  std::string weight(const std::string& name, const ArenaMatrix& part, bool vector) {
    const StoredType type = vector ? StoredType::float32 : weights_;
    MappedTensor tensor{name, {}, {part}};
    if (!vector) tensor.shape.push_back(part.transposed ? part.cols : part.rows);
    tensor.shape.push_back(part.transposed ? part.rows : part.cols);
    const Element element = type == StoredType::float32    ? Element::float32
                            : type == StoredType::bfloat16 ? Element::bfloat16
                                                           : Element::float16;
    graph_.tensor(
        {name, tensor.shape, element, part.size() * bytes_of(type),
         [tensor, type, arena = arena_](const Sink& sink) { write_tensor(tensor, arena, nullptr, type, sink); }});
    if (type == StoredType::float32) return name;
    return graph_.add("Cast", {name}, name + ".float32",
                      {Attribute::integer("to", static_cast<int>(Element::float32))});
  }
  std::string vector(const std::string& name, Param id, int l) {
    return weight(name, matrix_of(table_[id], table_[id].per_layer ? l : 0), true);
  }
  std::string real(const std::string& name, double value) {
    return graph_.constant<float>(name, {static_cast<float>(value)}, true);
  }
  std::string whole(const std::string& name, std::vector<std::int64_t> values) {
    return graph_.constant<std::int64_t>(name, std::move(values));
  }

  // Parts of the model.

  /// Inputs, and what all layers need of them: positions (S), and the mask (S, T), 0 where a token may look and the
  /// lowest number elsewhere.
  void inputs() {
    graph_.input("input_ids", Element::int64, {"batch", "sequence"});
    for (int l = 0; l < config_.layers && cached_; ++l) {
      for (const char* const end : {".key", ".value"}) {
        graph_.input("past_key_values." + std::to_string(l) + end, Element::float32,
                     {"batch", config_.kv_heads, "past_sequence", config_.head_dim});
      }
    }
    const std::string zero = graph_.constant<std::int64_t>("zero", {0}, true);
    const std::string one = graph_.constant<std::int64_t>("one", {1}, true);
    const std::string sequence =
        graph_.add("Gather", {graph_.add("Shape", {"input_ids"}, "input_ids.shape"), one}, "sequence");
    std::string past = zero, total = sequence;
    if (cached_) {
      const std::string two = graph_.constant<std::int64_t>("two", {2}, true);
      past = graph_.add("Gather", {graph_.add("Shape", {"past_key_values.0.key"}, "past.shape"), two}, "past");
      total = graph_.add("Add", {past, sequence}, "total");
    }
    positions_ = graph_.add("Range", {past, total, one}, "positions");
    const std::string rows = graph_.add("Unsqueeze", {positions_, whole("axis.last", {-1})}, "positions.rows");
    const std::string seen = graph_.add("LessOrEqual", {graph_.add("Range", {zero, total, one}, "keys"), rows}, "seen");
    mask_ = graph_.add("Where", {seen, real("mask.seen", 0), real("mask.hidden", std::numeric_limits<float>::lowest())},
                       "mask");
    if (config_.positions != learned && config_.positions != rope && config_.positions != none) {
      throw Error("ONNX: the positions " + config_text::word_of(config_text::positions, config_.positions) +
                  " have no graph: add them to exchange/onnx.hpp");
    }
    if (config_.positions == rope) {
      cos_ = graph_.add("Gather", {rope_table("rope.cos", [](double a) { return std::cos(a); }), positions_}, "cos");
      sin_ = graph_.add("Gather", {rope_table("rope.sin", [](double a) { return std::sin(a); }), positions_}, "sin");
    }
  }

  /// (Ctx, D / 2), computed as ops/rope.hpp does it.
  template <class F> std::string rope_table(const std::string& name, F f) {
    const int half = config_.head_dim / 2, ctx = config_.ctx, base = config_.rope_base;
    return graph_.tensor({name,
                          {ctx, half},
                          Element::float32,
                          std::int64_t{ctx} * half * bytes_of(StoredType::float32),
                          [=](const Sink& sink) {
                            std::vector<float> row(static_cast<std::size_t>(half));
                            for (int p = 0; p < ctx; ++p) {
                              for (int i = 0; i < half; ++i) {
                                const double angle = p * std::pow(static_cast<double>(base), -2.0 * i / (2 * half));
                                row[static_cast<std::size_t>(i)] = static_cast<float>(f(angle));
                              }
                              sink(std::as_bytes(std::span<const float>(row)));
                            }
                          }});
  }

  std::string embedding() {
    table_of_tokens_ = weight("token_embedding", matrix_of(table_[Param::token_embedding]), false);
    const std::string tokens = graph_.add("Gather", {table_of_tokens_, "input_ids"}, "embedding.tokens");
    if (config_.positions != learned) return tokens;
    const std::string table = weight("position_embedding", matrix_of(table_[Param::position_embedding]), false);
    return graph_.add("Add", {tokens, graph_.add("Gather", {table, positions_}, "embedding.positions")}, "embedding");
  }

  /// Over the last axis.
  std::string norm(const std::string& at, const std::string& x, Param w, Param b, int l) {
    if (config_.norm == rms) return rms_norm(at, x, vector(at + ".weight", w, l));
    return graph_.add(
        "LayerNormalization", {x, vector(at + ".weight", w, l), vector(at + ".bias", b, l)}, at,
        {Attribute::integer("axis", -1), Attribute::real("epsilon", static_cast<float>(config_.norm_eps))});
  }
  /// Operator set 17 has it not: y = w x / sqrt(mean x^2 + eps). All of a model have one eps, QK-norm's.
  std::string rms_norm(const std::string& at, const std::string& x, const std::string& w) {
    const std::string square = graph_.add("Mul", {x, x}, at + ".square");
    const std::string mean = graph_.add("ReduceMean", {square}, at + ".mean", {Attribute::integers("axes", {-1})});
    const std::string shifted =
        graph_.add("Add", {mean, shared_real("epsilon", config_.qk_norm_eps())}, at + ".shifted");
    const std::string scaled = graph_.add("Div", {x, graph_.add("Sqrt", {shifted}, at + ".root")}, at + ".scaled");
    return graph_.add("Mul", {scaled, w}, at);
  }

  /// y = x w^T + b.
  std::string linear(const std::string& at, const std::string& x, Param w, Param b, int l) {
    const std::string turned = weight(at + ".weight", transposed(matrix_of(table_[w], l)), false);
    const std::string product = graph_.add("MatMul", {x, turned}, at + ".product");
    return table_.has(b) ? graph_.add("Add", {product, vector(at + ".bias", b, l)}, at) : product;
  }

  std::string attention(const std::string& at, const std::string& x, int l) {
    const std::int64_t Q = config_.query_heads, KV = config_.kv_heads, D = config_.head_dim;
    const std::string joined = linear(at + "qkv", x, Param::qkv_weight, Param::qkv_bias, l);
    const Names parts{at + "q.flat", at + "k.flat", at + "v.flat"};
    graph_.add("Split", {joined, shared_whole("split.qkv", {Q * D, KV * D, KV * D})}, parts, at + "split",
               {Attribute::integer("axis", -1)});
    std::string q = heads(at + "q", parts[0], Q), k = heads(at + "k", parts[1], KV), v = heads(at + "v", parts[2], KV);
    if (config_.qk_norm) {
      q = rms_norm(at + "q_norm", q, vector(at + "q_norm.weight", Param::q_norm_weight, l));
      k = rms_norm(at + "k_norm", k, vector(at + "k_norm.weight", Param::k_norm_weight, l));
    }
    if (config_.positions == rope) {
      q = rotated(at + "q", q);
      k = rotated(at + "k", k);
    }
    if (cached_) {
      const std::string n = std::to_string(l), past = "past_key_values." + n, present = "present." + n;
      k = graph_.add("Concat", {past + ".key", k}, present + ".key", {Attribute::integer("axis", 2)});
      v = graph_.add("Concat", {past + ".value", v}, present + ".value", {Attribute::integer("axis", 2)});
    }
    q = graph_.add("Mul", {q, shared_real("scale", 1 / std::sqrt(static_cast<double>(D)))}, at + "q.scaled");
    const bool grouped = KV != Q;
    if (grouped) {  // queries (B, Hkv, group, S, D) meet keys and values (B, Hkv, 1, T, D)
      q = graph_.add("Reshape", {q, shared_whole("shape.groups", {0, KV, Q / KV, -1, D})}, at + "q.groups");
      k = graph_.add("Unsqueeze", {k, shared_whole("axis.group", {2})}, at + "k.group");
      v = graph_.add("Unsqueeze", {v, shared_whole("axis.group", {2})}, at + "v.group");
    }
    k = grouped ? graph_.add("Transpose", {k}, at + "k.turned", {Attribute::integers("perm", {0, 1, 2, 4, 3})})
                : graph_.add("Transpose", {k}, at + "k.turned", {Attribute::integers("perm", {0, 1, 3, 2})});
    const std::string scores = graph_.add("MatMul", {q, k}, at + "scores");
    const std::string masked = graph_.add("Add", {scores, mask_}, at + "scores.masked");
    const std::string shares = graph_.add("Softmax", {masked}, at + "shares", {Attribute::integer("axis", -1)});
    std::string y = graph_.add("MatMul", {shares, v}, at + "y");
    if (grouped) y = graph_.add("Reshape", {y, shared_whole("shape.heads", {0, Q, -1, D})}, at + "y.heads");
    y = graph_.add("Transpose", {y}, at + "y.turned", {Attribute::integers("perm", {0, 2, 1, 3})});
    y = graph_.add("Reshape", {y, shared_whole("shape.joined", {0, 0, Q * D})}, at + "y.joined");
    return linear(at + "out", y, Param::attn_out_weight, Param::attn_out_bias, l);
  }

  /// (B, S, heads D) becomes (B, heads, S, D).
  std::string heads(const std::string& at, const std::string& x, std::int64_t count) {
    const std::string shape = shared_whole("shape.split." + std::to_string(count), {0, 0, count, config_.head_dim});
    return graph_.add("Transpose", {graph_.add("Reshape", {x, shape}, at + ".split")}, at,
                      {Attribute::integers("perm", {0, 2, 1, 3})});
  }

  /// The pairs (i, i + D / 2) of each head, turned by the angles of the positions.
  std::string rotated(const std::string& at, const std::string& x) {
    const Names half{at + ".first", at + ".second"};
    graph_.add("Split", {x}, half, at + ".halves", {Attribute::integer("axis", -1)});
    const auto times = [&](int which, const std::string& table) {
      const auto& part = half[static_cast<std::size_t>(which)];
      return graph_.add("Mul", {part, table}, part + "." + table);
    };
    const std::string a = graph_.add("Sub", {times(0, cos_), times(1, sin_)}, at + ".rotated.first");
    const std::string b = graph_.add("Add", {times(1, cos_), times(0, sin_)}, at + ".rotated.second");
    return graph_.add("Concat", {a, b}, at + ".rotated", {Attribute::integer("axis", -1)});
  }

  std::string feed_forward(const std::string& at, const std::string& x, int l) {
    const std::string pre = linear(at + "in", x, Param::ffn_in_weight, Param::ffn_in_bias, l);
    return linear(at + "out", activation(at, pre), Param::ffn_out_weight, Param::ffn_out_bias, l);
  }

  /// As reference/activation.hpp; operator set 17 has no GELU.
  std::string activation(const std::string& at, const std::string& x) {
    const auto binary = [&](const char* op, const std::string& a, const std::string& b, const std::string& name) {
      return graph_.add(op, {a, b}, at + name);
    };
    switch (config_.activation) {
      case ActivationKind::relu:
        return graph_.add("Relu", {x}, at + "relu");
      case ActivationKind::swiglu: {
        const Names halves{at + "gate", at + "up"};
        graph_.add("Split", {x}, halves, at + "halves", {Attribute::integer("axis", -1)});
        const std::string sigmoid = graph_.add("Sigmoid", {halves[0]}, at + "sigmoid");
        return binary("Mul", binary("Mul", halves[0], sigmoid, "silu"), halves[1], "swiglu");
      }
      case ActivationKind::gelu: {
        const std::string inner = binary("Mul", x, shared_real("1/sqrt2", std::numbers::sqrt2 / 2), "inner");
        return gelu(at, x, graph_.add("Erf", {inner}, at + "erf"));
      }
      case ActivationKind::gelu_tanh: {
        const std::string cube = binary("Mul", binary("Mul", x, x, "square"), x, "cube");
        const std::string sum = binary("Add", x, binary("Mul", cube, shared_real("cubic", 0.044715), "cubic"), "sum");
        const std::string inner =
            binary("Mul", sum, shared_real("sqrt(2/pi)", std::numbers::sqrt2 * std::numbers::inv_sqrtpi), "inner");
        return gelu(at, x, graph_.add("Tanh", {inner}, at + "tanh"));
      }
    }
    throw Error("ONNX: the activation " + config_text::word_of(config_text::activations, config_.activation) +
                " has no graph: add it to exchange/onnx.hpp");
  }
  /// x (1 + inner) / 2
  std::string gelu(const std::string& at, const std::string& x, const std::string& inner) {
    const std::string sum = graph_.add("Add", {inner, shared_real("1", 1)}, at + "gelu.sum");
    const std::string product = graph_.add("Mul", {x, sum}, at + "gelu.product");
    return graph_.add("Mul", {product, shared_real("1/2", 0.5)}, at + "gelu");
  }

  void head(const std::string& x) {
    const std::string matrix =
        config_.head == tied
            ? graph_.add("Transpose", {table_of_tokens_}, "head.weight", {Attribute::integers("perm", {1, 0})})
            : weight("head.weight", transposed(matrix_of(table_[Param::head_weight])), false);
    if (table_.has(Param::head_bias)) {
      const std::string product = graph_.add("MatMul", {x, matrix}, "head.product");
      graph_.add("Add", {product, vector("head.bias", Param::head_bias, 0)}, "logits");
    } else {
      graph_.add("MatMul", {x, matrix}, "logits");
    }
    graph_.output("logits", Element::float32, {"batch", "sequence", config_.vocab});
  }

  // Constants that many operators share.

  std::string shared_real(const std::string& name, double value) {
    return constants_.insert(name).second ? real(name, value) : name;
  }
  std::string shared_whole(const std::string& name, std::vector<std::int64_t> values) {
    return constants_.insert(name).second ? whole(name, std::move(values)) : name;
  }

  Graph graph_;
  const Config& config_;
  ParamTable table_;
  std::span<const float> arena_;
  bool cached_;
  StoredType weights_;
  std::set<std::string> constants_;
  std::string positions_, mask_, cos_, sin_, table_of_tokens_;
};

}  // namespace onnx

/// Writes a model as ONNX, operator set 17: input_ids (batch, sequence), int64, to logits (batch, sequence, V). With a
/// cache it also takes past_key_values.N.key and .value (batch, Hkv, past_sequence, D), which may be empty, and gives
/// present.N.key and .value with the new tokens' behind them. Batch and lengths are free; a token beyond the context
/// is an error of the runtime, but for Positions<none>. Written whole or not at all; memory does not grow with the
/// model. Throws Error where a weight is not finite or beyond its type, or the disk does not take it.
inline void write_onnx(const std::filesystem::path& file, const ModelView& model, OnnxCache cache,
                       const OnnxOptions& options = {}) {
  expect_representable(model.config, model.weights, options.weights);
  onnx::ModelGraph(model, cache, options.weights).graph().write(file, options.most_inside);
}

}  // namespace tinygpt
