// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes without gaps.
// Source: huggingface/safetensors, README and safetensors/src/tensor.rs (the checks that its reader makes).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/data/mapped_file.hpp>
#include <tinygpt/in_parallel.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/io/tensor_map.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt {

/// A tensor of a file with the arena to which its parts refer: to write (E = const float) or to fill (E = float).
template <class E> struct ArenaTensor {
  MappedTensor tensor;
  std::span<E> arena;
};

/// The tensors of one arena.
template <class E> std::vector<ArenaTensor<E>> in_arena(std::vector<MappedTensor> tensors, std::span<E> arena) {
  std::vector<ArenaTensor<E>> all;
  all.reserve(tensors.size());
  for (MappedTensor& tensor : tensors) all.push_back({std::move(tensor), arena});
  return all;
}

namespace safetensors {

/// As long as a header may be: room for 100,000 tensors.
inline constexpr std::int64_t header_limit = std::int64_t{16} << 20;

struct Type {
  const char* name;
  int bits;
};
/// All that the format knows. Numbers are read from three of them; of the others only the size is asked.
inline constexpr Type types[] = {{"F32", 32},    {"BF16", 16},   {"F16", 16},        {"BOOL", 8},        {"U8", 8},
                                 {"I8", 8},      {"I16", 16},    {"U16", 16},        {"I32", 32},        {"U32", 32},
                                 {"I64", 64},    {"U64", 64},    {"F64", 64},        {"C64", 64},        {"F8_E5M2", 8},
                                 {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},
                                 {"F6_E2M3", 6}, {"F6_E3M2", 6}};

inline const char* name_of(StoredType type) {
  return type == StoredType::float32 ? "F32" : type == StoredType::bfloat16 ? "BF16" : "F16";
}

inline std::optional<StoredType> stored_type(std::string_view name) {
  for (const StoredType type : {StoredType::float32, StoredType::bfloat16, StoredType::float16}) {
    if (name == name_of(type)) return type;
  }
  return std::nullopt;
}

}  // namespace safetensors

/// Writes a whole file; finish() is left to the caller. `memory`: where the arenas lie; null for the host's. The bytes
/// are those that the reference writer gives the same tensors.
inline void write_safetensors(OutputFile& file, std::vector<ArenaTensor<const float>> tensors,
                              StoredType type = StoredType::float32, const ForeignMemory* memory = nullptr,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) {
  // The reference writer's order: alignment of the type (here one type only), then name.
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.tensor.name < b.tensor.name; });
  nlohmann::ordered_json header{{"__metadata__", metadata}};
  std::int64_t end = 0;
  for (const auto& [tensor, arena] : tensors) {
    const std::int64_t begin = end;
    end += tensor.size() * bytes_of(type);
    header[tensor.name] = {
        {"dtype", safetensors::name_of(type)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& [tensor, arena] : tensors) {
    write_tensor(tensor, arena, memory, type, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  }
}

/// One tensor as the header describes it.
struct TensorEntry {
  std::string name, type;  ///< type: "F32"
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
  const auto type = std::find_if(std::begin(types), std::end(types), [&](const Type& t) { return dtype == t.name; });
  if (type == std::end(types)) {
    throw damaged(path, where + " has the type " + printable(dtype.is_string() ? dtype.get<std::string>() : "?") +
                            ", which the format does not know");
  }
  if (!shape.is_array() || shape.size() > 8) throw damaged(path, where + " has no proper shape");
  if (!offsets.is_array() || offsets.size() != 2) throw damaged(path, where + " has no two data_offsets");

  TensorEntry entry{name, type->name, {}, 0, 0};
  const std::int64_t most = data_bytes < (std::int64_t{1} << 60) ? 8 * data_bytes : data_bytes;
  std::int64_t bits = type->bits;
  for (const Json& extent : shape) {
    entry.shape.push_back(size_from(extent, most, path, "an extent of " + where));
    if (__builtin_mul_overflow(bits, entry.shape.back(), &bits)) {
      throw damaged(path, where + " is larger than any file");
    }
  }
  entry.begin = size_from(offsets[0], data_bytes, path, "an offset of " + where);
  entry.end = size_from(offsets[1], data_bytes, path, "an offset of " + where);
  if (entry.end < entry.begin || bits % 8 != 0 || entry.end - entry.begin != bits / 8) {
    throw damaged(path, where + " has offsets that do not fit its shape " + shape_text(entry.shape));
  }
  return entry;
}

/// The tensors of a header in the order of their bytes, which must fill the data buffer without holes or overlap.
inline std::vector<TensorEntry> parse_header(std::string_view text, std::int64_t data_bytes,
                                             const std::filesystem::path& path) {
  if (text.empty() || text.front() != '{') throw damaged(path, "at byte 8, its header does not begin with {");
  const Json header = parse_json(text, path);
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, value, data_bytes, path));
      continue;
    }
    if (value.is_null()) continue;  // as the reference reader takes it
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
    throw damaged(path, "its tensors have " + std::to_string(end) + " bytes, but it holds " +
                            std::to_string(data_bytes) + " from byte " + std::to_string(8 + text.size()) + " on");
  }
  return entries;
}

}  // namespace safetensors

/// Where a tensor of a file goes.
struct TensorTarget {
  const MappedTensor* tensor = nullptr;
  std::span<float> arena;
};

/// A mapped safetensors file whose header has been read and found to be consistent with the size of the file.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path) : file_(path) {
    std::uint64_t length = 0;
    if (file_.size() < static_cast<std::int64_t>(sizeof length)) {
      throw damaged(path, "it has only " + std::to_string(file_.size()) + " bytes and is half-written");
    }
    file_.read([&](std::span<const std::byte> bytes) { std::memcpy(&length, bytes.data(), sizeof length); });
    const std::int64_t left = file_.size() - static_cast<std::int64_t>(sizeof length);
    if (length > static_cast<std::uint64_t>(std::min(safetensors::header_limit, left))) {
      throw damaged(
          path, "at byte 0, its header would have " + std::to_string(length) + " bytes, more than the file may hold");
    }
    std::string header(static_cast<std::size_t>(length), '\0');
    file_.read([&](std::span<const std::byte> bytes) {
      std::memcpy(header.data(), bytes.data() + sizeof length, header.size());
    });
    data_ = sizeof length + header.size();
    crc_.update(std::as_bytes(std::span(&length, 1)));
    crc_.update(std::as_bytes(std::span(header)));
    entries_ = safetensors::parse_header(header, left - static_cast<std::int64_t>(length), path);
  }

  const std::filesystem::path& path() const { return file_.path(); }

  /// In the order of their bytes.
  const std::vector<TensorEntry>& entries() const { return entries_; }

  /// Calls target(entry) for each tensor in the order of the file, copies its numbers to the TensorTarget that this
  /// gives, once, and passes over those of which it gives none. Tensors of the host's memory are copied in parallel.
  /// `memory`: where arenas lie; null for the host's. Returns the checksum of the whole file.
  template <class Target>
  std::uint32_t read_each(Target&& target, const ForeignMemory* memory = nullptr,
                          Checksum checksum = Checksum::take) const {
    std::vector<TensorTarget> targets;
    for (const TensorEntry& entry : entries_) {
      targets.push_back(target(entry));
      if (targets.back().tensor != nullptr) expect_fit(entry, *targets.back().tensor);
    }
    // Each tensor by itself, with its own checksum.
    std::vector<Crc32c> checksums(entries_.size());
    for_each_tensor(memory == nullptr ? threads() : 1, [&](std::size_t i) {
      read_one(entries_[i], targets[i], memory, checksum == Checksum::take ? &checksums[i] : nullptr);
    });
    Crc32c crc = crc_;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      crc.append(checksums[i], static_cast<std::uint64_t>(entries_[i].end - entries_[i].begin));
    }
    return crc.value();
  }

  /// Have two tensors the same type and the same bytes?
  bool same(const TensorEntry& a, const SafetensorsReader& other, const TensorEntry& b) const {
    if (a.type != b.type || a.shape != b.shape || a.end - a.begin != b.end - b.begin) return false;
    bool equal = false;
    file_.read([&](std::span<const std::byte>) {
      const auto size = static_cast<std::size_t>(a.end - a.begin);
      equal = size == 0 || std::memcmp(address_of(a), other.address_of(b), size) == 0;
    });
    return equal;
  }

  /// Fills exactly these tensors, of which the file must have no other. Returns the checksum of the whole file.
  std::uint32_t read(const std::vector<ArenaTensor<float>>& tensors, const ForeignMemory* memory = nullptr) const {
    std::map<std::string_view, const ArenaTensor<float>*> by_name;
    for (const auto& each : tensors) by_name[each.tensor.name] = &each;
    for (const TensorEntry& entry : entries_) {
      if (!by_name.contains(entry.name)) {
        throw damaged(path(), "it has a tensor '" + printable(entry.name) + "' that this model has not");
      }
    }
    if (entries_.size() != by_name.size()) {
      for (const TensorEntry& entry : entries_) by_name.erase(entry.name);
      throw damaged(path(), "tensor '" + std::string(by_name.begin()->first) + "' is missing");
    }
    const auto target = [&](const TensorEntry& entry) {
      const auto& [tensor, arena] = *by_name.at(entry.name);
      return TensorTarget{&tensor, arena};
    };
    return read_each(target, memory);
  }

 private:
  void expect_fit(const TensorEntry& entry, const MappedTensor& tensor) const {
    const std::string name = "tensor '" + printable(entry.name) + "'";
    if (!safetensors::stored_type(entry.type)) {
      throw Error(path().string() + " cannot be used: " + name + " has the type " + entry.type +
                  ", where F32, BF16 and F16 can be read: convert it, in torch with model.float(), and save it again");
    }
    if (entry.shape != tensor.shape) {
      throw damaged(path(), name + " has the shape " + shape_text(entry.shape) + ", where this model has " +
                                shape_text(tensor.shape));
    }
  }

  /// Copies one tensor, if it has a place, and adds its bytes to the checksum, if there is one.
  void read_one(const TensorEntry& entry, const TensorTarget& to, const ForeignMemory* memory, Crc32c* crc) const {
    const auto size = static_cast<std::size_t>(entry.end - entry.begin);
    if (to.tensor == nullptr) {
      if (crc == nullptr) return;
      return file_.read([&](std::span<const std::byte> bytes) { crc->update(bytes.subspan(begin_of(entry), size)); });
    }
    // What has just been copied is in the processor's cache when the checksum looks at it.
    const auto read_piece = [&](std::span<const std::byte> piece, const auto& copy) {
      file_.read([&](std::span<const std::byte>) {
        copy();
        if (crc != nullptr) crc->update(piece);
      });
    };
    const auto type = *safetensors::stored_type(entry.type);
    if (!copy_tensor(*to.tensor, to.arena, memory, type, address_of(entry), read_piece)) {
      throw Error(path().string() + " has a bias '" + printable(entry.name) +
                  "' that is not zero, and this model has none: use a type with it, such as Bias<all>");
    }
  }

  /// Of a small file one; more than eight would wait for the memory and not for each other.
  std::size_t threads() const {
    constexpr std::int64_t worth_a_thread = std::int64_t{16} << 20;
    const auto most = std::int64_t{std::min(hardware_threads(), 8)};
    return static_cast<std::size_t>(std::max<std::int64_t>(std::min(most, file_.size() / worth_a_thread), 1));
  }

  /// Calls f(i) for every tensor, the largest first where there are several threads; throws what the first in the file
  /// throws.
  template <class F> void for_each_tensor(std::size_t threads, F&& f) const {
    std::vector<std::size_t> order(entries_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto size = [&](std::size_t i) { return entries_[i].end - entries_[i].begin; };
    if (threads > 1) std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return size(a) > size(b); });
    in_parallel(order, threads, AfterFault::go_on, f);
  }

  std::size_t begin_of(const TensorEntry& entry) const { return data_ + static_cast<std::size_t>(entry.begin); }
  /// To be read within file_.read() only.
  const std::byte* address_of(const TensorEntry& entry) const { return file_.address() + begin_of(entry); }

  MappedFile file_;
  std::vector<TensorEntry> entries_;
  std::size_t data_ = 0;  ///< where the data buffer begins
  Crc32c crc_;            ///< of what is before it
};

}  // namespace tinygpt
