// A model of this project from a GGUF file of llama.cpp's: gpt2, llama and qwen3.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/exchange/gguf_layout.hpp>
#include <tinygpt/exchange/gguf_reader.hpp>
#include <tinygpt/exchange/gguf_tokenizer.hpp>
#include <tinygpt/exchange/quantize.hpp>
#include <tinygpt/io/model_view.hpp>
#include <tinygpt/io/norm_eps.hpp>
#include <tinygpt/io/safetensors.hpp>
#include <tinygpt/io/size_check.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt {

namespace gguf {

[[noreturn]] inline void refuse(const GgufReader& file, const std::string& what) {
  throw Error("cannot use " + file.path().string() + ": it " + what +
              ", which tinygpt does not compute: use a model without it");
}

/// What would make llama.cpp compute something else than there is here.
inline void refuse_what_is_not_computed(const GgufReader& file, const std::string& architecture) {
  const std::string a = architecture + ".";
  for (const char* const name : {"expert_count", "attention.sliding_window", "rope.scale_linear", "rope.scaling.factor",
                                 "attention.scale", "logit_scale", "residual_scale", "embedding_scale",
                                 "attention.clamp_kqv", "attention.max_alibi_bias", "attention.causal"}) {
    const Value* const value = file.find(a + name);
    if (value == nullptr) continue;
    const bool harmless = std::string_view(name) == "attention.causal" ? value->bits == 1 : value->bits == 0;
    if (!harmless) refuse(file, "has '" + a + name + "'");
  }
  if (const Value* const scaling = file.find(a + "rope.scaling.type"); scaling && scaling->bytes != "none") {
    refuse(file, "scales RoPE ('" + a + "rope.scaling.type')");
  }
}

/// A size in the range that it may have.
inline int size_of(const GgufReader& file, const std::string& key, const char* field) {
  const int value = file.whole(key);
  for (const SizeField& size : size_fields) {
    if (std::string_view(size.name) != field || (value >= 1 && value <= size.most)) continue;
    file.fault(*file.find(key), "is " + std::to_string(value) + ", not 1 to " + std::to_string(size.most));
  }
  return value;
}

inline double norm_eps(const GgufReader& file, const std::string& key) {
  const double said = file.real(key);
  if (const auto eps = norm_eps_of_file(said)) return *eps;
  file.fault(*file.find(key), std::string(norm_eps_range) + ", not " + shortest_text(said));
}

/// The rows of a matrix that must be there.
inline int rows_of(const GgufReader& file, const char* name, const char* field) {
  const Tensor* const tensor = file.tensor(name);
  if (tensor == nullptr) throw damaged(file.path(), "the tensor '" + std::string(name) + "' is missing");
  for (const SizeField& size : size_fields) {
    if (std::string_view(size.name) == field && tensor->shape[0] > size.most) {
      throw damaged(file.path(), "at byte " + std::to_string(tensor->offset) + ", the tensor '" + tensor->name +
                                     "' has more rows than a model can have");
    }
  }
  return static_cast<int>(tensor->shape[0]);
}

/// The architecture. For gpt2 it has every bias, as the file does; whether they are zero is seen later.
inline Config read_config(const GgufReader& file, const std::string& architecture) {
  refuse_what_is_not_computed(file, architecture);
  const auto size = [&](const char* name, const char* field) {
    return size_of(file, architecture + "." + name, field);
  };
  Config c;
  c.layers = size("block_count", "n_layer");
  c.ctx = size("context_length", "block_size");
  c.embd = size("embedding_length", "n_embd");
  c.ffn = size("feed_forward_length", "ffn_hidden");
  c.query_heads = c.kv_heads = size("attention.head_count", "n_head");
  c.vocab = rows_of(file, "token_embd.weight", "vocab_size");
  c.head = file.tensor("output.weight") != nullptr ? untied : tied;
  if (architecture == "gpt2") {
    c.activation = gelu_tanh;
    c.bias = all;
    c.norm_eps = norm_eps(file, "gpt2.attention.layer_norm_epsilon");
  } else {
    const auto has = [&](const char* name) { return file.tensor(name) != nullptr; };
    if (file.find(architecture + ".attention.head_count_kv")) c.kv_heads = size("attention.head_count_kv", "n_kv_head");
    c.activation = swiglu, c.norm = rms, c.positions = rope;
    c.qk_norm = architecture == "qwen3";
    if (has("blk.0.attn_q.bias")) c.bias = c.bias | attn_in;
    if (has("blk.0.attn_output.bias")) c.bias = c.bias | attn_out;
    if (has("blk.0.ffn_up.bias")) c.bias = c.bias | ffn;
    c.norm_eps = norm_eps(file, architecture + ".attention.layer_norm_rms_epsilon");
    if (const std::string key = architecture + ".rope.freq_base"; file.find(key)) {
      const double base = file.real(key);
      if (!(base >= 1 && base <= INT32_MAX) || base != std::floor(base)) {
        refuse(file, "has a base of RoPE that is no whole number");
      }
      c.rope_base = static_cast<int>(base);
    }
    if (file.find(architecture + ".attention.key_length")) c.head_dim = size("attention.key_length", "head_dim");
  }
  if (c.head_dim == 0) {
    if (c.embd % c.query_heads != 0) throw damaged(file.path(), "its heads do not divide its width");
    c.head_dim = c.embd / c.query_heads;
  }
  for (const char* const name : {"attention.value_length", "rope.dimension_count"}) {
    const std::string key = architecture + "." + name;
    if (architecture != "gpt2" && file.find(key) && file.whole(key) != c.head_dim) {
      refuse(file, "has another '" + key + "' than the size of a head");
    }
  }
  check_sizes(c, [&](const char* field, const std::string& what, const std::string&) {
    throw damaged(file.path(), std::string(field) + " " + what);
  });
  return c;
}

/// Fills the numbers of a tensor.
inline void fill_tensor(const GgufReader& file, const Tensor& from, const MappedTensor& to, std::span<float> weights) {
  std::int64_t at = from.offset;
  const TensorTypeRow& row = tensor_type(from.type);
  std::vector<std::byte> bytes;
  for (const ArenaMatrix& part : to.parts) {
    tensor_map::fill(part, weights, nullptr, [&](std::span<float> piece) {
      const auto size = static_cast<std::int64_t>(piece.size()) / row.block * row.bytes;
      if (from.type == TensorType::f32) {
        file.read(at, std::as_writable_bytes(piece));
      } else {
        bytes.resize(static_cast<std::size_t>(size));
        file.read(at, bytes);
        dequantize(from.type, bytes.data(), piece);
      }
      at += size;
    });
  }
}

/// The tensors of the file must be those of the architecture, and no others.
inline void fill_weights(const GgufReader& file, const std::vector<MappedTensor>& tensors, std::span<float> weights) {
  std::map<std::string_view, const MappedTensor*> by_name;
  for (const MappedTensor& tensor : tensors) by_name[tensor.name] = &tensor;
  for (const Tensor& tensor : file.tensors()) {
    const auto found = by_name.find(tensor.name);
    const std::string name = "at byte " + std::to_string(tensor.offset) + ", the tensor '" + tensor.name + "' ";
    if (found == by_name.end()) throw damaged(file.path(), name + "is none of this architecture's");
    if (tensor.shape_vector() != found->second->shape) {
      throw damaged(file.path(), name + "has the shape " + shape_text(tensor.shape_vector()) + ", where " +
                                     shape_text(found->second->shape) + " is needed");
    }
  }
  for (const MappedTensor& tensor : tensors) {
    const Tensor* const from = file.tensor(tensor.name);
    if (from == nullptr && tensor.name == "output.weight") continue;  // as tied as the config says
    if (from == nullptr) throw damaged(file.path(), "the tensor '" + tensor.name + "' is missing");
    fill_tensor(file, *from, tensor, weights);
  }
}

/// The same model, for gpt2 without the biases that are all zero, as its files always have them, and with a tied head
/// where both matrices are the same.
inline void simplify(LoadedModel& model) {
  const ParamTable before(model.config);
  const auto numbers = [&](const ParamRow& row, std::int64_t l) {
    return std::span<const float>(model.weights)
        .subspan(static_cast<std::size_t>(row.offset + l * row.stride), static_cast<std::size_t>(row.layer_size()));
  };
  const auto zero = [&](Param id) {
    bool all_zero = true;
    for (std::int64_t l = 0; l < before[id].layers; ++l) {
      for (const float x : numbers(before[id], l)) all_zero &= x == 0;
    }
    return all_zero;
  };
  Config config = model.config;
  BiasSet kept = config.bias;
  if (config.positions == learned) {
    kept = none;
    if (!zero(Param::qkv_bias)) kept = kept | attn_in;
    if (!zero(Param::attn_out_bias)) kept = kept | attn_out;
    if (!zero(Param::ffn_in_bias) || !zero(Param::ffn_out_bias)) kept = kept | ffn;
  }
  config.bias = kept;
  if (config.head == untied) {
    const auto head = numbers(before[Param::head_weight], 0), embedding = numbers(before[Param::token_embedding], 0);
    if (std::memcmp(head.data(), embedding.data(), head.size_bytes()) == 0) config.head = tied;
  }
  if (config == model.config) return;
  // In place: what is kept keeps its order, so each tensor moves to where nothing is needed any more.
  const ParamTable after(config);
  for (const ParamRow& row : after) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      const auto from = numbers(before[row.id], l);
      const auto to = model.weights.begin() + (row.offset + l * row.stride);
      std::memmove(&*to, from.data(), from.size_bytes());
      std::fill(to + row.layer_size(), to + row.stride, 0.0f);
    }
  }
  model.config = config;
  model.weights.resize(static_cast<std::size_t>(after.arena_size()));
}

/// The tokenizer; nothing where the file has none.
inline std::optional<Tokenizer> read_tokenizer(const GgufReader& file, int vocab) {
  if (!file.find("tokenizer.ggml.model")) return std::nullopt;
  const std::string model = file.text("tokenizer.ggml.model");
  if (model == "no_vocab" || model == "none") return std::nullopt;
  const auto other = [&](const std::string& what) {
    return Error("cannot use " + file.path().string() + ": its tokenizer is " + what +
                 ", where tinygpt knows byte-level BPE with the patterns gpt-2, llama-bpe and smaug-bpe: import a "
                 "directory of Hugging Face's with a tokenizer.json, or another model");
  };
  if (model != "gpt2") throw other("'" + printable(model) + "'");
  const std::string pre = file.text("tokenizer.ggml.pre");
  if (pre != "gpt-2" && pre != "llama-bpe" && pre != "smaug-bpe") throw other("'" + printable(pre) + "'");
  const Value& texts = file.array("tokenizer.ggml.tokens", Kind::text);
  const Value& types = file.array("tokenizer.ggml.token_type", Kind::i32);
  const Value& merges = file.array("tokenizer.ggml.merges", Kind::text);
  if (texts.size != static_cast<std::uint64_t>(vocab)) {
    file.fault(texts, "has " + std::to_string(texts.size) + " tokens, where the model has " + std::to_string(vocab));
  }
  if (types.size != texts.size) file.fault(types, "has another number of elements than there are tokens");
  const auto type = [&](std::size_t id) {
    std::int32_t t;
    std::memcpy(&t, types.bytes.data() + 4 * id, sizeof t);
    return static_cast<TokenType>(t);
  };
  std::size_t size = texts.ends.size();
  while (size > 0 && texts.text(size - 1) == "[PAD" + std::to_string(size - 1) + "]") --size;
  std::vector<std::string> tokens(size);
  std::vector<SpecialToken> special;
  std::unordered_map<std::string_view, std::int32_t> ids;
  for (std::size_t id = 0; id < size; ++id) {
    const std::string_view text = texts.text(id);
    if (type(id) == TokenType::control) {
      special.push_back({std::string(text), static_cast<std::int32_t>(id)});
      continue;
    }
    auto bytes = tinygpt::bytes_of(text);
    if (!bytes || bytes->empty() || type(id) != TokenType::normal) {
      file.fault(texts,
                 "has token " + std::to_string(id) + ", " + quoted_text(text) + ", which does not stand for bytes");
    }
    tokens[id] = std::move(*bytes);
    ids.emplace(text, static_cast<std::int32_t>(id));
  }
  std::vector<Merge> list;
  std::string joined;
  for (std::size_t i = 0; i < merges.ends.size(); ++i) {
    const std::string_view merge = merges.text(i);
    const auto space = merge.find(' ');
    const auto id_of = [&](std::string_view text) {
      const auto found = ids.find(text);
      if (space == merge.npos || found == ids.end()) {
        file.fault(merges, "has element " + std::to_string(i) + ", " + quoted_text(merge) +
                               ", which is not of two tokens that make one");
      }
      return found->second;
    };
    const std::string_view left = merge.substr(0, space), right = merge.substr(std::min(space, merge.size() - 1) + 1);
    joined.assign(left).append(right);
    list.push_back({id_of(left), id_of(right), id_of(joined)});
  }
  const bool gpt4 = pre != "gpt-2";
  const Pattern pattern = gpt4 ? Pattern::gpt4 : list.empty() ? Pattern::none : Pattern::gpt2;
  return tokenizer_of(std::move(tokens), std::move(list), pattern, std::move(special),
                      pre == "llama-bpe" ? WholeWords::at_once : WholeWords::merged, file.path());
}

/// What the file says of texts, as the files that transformers has for it.
inline Companions read_companions(const GgufReader& file, const std::optional<Tokenizer>& tokenizer) {
  Companions all;
  if (!tokenizer) return all;
  const auto id = [&](const char* key) -> std::optional<std::int64_t> {
    if (!file.find(key)) return std::nullopt;
    const int value = file.whole(key);
    // A file must say an end, so one without writes a token that no text has, which need not be special.
    return tokenizer->is_special(value) ? std::optional<std::int64_t>(value) : std::nullopt;
  };
  for (const char* const key : end_keys) {
    if (const auto end = id(key); end && std::find(all.ends.begin(), all.ends.end(), *end) == all.ends.end()) {
      all.ends.push_back(*end);
    }
  }
  all.begin = id("tokenizer.ggml.bos_token_id");
  if (const auto padding = id("tokenizer.ggml.padding_token_id")) all.config["pad_token_id"] = *padding;
  if (file.find("tokenizer.chat_template")) all.files["chat_template.jinja"] = file.text("tokenizer.chat_template");
  const Value* const adds = file.find("tokenizer.ggml.add_bos_token");
  if (adds && adds->kind == Kind::boolean && adds->bits == 1 && all.begin) {
    all.files["tokenizer.json"] = tokenizer_json_text(*tokenizer, static_cast<std::int32_t>(*all.begin));
  }
  return all;
}

}  // namespace gguf

/// A model of float or quantised numbers, which become float. Throws DamagedFile for a file that does not fit together,
/// Error for one that tinygpt cannot compute.
inline LoadedModel model_of(const GgufReader& file) {
  const std::filesystem::path& path = file.path();
  const std::string architecture = file.text("general.architecture");
  if (architecture != "gpt2" && architecture != "llama" && architecture != "qwen3") {
    throw Error("cannot use " + path.string() + ": its architecture is '" + printable(architecture.substr(0, 60)) +
                "', where tinygpt has gpt2, llama and qwen3: use another model");
  }
  LoadedModel model;
  model.config = gguf::read_config(file, architecture);
  const ParamTable table(model.config);
  // The densest type has 16 / 9 numbers in a byte: so nothing is made larger than the file can fill.
  if (table.param_count() / 2 > file.size()) {
    throw damaged(path, "it would have " + std::to_string(table.param_count()) + " parameters, more than it can hold");
  }
  const std::int64_t rows = std::int64_t{model.config.layers} * (model.config.query_width() + model.config.kv_width());
  // Each row of a head is a piece of its own.
  const bool many_rows =
      rows * static_cast<std::int64_t>(sizeof(ArenaMatrix)) > 2 * file.size() + (std::int64_t{1} << 19);
  if (too_narrow(table) || many_rows) throw damaged(path, "its matrices are narrower than any model's");
  const auto tensors = gguf_tensors(model.config, architecture);
  if (const GgufFit fit = gguf_fit(model.config); fit.architecture == nullptr || fit.architecture != architecture) {
    throw damaged(path, "its tensors are not those of the architecture '" + architecture + "'");
  }
  model.weights.resize(static_cast<std::size_t>(table.arena_size()));
  gguf::fill_weights(file, tensors, model.weights);
  model.tokenizer = gguf::read_tokenizer(file, model.config.vocab);
  model.companions = gguf::read_companions(file, model.tokenizer);
  model.name = file.find("general.name") ? printable(file.text("general.name")) : path.stem().string();
  gguf::simplify(model);
  return model;
}
inline LoadedModel read_gguf(const std::filesystem::path& path) { return model_of(GgufReader(path)); }

}  // namespace tinygpt
