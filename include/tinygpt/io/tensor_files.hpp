// The tensors of a model directory: model.safetensors, or the shards that model.safetensors.index.json lists.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/io/model_config.hpp>

namespace tinygpt {

namespace tensor_files {

/// Which tensor lies in which file. File names are plain, so that no index leads out of its directory.
inline std::map<std::string, std::string> parse_index(const Json& json, const std::filesystem::path& path) {
  std::map<std::string, std::string> files;
  if (json.contains("metadata") && !json["metadata"].is_object() && !json["metadata"].is_null())
    throw damaged(path, "'metadata' must be an object");
  const Json weight_map = member<Json>(json, "weight_map", path);
  for (const auto& [tensor, file] : weight_map.items()) {
    const std::string where = "the file of tensor '" + printable(tensor) + "'";
    if (!file.is_string()) throw damaged(path, where + " must be a text");
    const auto name = file.get<std::string>();
    constexpr std::string_view end = ".safetensors";
    if (name.size() <= end.size() || name.size() > 255 || !name.ends_with(end) || name.front() == '.' ||
        name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      throw damaged(path, where + " must be the plain name of a .safetensors file, not '" + printable(name) + "'");
    }
    files[tensor] = name;
  }
  if (files.empty()) throw damaged(path, "'weight_map' is empty");
  return files;
}

/// Does a tensor of transformers' hold no weights: GPT-2's causal masks and Llama's frequencies, which older versions
/// kept?
inline bool is_buffer(std::string_view name) {
  const auto in_layer = [&](std::string_view before, std::string_view after) {
    if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
      return false;
    const auto layer = name.substr(before.size(), name.size() - before.size() - after.size());
    return layer.find_first_not_of("0123456789") == std::string_view::npos;
  };
  for (const std::string_view prefix : {"transformer.", "model.", ""}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    break;
  }
  return in_layer("h.", ".attn.bias") || in_layer("h.", ".attn.masked_bias") ||
         in_layer("layers.", ".self_attn.rotary_emb.inv_freq");
}

}  // namespace tensor_files

/// The mapped files of one directory.
class TensorFiles {
 public:
  explicit TensorFiles(const ModelReader& reader) : directory_(reader) {
    if (reader.has("model.safetensors") || !reader.has(index)) {
      if (!reader.has_manifest() && !reader.has("model.safetensors")) say_what_is_there(reader);
      open("model.safetensors");
      return;
    }
    const auto listed = tensor_files::parse_index(reader.json(index), reader.path(index));
    std::set<std::string> names;
    for (const auto& [tensor, file] : listed) names.insert(file);
    for (const std::string& name : names) reader.expect(name);
    std::size_t found = 0;
    for (const std::string& name : names) {
      open(name);
      for (const TensorEntry& entry : files_.back().entries()) {
        const auto it = listed.find(entry.name);
        if (it == listed.end() || it->second != name) {
          throw damaged(reader.path(name),
                        "it has a tensor '" + printable(entry.name) + "' that " + index + " does not say to be there");
        }
        ++found;
      }
    }
    if (found == listed.size()) return;
    for (const auto& [tensor, file] : listed) {
      if (!find(tensor)) throw damaged(reader.path(file), "tensor '" + printable(tensor) + "' is missing");
    }
  }

  /// Checks, before memory is taken for it, that the files hold this model: all tensors, in their shapes, and no
  /// others.
  void expect(const Config& config, TensorLayout layout) {
    std::size_t count = 0;
    for (const auto& file : files_) count += file.entries().size();
    if (layout == TensorLayout::transformers && static_cast<std::size_t>(config.layers) > count) {
      throw mismatch(path(), "it has " + std::to_string(count) + " tensors, and the model has " +
                                 std::to_string(config.layers) + " layers");
    }
    tensors_ = model_tensors(config, layout);
    by_name_.clear();
    for (const MappedTensor& tensor : tensors_) by_name_[tensor.name] = &tensor;
    if (layout == TensorLayout::transformers) allow_no_prefix();
    std::set<const MappedTensor*> found;
    for (const auto& file : files_) {
      for (const TensorEntry& entry : file.entries()) {
        const auto it = by_name_.find(entry.name);
        if (it == by_name_.end()) {
          if (is_ignored(entry.name, config, layout) || entry.begin == entry.end) continue;
          expect_no_wrapper(file, entry.name);
          throw mismatch(file.path(), "it has a tensor '" + printable(entry.name) + "' that this model has not");
        }
        if (entry.shape != it->second->shape) {
          throw mismatch(file.path(), "tensor '" + printable(entry.name) + "' has the shape " +
                                          shape_text(entry.shape) + ", where this model has " +
                                          shape_text(it->second->shape));
        }
        found.insert(it->second);
      }
    }
    for (const MappedTensor& tensor : tensors_) {
      if (!found.contains(&tensor)) throw mismatch(path(), "tensor '" + tensor.name + "' is missing");
    }
  }

  /// Fills an arena of the model that expect() was asked for.
  void load(std::span<float> weights, const ForeignMemory* memory = nullptr) const {
    const auto target = [&](const TensorEntry& entry) {
      const auto it = by_name_.find(entry.name);
      return it == by_name_.end() ? TensorTarget{} : TensorTarget{it->second, weights};
    };
    const Checksum checksum = directory_.has_manifest() ? Checksum::take : Checksum::skip;
    for (const auto& file : files_) {
      directory_.check(file.path().filename().string(), file.read_each(target, memory, checksum));
    }
  }

 private:
  static constexpr const char* index = "model.safetensors.index.json";

  /// Weights in a format that is not read are not damaged.
  static void say_what_is_there(const ModelReader& reader) {
    for (const char* const name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
                                   "flax_model.msgpack", "consolidated.00.pth", "adapter_model.safetensors"}) {
      if (!reader.has(name)) continue;
      const bool adapter = std::string_view(name).starts_with("adapter");
      throw Error(reader.directory().string() + " has no model.safetensors but " + name +
                  (adapter ? ", which changes another model: merge it into that model, and save it as safetensors"
                           : ", which is not read: convert it, with transformers: "
                             "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OTHER)"));
    }
  }

  /// Names as a wrapper of torch's gives them, which puts its own word before those of the model inside.
  void expect_no_wrapper(const SafetensorsReader& file, std::string_view name) const {
    for (auto dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) {
      if (!by_name_.contains(name.substr(dot + 1))) continue;
      throw Error(
          file.path().string() + " has tensors whose names begin with '" + printable(name.substr(0, dot + 1)) + "' ('" +
          printable(name) +
          "'), as torch names those of a model inside a wrapper: save the model inside, or take that prefix off "
          "the names");
    }
  }

  /// Somebody else's tensors that are not those of config.json need not be damaged: the two may be of different models.
  DamagedFile mismatch(const std::filesystem::path& path, const std::string& what) const {
    if (directory_.has_manifest()) return damaged(path, what);
    return DamagedFile(path.string() + " does not go with config.json: " + what + ": give both of the same model");
  }

  void open(const std::string& name) {
    directory_.expect(name);
    files_.emplace_back(directory_.path(name));
  }
  const std::filesystem::path& path() const { return files_.front().path(); }

  std::optional<std::pair<const SafetensorsReader*, const TensorEntry*>> find(std::string_view name) const {
    for (const auto& file : files_) {
      for (const TensorEntry& entry : file.entries()) {
        if (entry.name == name) return std::pair(&file, &entry);
      }
    }
    return std::nullopt;
  }

  /// Files that were saved without the head name tensors without the prefix "transformer." or "model.".
  void allow_no_prefix() {
    for (const std::string_view prefix : {"transformer.", "model."}) {
      for (const auto& file : files_) {
        for (const TensorEntry& entry : file.entries()) {
          if (entry.name.starts_with(prefix)) return;
        }
      }
      for (const MappedTensor& tensor : tensors_) {
        const std::string_view name = tensor.name;
        if (name.starts_with(prefix)) by_name_[name.substr(prefix.size())] = &tensor;
      }
    }
  }

  /// A tensor that is there and that the model has no place for, but need not have.
  bool is_ignored(const std::string& name, const Config& config, TensorLayout layout) const {
    if (layout != TensorLayout::transformers) return false;
    if (tensor_files::is_buffer(name)) return true;
    if (name != "lm_head.weight" || config.head != tied) return false;
    const auto head = find(name);
    for (const char* const embedding :
         {"transformer.wte.weight", "wte.weight", "model.embed_tokens.weight", "embed_tokens.weight"}) {
      const auto found = find(embedding);
      if (found && head->first->same(*head->second, *found->first, *found->second)) return true;
    }
    throw Error(path().string() + " has a head of its own ('lm_head.weight'), and config.json says that it is the " +
                "embedding ('tie_word_embeddings'): use a type with Head<untied>, and write false there");
  }

  const ModelReader& directory_;
  std::vector<SafetensorsReader> files_;
  std::vector<MappedTensor> tensors_;
  std::map<std::string_view, const MappedTensor*> by_name_;
};

}  // namespace tinygpt
