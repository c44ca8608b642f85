// config.json of a model directory: the words of Hugging Face transformers where it knows the architecture, and one
// member of our own, "tinygpt", for what those words cannot say.
#pragma once

#include <optional>
#include <string>

#include <tinygpt/io/hf_config.hpp>
#include <tinygpt/io/model_files.hpp>

namespace tinygpt {

/// How a model's file names and shapes the tensors: as transformers does, or as ParamTable does, with the layers
/// stacked on the first axis.
enum class TensorLayout { transformers, stacked };

/// What config.json says.
struct ModelConfig {
  Config config;
  std::string name;
  TensorLayout layout = TensorLayout::transformers;
  bool ours = false;                          ///< tinygpt wrote it
  bool biases_known = true;                   ///< false: Bias<all> or any part of it, which only the tensors can tell
  std::optional<std::string> tokenizer_hash;  ///< of the tokenizer that the model was trained with
};

/// transformers' names where it knows the architecture.
inline TensorLayout layout_of(const Config& config) {
  return hf_family(config).family ? TensorLayout::transformers : TensorLayout::stacked;
}

inline std::vector<MappedTensor> model_tensors(const Config& config, TensorLayout layout) {
  return layout == TensorLayout::transformers ? hf_tensors(config) : stacked_tensors(ParamTable(config));
}

inline nlohmann::ordered_json model_config_json(const Config& config, std::string_view name, StoredType type,
                                                const Tokenizer* tokenizer) {
  nlohmann::ordered_json json{
      {"architectures", {"tinygpt"}}, {"model_type", "tinygpt"}, {"dtype", hf_config::dtype_name(type)}};
  if (layout_of(config) == TensorLayout::transformers) {
    json = hf_config_json(config, type, tokenizer ? tokenizer->end_of_text() : std::nullopt);
  }
  json["tinygpt"] = {
      {"format_version", 2}, {"name", name}, {"type", type_text(config)}, {"architecture", config_to_json(config)}};
  if (tokenizer) json["tinygpt"]["tokenizer_hash"] = hash_text(tokenizer->hash());
  return json;
}

namespace model_config {

/// The member "tinygpt"; before there was one (format_version 1), the whole file was what it is now.
inline ModelConfig own(const Json& json, const std::filesystem::path& path) {
  const int version = member<int>(json, "format_version", path);
  if (version != 1 && version != 2) {
    throw Error(path.string() + " was written by a newer tinygpt: use that version to read it");
  }
  ModelConfig said;
  said.config = config_from_json(member<Json>(json, "architecture", path), path);
  check_sizes(said.config, [&](const char* field, const std::string& what, const std::string&) {
    throw damaged(path, "'" + std::string(field) + "' " + what);
  });
  for (const SizeField& field : size_fields) {
    if (said.config.*field.member > field.most) {
      throw damaged(path, "'" + std::string(field.name) + "' is more than " + std::to_string(field.most));
    }
  }
  said.ours = true;
  said.name = member<std::string>(json, "name", path);
  if (json.contains("tokenizer_hash")) said.tokenizer_hash = member<std::string>(json, "tokenizer_hash", path);
  return said;
}

}  // namespace model_config

/// Anybody's config.json. What transformers' words say counts: our own word is taken for the biases and the name, where
/// it does not contradict them, as somebody may have changed the model there.
inline ModelConfig model_config_from_json(const Json& json, const std::filesystem::path& path) {
  if (json.contains("format") && json["format"] == "tinygpt-model") {
    ModelConfig said = model_config::own(json, path);
    said.layout = TensorLayout::stacked;
    return said;
  }
  if (json.contains("model_type") && json["model_type"] == "tinygpt") {
    ModelConfig said = model_config::own(member<Json>(json, "tinygpt", path), path);
    said.layout = TensorLayout::stacked;
    return said;
  }
  ModelConfig said;
  said.config = config_from_hf(json, path);
  said.biases_known = said.config.positions != learned;
  if (json.contains("tinygpt")) {
    ModelConfig own = model_config::own(member<Json>(json, "tinygpt", path), path);
    Config with_biases = own.config;
    with_biases.bias = said.config.bias;
    if (with_biases == said.config && (!said.biases_known || own.config == said.config)) {
      own.layout = TensorLayout::transformers;
      return own;
    }
    said.name = own.name;
  }
  if (said.name.empty()) {
    const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    said.name = (directory.has_filename() ? directory : directory.parent_path()).filename().string();
  }
  return said;
}

inline ModelConfig read_model_config(const ModelReader& reader) {
  return model_config_from_json(reader.json("config.json"), reader.path("config.json"));
}

/// A name that a program can have: letters, digits and _.
inline std::string program_name(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!plain) c = '_';
  }
  return name.empty() ? "theirs" : name;
}

/// The line for CMake that builds the program of a type.
inline std::string preset_line(const std::string& name, const Config& config) {
  return "tinygpt_add_preset(" + program_name(name) + " TYPE \"" + type_text(config) + "\")";
}

/// As a model of this architecture: throws unless the directory holds one; the sentence says which fields differ.
inline ModelConfig expect_architecture(const ModelReader& reader, const Config& config) {
  ModelConfig said = read_model_config(reader);
  Config theirs = said.config;
  if (!said.biases_known) theirs.bias = config.bias;
  if (theirs == config && !(contains(config.bias, BiasSet::head) && !said.biases_known)) {
    said.config = config;
    return said;
  }
  const std::string directory = reader.directory().string();
  throw Error(directory + " holds another architecture (" + differences(said.config, config) +
              "): tinygpt generate --model and tinygpt train --model take the program of its type, or build it: " +
              (said.ours ? preset_line(said.name, said.config) : "tinygpt config-from " + directory + " says how"));
}

}  // namespace tinygpt
