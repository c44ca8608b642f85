// The files of a model directory, one by one: written beside its name and renamed, read against manifest.json, which
// holds every file's length and checksum. Directories that others wrote have no manifest.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/safetensors.hpp>

namespace tinygpt {

/// Does a directory get a manifest? Ours do; one for other programs, in which people change files, does not.
enum class Manifest { no, yes };

namespace model_files {

/// The checksum of a manifest: of what it says without it, as json_text() writes that.
inline std::string manifest_crc(Json manifest) {
  manifest.erase("crc32c");
  const std::string text = json_text(manifest);
  return crc_text(crc32c(std::as_bytes(std::span(text.data(), text.size()))));
}

/// The files that a manifest lists. One without a checksum was written before manifests had it, by format 1. Throws
/// Error where it is whole and of a newer format, else DamagedFile.
inline Json files_of_manifest(const std::filesystem::path& path) {
  const Json json = read_json(path);
  const bool checked = json.contains("crc32c");
  if (checked && member<std::string>(json, "crc32c", path) != manifest_crc(json)) {
    throw damaged(path, "its checksum is not the one of what it says");
  }
  if (member<int>(json, "format_version", path) != 1) {
    if (checked) throw Error(path.string() + " was written by a newer tinygpt: use that version to read it");
    throw damaged(path, "its format_version is not 1, and it has no checksum, which a newer tinygpt would write");
  }
  return member<Json>(json, "files", path);
}

}  // namespace model_files

/// Writes the files of a model directory, and remembers their checksums for a manifest.
class ModelWriter {
 public:
  explicit ModelWriter(std::filesystem::path target, Manifest manifest = Manifest::yes)
      : directory_(std::move(target)), manifest_(manifest) {}

  void text(const std::string& name, const std::string& text) {
    write(name, [&](OutputFile& file) { file.write(text); });
  }
  void tensors(const std::string& name, std::vector<ArenaTensor<const float>> tensors,
               StoredType type = StoredType::float32, const ForeignMemory* memory = nullptr) {
    write(name, [&](OutputFile& file) { write_safetensors(file, std::move(tensors), type, memory); });
  }
  void commit() {
    Json manifest{{"format", "tinygpt-manifest"}, {"format_version", 1}, {"files", files_}};
    manifest["crc32c"] = model_files::manifest_crc(manifest);
    if (manifest_ == Manifest::yes) text("manifest.json", json_text(manifest));
    directory_.commit();
  }

 private:
  template <class Write> void write(const std::string& name, Write&& write) {
    OutputFile file(directory_.path(name), manifest_ == Manifest::yes ? Checksum::take : Checksum::skip);
    write(file);
    file.finish();
    if (manifest_ == Manifest::yes) files_[name] = {{"bytes", file.size()}, {"crc32c", crc_text(file.crc())}};
  }

  AtomicDirectory directory_;
  Manifest manifest_;
  Json files_ = Json::object();
};

/// Reads the files of a model directory, each checked against the manifest, where there is one.
class ModelReader {
 public:
  explicit ModelReader(std::filesystem::path directory) : directory_(std::move(directory)) {
    std::error_code error;
    const auto status = std::filesystem::status(directory_, error);
    if (status.type() == std::filesystem::file_type::none) throw file_error("read", directory_, error.value());
    if (!std::filesystem::exists(status)) {
      throw Error("there is no model directory " + directory_.string() + ": check the path, or train a model first");
    }
    if (!std::filesystem::is_directory(status)) {
      throw Error(directory_.string() + " is a file: give the directory that holds the model");
    }
    const auto manifest = directory_ / "manifest.json";
    const auto holds = [&](const char* name) {
      const auto file = std::filesystem::status(directory_ / name, error);
      if (file.type() == std::filesystem::file_type::none) throw file_error("read", directory_ / name, error.value());
      return std::filesystem::exists(file);
    };
    if (!holds("manifest.json")) {
      // Somebody else's has config.json and its tensors; a checkpoint of ours is not whole without its manifest.
      if (holds("config.json") && !holds("trainer_state.json") && !holds("optimizer.safetensors")) return;
      throw DamagedFile(directory_.string() +
                        " is not a whole model: manifest.json is missing: give the directory of a "
                        "trained model, or copy it again");
    }
    files_ = model_files::files_of_manifest(manifest);
    // A manifest without a checksum may have lost a name.
    if (holds("trainer_state.json") && holds("tokenizer.json") && !has("tokenizer.json")) {
      throw damaged(manifest, "it does not list tokenizer.json, which is there");
    }
  }

  const std::filesystem::path& directory() const { return directory_; }
  std::filesystem::path path(const std::string& name) const { return directory_ / name; }
  bool has_manifest() const { return files_.has_value(); }
  bool has(const std::string& name) const {
    std::error_code error;
    return files_ ? files_->contains(name) : std::filesystem::exists(path(name), error);
  }

  std::string text(const char* name, std::int64_t limit = std::int64_t{16} << 20) const {
    expect(name);
    std::string text = read_small_file(path(name), limit);
    check(name, crc32c(std::as_bytes(std::span(text.data(), text.size()))));
    return text;
  }
  Json json(const char* name, std::int64_t limit = std::int64_t{16} << 20) const {
    return parse_json(text(name, limit), path(name));
  }

  void tensors(const char* name, const std::vector<ArenaTensor<float>>& tensors,
               const ForeignMemory* memory = nullptr) const {
    expect(name);
    check(name, SafetensorsReader(path(name)).read(tensors, memory));
  }

  /// The file is there and as long as it was.
  void expect(const std::string& name) const {
    const auto manifest = directory_ / "manifest.json";
    if (files_ && !files_->contains(name)) throw damaged(manifest, "it does not list " + printable(name));
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path(name), error);
    if (error) throw damaged(path(name), "it is missing or no file");
    if (!files_) return;
    const auto expected = member<std::int64_t>(member<Json>(*files_, name.c_str(), manifest), "bytes", manifest);
    if (static_cast<std::int64_t>(bytes) != expected) {
      throw damaged(path(name), "it has " + std::to_string(bytes) + " bytes instead of " + std::to_string(expected));
    }
  }
  /// A file that was read has the checksum that it had.
  void check(const std::string& name, std::uint32_t crc) const {
    if (!files_) return;
    const auto manifest = directory_ / "manifest.json";
    if (member<std::string>(member<Json>(*files_, name.c_str(), manifest), "crc32c", manifest) != crc_text(crc)) {
      throw damaged(path(name), "its checksum is " + crc_text(crc) + ", not the one in manifest.json");
    }
  }

 private:
  std::filesystem::path directory_;
  std::optional<Json> files_;
};

}  // namespace tinygpt
