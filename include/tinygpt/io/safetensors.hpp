// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes without gaps.
// Source: huggingface/safetensors, README and safetensors/src/tensor.rs (the checks that its reader makes).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/io/json.hpp>
#include <tinygpt/io/tensor_map.hpp>

namespace tinygpt {

/// A float32 tensor to write (E = const float) or to fill (E = float). In memory it may lie in several parts, such as
/// one per layer; in the file it is one.
template <class E> struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<std::span<E>> parts;

  std::int64_t bytes() const {
    std::int64_t n = 0;
    for (const auto& part : parts) n += static_cast<std::int64_t>(part.size_bytes());
    return n;
  }
};

namespace safetensors {

/// Calls f(buffer, piece of the part) with a buffer on the host as long as the piece, for one piece after the other.
template <class E, class F> void in_pieces(std::span<E> part, F&& f) {
  constexpr std::size_t most = std::size_t{1} << 20;
  std::vector<float> buffer(std::min(most, part.size()));
  for (std::size_t first = 0; first < part.size(); first += most) {
    const std::size_t n = std::min(most, part.size() - first);
    f(std::span(buffer).first(n), part.subspan(first, n));
  }
}

}  // namespace safetensors

/// Writes a whole file; finish() is left to the caller. `memory`: where the parts lie; null for the host's.
inline void write_safetensors(OutputFile& file, std::vector<NamedTensor<const float>> tensors,
                              const ForeignMemory* memory = nullptr,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) {
  // The reference writer's order: alignment of the type (here one type only), then name.
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  Json header{{"__metadata__", metadata}};
  std::int64_t end = 0;
  for (const auto& tensor : tensors) {
    const std::int64_t begin = end;
    end += tensor.bytes();
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& tensor : tensors) {
    for (const auto& part : tensor.parts) {
      if (memory == nullptr) {
        file.write(std::as_bytes(part));
        continue;
      }
      safetensors::in_pieces(part, [&](std::span<float> piece, std::span<const float> there) {
        memory->read(piece, there.data());
        file.write(std::as_bytes(piece));
      });
    }
  }
}

/// One tensor as the header describes it.
struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;  ///< bytes of the data buffer
};

inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

namespace safetensors {

/// A size from a file: a whole number from 0 to `limit`.
inline std::int64_t size_from(const Json& value, std::int64_t limit, const std::filesystem::path& path,
                              const std::string& where) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(limit)) {
    throw damaged(path, where + " is not a size that the file can hold");
  }
  return static_cast<std::int64_t>(value.get<std::uint64_t>());
}

inline TensorEntry parse_entry(const std::string& name, const Json& json, std::int64_t data_bytes,
                               const std::filesystem::path& path) {
  const std::string where = "tensor '" + printable(name) + "'";
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") || !json.contains("data_offsets") ||
      json.size() != 3) {
    throw damaged(path, where + " must have dtype, shape and data_offsets, and nothing else");
  }
  const Json &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
  if (dtype != "F32") {
    throw damaged(path, where + " has the type " + printable(dtype.is_string() ? dtype.get<std::string>() : "?") +
                            ", where only F32 can be read");
  }
  if (!shape.is_array() || shape.size() > 8) throw damaged(path, where + " has no proper shape");
  if (!offsets.is_array() || offsets.size() != 2) throw damaged(path, where + " has no two data_offsets");

  TensorEntry entry{name, {}, 0, 0};
  std::int64_t bytes = sizeof(float);
  for (const Json& extent : shape) {
    entry.shape.push_back(size_from(extent, data_bytes, path, "an extent of " + where));
    if (__builtin_mul_overflow(bytes, entry.shape.back(), &bytes)) {
      throw damaged(path, where + " is larger than any file");
    }
  }
  entry.begin = size_from(offsets[0], data_bytes, path, "an offset of " + where);
  entry.end = size_from(offsets[1], data_bytes, path, "an offset of " + where);
  if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
    throw damaged(path, where + " has offsets that do not fit its shape " + shape_text(entry.shape));
  }
  return entry;
}

/// The tensors of a header in the order of their bytes, which must fill the data buffer without holes or overlap.
inline std::vector<TensorEntry> parse_header(std::string_view text, std::int64_t data_bytes,
                                             const std::filesystem::path& path) {
  if (text.empty() || text.front() != '{') throw damaged(path, "its header does not begin with {");
  const Json header = parse_json(text, path);
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, value, data_bytes, path));
      continue;
    }
    if (!value.is_object() || !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); })) {
      throw damaged(path, "its __metadata__ must be texts by name");
    }
  }
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::int64_t end = 0;
  for (const TensorEntry& entry : entries) {
    if (entry.begin != end) {
      throw damaged(path, "tensor '" + printable(entry.name) +
                              (entry.begin < end ? "' overlaps the one before it" : "' follows a hole in the data"));
    }
    end = entry.end;
  }
  if (end != data_bytes) {
    throw damaged(path,
                  "its tensors have " + std::to_string(end) + " bytes, but it holds " + std::to_string(data_bytes));
  }
  return entries;
}

}  // namespace safetensors

/// A safetensors file whose header has been read and found to be consistent with the size of the file.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path) : file_(path) {
    constexpr std::int64_t header_limit = std::int64_t{16} << 20;
    std::uint64_t length = 0;
    if (file_.size() < static_cast<std::int64_t>(sizeof length)) {
      throw damaged(path, "it has only " + std::to_string(file_.size()) + " bytes and is half-written");
    }
    file_.read(std::as_writable_bytes(std::span(&length, 1)));
    if (length > static_cast<std::uint64_t>(std::min(header_limit, file_.left()))) {
      throw damaged(path, "its header would have " + std::to_string(length) + " bytes, more than the file may hold");
    }
    std::string header(static_cast<std::size_t>(length), '\0');
    file_.read(std::as_writable_bytes(std::span(header.data(), header.size())));
    entries_ = safetensors::parse_header(header, file_.left(), path);
  }

  const std::vector<TensorEntry>& entries() const { return entries_; }

  /// Fills the tensors, which must be exactly those of the file, with the same names and shapes. Call it once.
  /// `memory`: where their parts lie; null for the host's. Returns the checksum of the whole file.
  std::uint32_t read(const std::vector<NamedTensor<float>>& tensors, const ForeignMemory* memory = nullptr) {
    std::map<std::string_view, const NamedTensor<float>*> by_name;
    for (const auto& tensor : tensors) by_name[tensor.name] = &tensor;
    for (const TensorEntry& entry : entries_) {
      const auto found = by_name.find(entry.name);
      if (found == by_name.end()) {
        throw damaged(file_.path(), "it has a tensor '" + printable(entry.name) + "' that this model has not");
      }
      if (entry.shape != found->second->shape) {
        throw damaged(file_.path(), "tensor '" + entry.name + "' has the shape " + shape_text(entry.shape) +
                                        ", where this model has " + shape_text(found->second->shape));
      }
    }
    if (entries_.size() != tensors.size()) {
      for (const auto& tensor : tensors) {
        const auto is_it = [&](const TensorEntry& entry) { return entry.name == tensor.name; };
        if (std::none_of(entries_.begin(), entries_.end(), is_it)) {
          throw damaged(file_.path(), "tensor '" + tensor.name + "' is missing");
        }
      }
    }
    for (const TensorEntry& entry : entries_) {
      for (const auto& part : by_name[entry.name]->parts) {
        if (memory == nullptr) {
          file_.read(std::as_writable_bytes(part));
          continue;
        }
        safetensors::in_pieces(part, [&](std::span<float> piece, std::span<float> there) {
          file_.read(std::as_writable_bytes(piece));
          memory->write(there.data(), piece);
        });
      }
    }
    return file_.crc();
  }

 private:
  InputFile file_;
  std::vector<TensorEntry> entries_;
};

}  // namespace tinygpt
