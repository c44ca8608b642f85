// A model that was trained with nanoGPT, from a safetensors file of its state dict.
// Source: nanoGPT, model.py (the names, the orientation of nn.Linear) and train.py (model_args of a checkpoint).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/io/model_view.hpp>
#include <tinygpt/io/safetensors.hpp>
#include <tinygpt/io/size_check.hpp>

namespace tinygpt {

/// What the tensors do not say.
struct NanogptOptions {
  int heads = 0;  ///< 0: as "model_args" in the file's metadata has it
  /// nn.GELU(), as nanoGPT has it; gelu_tanh for runs of its first versions, whose model.py has new_gelu.
  ActivationKind activation = gelu;
};

namespace nanogpt {

/// The tensors of a file by their names without the prefix that torch.compile puts before them.
class StateDict {
 public:
  explicit StateDict(const std::filesystem::path& path) : reader_(path) {
    for (const TensorEntry& entry : reader_.entries()) {
      if (!by_name_.emplace(plain(entry.name), &entry).second) {
        throw damaged(path, "it has the tensor '" + printable(plain(entry.name)) + "' with and without _orig_mod.");
      }
    }
  }

  static std::string plain(const std::string& name) {
    constexpr std::string_view compiled = "_orig_mod.";
    return name.starts_with(compiled) ? name.substr(compiled.size()) : name;
  }

  const TensorEntry* find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }
  bool has(const std::string& name) const { return find(name) != nullptr; }

  /// One that must be there, with two axes of 1 to `most`.
  const std::vector<std::int64_t>& matrix(const std::string& name, std::int64_t most_rows,
                                          std::int64_t most_cols) const {
    const TensorEntry* const entry = find(name);
    if (entry == nullptr)
      throw damaged(reader_.path(), "tensor '" + name + "' is missing, which nanoGPT's models have");
    const auto& shape = entry->shape;
    if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > most_rows || shape[1] > most_cols) {
      throw damaged(reader_.path(),
                    "tensor '" + name + "' has the shape " + shape_text(shape) + ", which no model has");
    }
    return shape;
  }

  const SafetensorsReader& reader() const { return reader_; }
  const std::map<std::string, const TensorEntry*>& all() const { return by_name_; }

 private:
  SafetensorsReader reader_;
  std::map<std::string, const TensorEntry*> by_name_;
};

/// "model_args" of the metadata, if it is there: the text of a JSON object.
inline std::optional<Json> model_args(const std::filesystem::path& path) {
  InputFile file(path);
  std::uint64_t length = 0;
  file.read(std::as_writable_bytes(std::span(&length, 1)));
  if (length > static_cast<std::uint64_t>(std::min<std::int64_t>(file.left(), std::int64_t{16} << 20))) {
    throw damaged(path, "it has changed while it was read");
  }
  std::string text(static_cast<std::size_t>(length), '\0');
  file.read(std::as_writable_bytes(std::span(text.data(), text.size())));
  const Json header = parse_json(text, path);
  const auto metadata = header.find("__metadata__");
  if (metadata == header.end() || !metadata->contains("model_args")) return std::nullopt;
  return parse_json(metadata->at("model_args").get<std::string>(), path);
}

inline std::string layer_name(int layer) { return "transformer.h." + std::to_string(layer) + "."; }

/// The architecture that the shapes tell, but for the heads.
inline Config config_of(const StateDict& state) {
  const auto& path = state.reader().path();
  Config c;
  const auto& wte = state.matrix("transformer.wte.weight", 10'000'000, 1'000'000);
  const auto& wpe = state.matrix("transformer.wpe.weight", 10'000'000, 1'000'000);
  c.vocab = static_cast<int>(wte[0]);
  c.embd = static_cast<int>(wte[1]);
  c.ctx = static_cast<int>(wpe[0]);
  while (c.layers < 10'000 && state.has(layer_name(c.layers) + "ln_1.weight")) ++c.layers;
  const std::string first = layer_name(0);
  const auto& joined = state.matrix(first + "attn.c_attn.weight", 3'000'000, 3'000'000);
  if (joined[0] == c.embd && joined[1] == 3 * std::int64_t{c.embd}) {
    throw Error(path.string() +
                " has its matrices turned as in Hugging Face's GPT-2, not as in nanoGPT: put it into a directory as "
                "model.safetensors beside its config.json, and give the directory");
  }
  c.ffn = static_cast<int>(state.matrix(first + "mlp.c_fc.weight", 10'000'000, 1'000'000)[0]);
  const auto bias = [&](const char* name, BiasSet set) {
    if (state.has(first + name)) c.bias = c.bias | set;
  };
  bias("attn.c_attn.bias", attn_in);
  bias("attn.c_proj.bias", attn_out);
  bias("mlp.c_fc.bias", BiasSet::ffn);
  bias("mlp.c_proj.bias", BiasSet::ffn);
  // The head is the table of tokens again, or left out, unless somebody has untied it.
  const TensorEntry* const lm_head = state.find("lm_head.weight");
  const bool same =
      lm_head == nullptr || state.reader().same(*lm_head, state.reader(), *state.find("transformer.wte.weight"));
  c.head = same ? tied : untied;
  return c;
}

/// Without the biases of norms, which a model trained with bias=False lacks: they stay zero here.
inline std::vector<MappedTensor> tensors(const Config& c, const StateDict& state) {
  const ParamTable table(c);
  std::vector<MappedTensor> all;
  const auto add = [&](const std::string& name, Param id, int l = 0) {
    const ParamRow& row = table[id];
    std::vector<std::int64_t> shape{row.rows};
    if (row.cols != 0) shape.push_back(row.cols);
    all.push_back({name, shape, {matrix_of(row, l)}});
  };
  const auto norm = [&](const std::string& name, Param weight, Param bias, int l = 0) {
    add(name + ".weight", weight, l);
    if (state.has(name + ".bias")) add(name + ".bias", bias, l);
  };
  const auto linear = [&](const std::string& name, Param weight, Param bias, int l) {
    add(name + ".weight", weight, l);
    if (table.has(bias)) add(name + ".bias", bias, l);
  };
  add("transformer.wte.weight", Param::token_embedding);
  add("transformer.wpe.weight", Param::position_embedding);
  for (int l = 0; l < c.layers; ++l) {
    const std::string h = layer_name(l);
    norm(h + "ln_1", Param::norm1_weight, Param::norm1_bias, l);
    linear(h + "attn.c_attn", Param::qkv_weight, Param::qkv_bias, l);
    linear(h + "attn.c_proj", Param::attn_out_weight, Param::attn_out_bias, l);
    norm(h + "ln_2", Param::norm2_weight, Param::norm2_bias, l);
    linear(h + "mlp.c_fc", Param::ffn_in_weight, Param::ffn_in_bias, l);
    linear(h + "mlp.c_proj", Param::ffn_out_weight, Param::ffn_out_bias, l);
  }
  norm("transformer.ln_f", Param::final_norm_weight, Param::final_norm_bias);
  if (c.head == untied) add("lm_head.weight", Param::head_weight);
  return all;
}

/// The causal mask, which models without flash attention keep beside their weights.
inline bool is_mask(const std::string& name) {
  return name.starts_with("transformer.h.") && name.ends_with(".attn.bias");
}

/// Checks heads, and what the metadata says of the sizes, against the shapes.
inline void complete(Config& c, const NanogptOptions& options, const std::filesystem::path& path) {
  c.activation = options.activation;
  c.query_heads = options.heads;
  if (const auto args = model_args(path)) {
    const struct {
      const char* name;
      int size;
    } sizes[] = {{"n_layer", c.layers}, {"n_embd", c.embd}, {"block_size", c.ctx}, {"vocab_size", c.vocab}};
    for (const auto& [name, size] : sizes) {
      if (!args->contains(name) || member<int>(*args, name, path) == size) continue;
      throw damaged(path, "its model_args say " + std::string(name) + " = " +
                              std::to_string(member<int>(*args, name, path)) + ", but its tensors " +
                              std::to_string(size));
    }
    const int heads = args->contains("n_head") ? member<int>(*args, "n_head", path) : 0;
    if (heads != 0 && options.heads != 0 && heads != options.heads) {
      throw Error(path.string() + " was trained with " + std::to_string(heads) + " heads, not " +
                  std::to_string(options.heads) + ": leave the number out");
    }
    if (heads != 0) c.query_heads = heads;
  }
  if (c.query_heads == 0) {
    throw Error(path.string() + " does not say how many heads the model has: give the n_head that it was trained with");
  }
  if (c.query_heads < 0 || c.query_heads > c.embd || c.embd % c.query_heads != 0) {
    throw Error(path.string() + " has a model of width " + std::to_string(c.embd) + ", which " +
                std::to_string(c.query_heads) + " heads do not divide: give the n_head that it was trained with");
  }
  c.kv_heads = c.query_heads;
  c.head_dim = c.embd / c.query_heads;
}

}  // namespace nanogpt

/// Does a file hold a state dict of nanoGPT's, by the names of its tensors?
inline bool is_nanogpt(const SafetensorsReader& reader) {
  bool table = false, joined = false;
  for (const TensorEntry& entry : reader.entries()) {
    const std::string name = nanogpt::StateDict::plain(entry.name);
    table |= name == "transformer.wte.weight";
    joined |=
        name == "transformer.h.0.attn.c_attn.weight" && entry.shape.size() == 2 && entry.shape[0] == 3 * entry.shape[1];
  }
  return table && joined;
}

/// Reads float32, bf16 or float16 tensors with nanoGPT's names. Every shape is checked before memory is taken. Throws
/// DamagedFile, or Error where something has to be given that the file does not say.
inline LoadedModel read_nanogpt(const std::filesystem::path& path, const NanogptOptions& options = {}) {
  const nanogpt::StateDict state(path);
  Config config = nanogpt::config_of(state);
  nanogpt::complete(config, options, path);

  std::map<std::string, MappedTensor> wanted;
  for (MappedTensor& tensor : nanogpt::tensors(config, state)) {
    const TensorEntry* const entry = state.find(tensor.name);
    if (entry == nullptr) throw damaged(path, "tensor '" + tensor.name + "' is missing");
    if (entry->shape != tensor.shape) {
      throw damaged(path, "tensor '" + tensor.name + "' has the shape " + shape_text(entry->shape) +
                              ", where the other tensors need " + shape_text(tensor.shape));
    }
    wanted.emplace(tensor.name, std::move(tensor));
  }
  for (const auto& [name, entry] : state.all()) {
    if (wanted.contains(name) || nanogpt::is_mask(name) || (config.head == tied && name == "lm_head.weight")) continue;
    throw damaged(path, "it has a tensor '" + printable(name) + "' that nanoGPT's models have not");
  }

  if (too_narrow(ParamTable(config))) throw damaged(path, "its matrices are narrower than any model's");
  LoadedModel model{path.stem().string(), config, {}, std::nullopt};
  model.weights.resize(static_cast<std::size_t>(ParamTable(config).arena_size()));
  state.reader().read_each([&](const TensorEntry& entry) {
    const auto found = wanted.find(nanogpt::StateDict::plain(entry.name));
    return found == wanted.end() ? TensorTarget{} : TensorTarget{&found->second, model.weights};
  });
  return model;
}

}  // namespace tinygpt
