// A model on disk, in the layout of Hugging Face: config.json, model.safetensors, tokenizer.json, tokenizer_config.json
// and generation_config.json. Architectures that transformers does not know keep our own names and stacked layers.
#pragma once

#include <optional>
#include <string>

#include <tinygpt/io/representable.hpp>
#include <tinygpt/io/model_view.hpp>
#include <tinygpt/io/tensor_files.hpp>
#include <tinygpt/io/tokenizer_files.hpp>

namespace tinygpt {

namespace model_directory {

/// What transformers' AutoTokenizer asks for beside tokenizer.json.
inline nlohmann::ordered_json tokenizer_config_json(const Tokenizer& tokenizer, int ctx, const Companions& said) {
  nlohmann::ordered_json json{{"tokenizer_class", "PreTrainedTokenizerFast"},
                              {"model_max_length", ctx},
                              {"clean_up_tokenization_spaces", false}};
  const auto ends = end_tokens(said, tokenizer);
  if (ends.empty()) return json;
  json["bos_token"] = std::string(tokenizer.decode(begin_token(said, tokenizer).value_or(ends.front())));
  json["eos_token"] = std::string(tokenizer.decode(ends.front()));
  return json;
}

inline nlohmann::ordered_json generation_config_json(const nlohmann::ordered_json& ids) {
  nlohmann::ordered_json json{{"_from_model_config", true}};
  json.update(ids);
  return json;
}

/// The ids that begin and end a text, in transformers' words; empty where nobody says any.
inline nlohmann::ordered_json token_ids(const Tokenizer* tokenizer, const Companions& said) {
  nlohmann::ordered_json ids = nlohmann::ordered_json::object();
  std::vector<std::int64_t> ends = said.ends;
  if (ends.empty() && tokenizer) {
    for (const std::int32_t id : end_tokens(said, *tokenizer)) ends.push_back(id);
  }
  if (ends.empty()) return ids;
  ids["bos_token_id"] = said.begin.value_or(ends.front());
  if (ends.size() == 1) {
    ids["eos_token_id"] = ends.front();
  } else {
    ids["eos_token_id"] = ends;
  }
  return ids;
}

/// The tokenizer of a model, if it has one, of those that a model of these ids can have.
inline std::optional<Tokenizer> tokenizer_of(const ModelReader& reader, const ModelConfig& said) {
  const auto path = reader.path("tokenizer.json");
  std::optional<Tokenizer> tokenizer;
  if (reader.has("tokenizer.json")) {
    tokenizer = tokenizer_from_json(reader.json("tokenizer.json", max_tokenizer_file), path);
  } else if (!reader.has_manifest()) {
    for (const auto& [vocab, merges] : tokenizer_files::pairs) {
      if (!tokenizer && reader.has(vocab) && reader.has(merges)) tokenizer = load_tokenizer(reader.path(vocab));
    }
  }
  if (!tokenizer) return std::nullopt;
  if (tokenizer->size() > said.config.vocab) {
    throw damaged(path, "it has " + std::to_string(tokenizer->size()) + " tokens, and the model has room for " +
                            std::to_string(said.config.vocab));
  }
  if (said.tokenizer_hash && *said.tokenizer_hash != hash_text(tokenizer->hash())) {
    throw damaged(path, "it is another tokenizer than the one that the model was trained with (" +
                            hash_text(tokenizer->hash()) + " instead of " + printable(*said.tokenizer_hash) + ")");
  }
  return tokenizer;
}

/// The files beside the tensors.
inline void write_texts(ModelWriter& writer, const ModelView& model, StoredType type) {
  const Companions none;
  const Companions& said = model.companions ? *model.companions : none;
  const nlohmann::ordered_json ids = token_ids(model.tokenizer, said);
  nlohmann::ordered_json config = model_config_json(model.config, model.name, type, model.tokenizer);
  if (layout_of(model.config) == TensorLayout::transformers) {
    config.update(ids);
    // What we do not compute with is as it was: other programs may.
    for (const auto& [key, value] : said.config.items()) {
      if (!config.contains(key) || hf_config::is_not_computed(key)) config[key] = value;
    }
  }
  std::map<std::string, std::string> files{{"config.json", config.dump(2) + "\n"},
                                           {"generation_config.json", generation_config_json(ids).dump(2) + "\n"}};
  if (model.tokenizer) {
    files["tokenizer_config.json"] = tokenizer_config_json(*model.tokenizer, model.config.ctx, said).dump(2) + "\n";
    if (!said.files.contains("tokenizer.json")) files["tokenizer.json"] = tokenizer_json_text(*model.tokenizer);
  }
  for (const auto& [name, content] : said.files) files[name] = content;
  for (const auto& [name, content] : files) writer.text(name, content);
}

}  // namespace model_directory

/// Writes a model directory: whole, or not at all. What is at `directory` gives way to it. Throws Error, before
/// anything is written, where a weight is not finite or beyond `type`.
inline void write_model_directory(const std::filesystem::path& directory, const ModelView& model,
                                  StoredType type = StoredType::float32, Manifest manifest = Manifest::no) {
  expect_representable(model.config, model.weights, type);
  ModelWriter writer(directory, manifest);
  model_directory::write_texts(writer, model, type);
  writer.tensors("model.safetensors", in_arena(model_tensors(model.config, layout_of(model.config)), model.weights),
                 type);
  writer.commit();
}

/// Reads anybody's model directory. With `expected` it must be of that architecture: the sentence says what differs.
inline LoadedModel read_model_directory(const std::filesystem::path& directory,
                                        const std::optional<Config>& expected = std::nullopt) {
  const ModelReader reader(directory);
  const ModelConfig said = expected ? expect_architecture(reader, *expected) : read_model_config(reader);
  auto tokenizer = model_directory::tokenizer_of(reader, said);
  TensorFiles files(reader);
  files.expect(said.config, said.layout);
  const ParamTable table(said.config);
  if (too_narrow(table)) throw damaged(directory, "its matrices are narrower than any model's");
  LoadedModel model{said.name, said.config, std::vector<float>(static_cast<std::size_t>(table.arena_size())),
                    std::move(tokenizer), read_companions(reader)};
  files.load(model.weights);
  return model;
}

}  // namespace tinygpt
