// A model on disk: a directory with config.json, tokenizer.json and model.safetensors; a checkpoint adds
// optimizer.safetensors and trainer_state.json. manifest.json holds every file's length and checksum.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/safetensors.hpp>
#include <tinygpt/io/tokenizer_json.hpp>
#include <tinygpt/io/trainer_state.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

/// The tensors of a parameter table in an arena, one part per layer, named prefix + the table's name.
template <class E>
std::vector<NamedTensor<E>> named_tensors(const ParamTable& table, std::span<E> arena, const std::string& prefix = "") {
  std::vector<NamedTensor<E>> tensors;
  for (const ParamRow& row : table) {
    NamedTensor<E> tensor{prefix + row.name, {}, {}};
    if (row.per_layer) tensor.shape.push_back(row.layers);
    tensor.shape.push_back(row.rows);
    if (row.cols != 0) tensor.shape.push_back(row.cols);
    for (std::int64_t l = 0; l < row.layers; ++l) {
      tensor.parts.push_back(arena.subspan(static_cast<std::size_t>(row.offset + l * row.stride),
                                           static_cast<std::size_t>(row.layer_size())));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

/// Writes the files of a model directory and remembers their checksums.
class ModelWriter {
 public:
  explicit ModelWriter(std::filesystem::path target) : directory_(std::move(target)) {}

  void text(const std::string& name, const std::string& text) {
    write(name, [&](OutputFile& file) { file.write(text); });
  }
  void tensors(const std::string& name, const std::vector<NamedTensor<const float>>& tensors,
               const ForeignMemory* memory = nullptr) {
    write(name, [&](OutputFile& file) { write_safetensors(file, tensors, memory); });
  }
  void commit() {
    const Json manifest{{"format", "tinygpt-manifest"}, {"format_version", 1}, {"files", files_}};
    text("manifest.json", json_text(manifest));
    directory_.commit();
  }

 private:
  template <class Write> void write(const std::string& name, Write&& write) {
    OutputFile file(directory_.path(name));
    write(file);
    file.finish();
    files_[name] = {{"bytes", file.size()}, {"crc32c", crc_text(file.crc())}};
  }

  AtomicDirectory directory_;
  Json files_ = Json::object();
};

/// Reads the files of a model directory, each checked against the manifest.
class ModelReader {
 public:
  explicit ModelReader(std::filesystem::path directory) : directory_(std::move(directory)) {
    const auto status = std::filesystem::status(directory_);
    if (!std::filesystem::exists(status)) {
      throw Error("there is no model directory " + directory_.string() + ": check the path, or train a model first");
    }
    if (!std::filesystem::is_directory(status)) {
      throw Error(directory_.string() + " is a file: give the directory that holds the model");
    }
    const auto manifest = directory_ / "manifest.json";
    if (!std::filesystem::exists(manifest)) {
      throw DamagedFile(directory_.string() +
                        " is not a whole model: manifest.json is missing: give the directory of a "
                        "trained model, or copy it again");
    }
    const Json json = read_json(manifest);
    if (member<int>(json, "format_version", manifest) != 1) {
      throw Error(manifest.string() + " was written by a newer tinygpt: use that version to read it");
    }
    files_ = member<Json>(json, "files", manifest);
  }

  std::filesystem::path path(const char* name) const { return directory_ / name; }

  Json json(const char* name, std::int64_t limit = std::int64_t{16} << 20) const {
    expect(name);
    const std::string text = read_small_file(path(name), limit);
    check(name, crc32c(std::as_bytes(std::span(text.data(), text.size()))));
    return parse_json(text, path(name));
  }

  void tensors(const char* name, const std::vector<NamedTensor<float>>& tensors,
               const ForeignMemory* memory = nullptr) const {
    expect(name);
    SafetensorsReader reader(path(name));
    check(name, reader.read(tensors, memory));
  }

 private:
  /// The file is there and as long as it was.
  void expect(const char* name) const {
    const auto manifest = directory_ / "manifest.json";
    if (!files_.contains(name)) throw damaged(manifest, "it does not list " + std::string(name));
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path(name), error);
    if (error) throw damaged(path(name), "it is missing or no file");
    const auto expected = member<std::int64_t>(member<Json>(files_, name, manifest), "bytes", manifest);
    if (static_cast<std::int64_t>(bytes) != expected) {
      throw damaged(path(name), "it has " + std::to_string(bytes) + " bytes instead of " + std::to_string(expected));
    }
  }
  void check(const char* name, std::uint32_t crc) const {
    const auto manifest = directory_ / "manifest.json";
    if (member<std::string>(member<Json>(files_, name, manifest), "crc32c", manifest) != crc_text(crc)) {
      throw damaged(path(name), "its checksum is " + crc_text(crc) + ", not the one in manifest.json");
    }
  }

  std::filesystem::path directory_;
  Json files_;
};

/// A model's architecture, the name of the preset that it was trained as, and which tokenizer its ids are of.
inline Json model_config_json(const Config& config, std::string_view name, const Tokenizer& tokenizer) {
  return {{"format", "tinygpt-model"},
          {"format_version", 1},
          {"name", name},
          {"type", type_text(config)},
          {"architecture", config_to_json(config)},
          {"tokenizer_hash", hash_text(tokenizer.hash())}};
}

/// Throws unless the directory holds a model of this architecture; the sentence says which fields differ.
inline void expect_architecture(const ModelReader& reader, const Config& config) {
  const auto path = reader.path("config.json");
  const Json json = reader.json("config.json");
  if (member<int>(json, "format_version", path) != 1) {
    throw Error(path.string() + " was written by a newer tinygpt: use that version to read it");
  }
  const Config theirs = config_from_json(member<Json>(json, "architecture", path), path);
  if (theirs == config) return;
  throw Error(path.parent_path().string() + " holds another architecture (" + differences(theirs, config) +
              "): use tinygpt-" + printable(member<std::string>(json, "name", path)) +
              ", which trained it, or give another directory");
}

/// Everything that one checkpoint consists of. The spans are arenas laid out by the architecture's parameter table.
struct CheckpointView {
  std::span<const float> weights, first_moments, second_moments;
  const ForeignMemory* memory = nullptr;  ///< where they lie; null for the host's
};

/// Writes a checkpoint atomically; throws before touching anything where the disk clearly lacks the room.
inline void save_checkpoint(const std::filesystem::path& directory, std::string_view name, const Config& config,
                            const Tokenizer& tokenizer, const CheckpointView& arenas, const TrainerState& state) {
  const ParamTable table(config);
  const std::int64_t bytes =
      3 * table.param_count() * static_cast<std::int64_t>(sizeof(float)) + (std::int64_t{1} << 16);
  const std::int64_t free = free_bytes(directory.has_parent_path() ? directory.parent_path() : ".");
  if (free >= 0 && free < bytes + bytes / 10) {
    throw Error("cannot write " + directory.string() + ": the disk is full: " + size_text(bytes + bytes / 10) +
                " are needed and " + size_text(free) + " are free: free some space or write to another disk");
  }
  ModelWriter writer(directory);
  writer.text("config.json", json_text(model_config_json(config, name, tokenizer)));
  writer.text("tokenizer.json", tokenizer_json_text(tokenizer));
  writer.tensors("model.safetensors", named_tensors(table, arenas.weights), arenas.memory);
  auto moments = named_tensors(table, arenas.first_moments, "first_moment.");
  for (auto& tensor : named_tensors(table, arenas.second_moments, "second_moment."))
    moments.push_back(std::move(tensor));
  writer.tensors("optimizer.safetensors", moments, arenas.memory);
  writer.text("trainer_state.json", json_text(trainer_state_to_json(state)));
  writer.commit();
}

/// The tokenizer of a model: it must be the one that the model was trained with, and its ids must be ids of the model.
inline Tokenizer load_tokenizer_of(const ModelReader& reader, const Config& config) {
  const auto path = reader.path("tokenizer.json");
  auto tokenizer = tokenizer_from_json(reader.json("tokenizer.json", max_tokenizer_file), path);
  if (tokenizer.size() > config.vocab) {
    throw damaged(path, "it has " + std::to_string(tokenizer.size()) + " tokens, and the model has room for " +
                            std::to_string(config.vocab));
  }
  const Json model = reader.json("config.json");
  if (!model.contains("tokenizer_hash")) return tokenizer;  // written before models knew their tokenizer
  const auto expected = member<std::string>(model, "tokenizer_hash", reader.path("config.json"));
  if (expected != hash_text(tokenizer.hash())) {
    throw damaged(path, "it is another tokenizer than the one that the model was trained with (" +
                            hash_text(tokenizer.hash()) + " instead of " + printable(expected) + ")");
  }
  return tokenizer;
}

/// Fills `weights` from a model directory of this architecture.
inline Tokenizer load_model(const std::filesystem::path& directory, const Config& config, std::span<float> weights,
                            const ForeignMemory* memory = nullptr) {
  const ModelReader reader(directory);
  expect_architecture(reader, config);
  auto tokenizer = load_tokenizer_of(reader, config);
  reader.tensors("model.safetensors", named_tensors(ParamTable(config), weights), memory);
  return tokenizer;
}

/// The state of a checkpoint of this architecture, without its tensors.
inline TrainerState load_trainer_state(const std::filesystem::path& directory, const Config& config) {
  const ModelReader reader(directory);
  expect_architecture(reader, config);
  return trainer_state_from_json(reader.json("trainer_state.json"), reader.path("trainer_state.json"));
}

/// Fills an optimizer's moments from a checkpoint.
inline void load_moments(const std::filesystem::path& directory, const Config& config, std::span<float> first_moments,
                         std::span<float> second_moments, const ForeignMemory* memory = nullptr) {
  const ParamTable table(config);
  auto tensors = named_tensors(table, first_moments, "first_moment.");
  for (auto& tensor : named_tensors(table, second_moments, "second_moment.")) tensors.push_back(std::move(tensor));
  ModelReader(directory).tensors("optimizer.safetensors", tensors, memory);
}

}  // namespace tinygpt
