// Any GGUF file, of which nothing is believed: every number is checked against the bytes that are there before memory
// is taken for it. Long because every field of the format has its own way to be wrong, and its own sentence for it.
// Source: ggml, docs/gguf.md.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tinygpt/data/mapped_file.hpp>
#include <tinygpt/exchange/gguf_types.hpp>
#include <tinygpt/io/json.hpp>

namespace tinygpt {

namespace gguf {

/// A value as the file has it. Faults name where it stands.
struct Value {
  std::string key;
  Kind kind = Kind::u8;
  Kind element = Kind::u8;          ///< of an array
  std::int64_t offset = 0;          ///< of the value in the file
  std::uint64_t size = 0;           ///< elements of an array
  std::uint64_t bits = 0;           ///< a number's
  std::string bytes;                ///< a text's; an array's, as in the file, or its texts in a row
  std::vector<std::uint64_t> ends;  ///< of the texts of an array in `bytes`

  std::string_view text(std::size_t i) const {
    const std::uint64_t first = i == 0 ? 0 : ends[i - 1];
    return std::string_view(bytes).substr(first, ends[i] - first);
  }
};

/// A tensor as the file describes it; `shape` as elsewhere here, rows first.
struct Tensor {
  std::string name;
  std::array<std::int64_t, most_dimensions> shape{};
  std::uint32_t dimensions = 0;
  TensorType type = TensorType::f32;
  std::int64_t offset = 0, bytes = 0;  ///< in the file

  std::vector<std::int64_t> shape_vector() const { return {shape.begin(), shape.begin() + dimensions}; }
};

/// Reads a file from front to back through a small window.
class Scanner {
 public:
  explicit Scanner(const MappedFile& file) : file_(file) {}

  std::int64_t position() const { return position_; }
  std::int64_t left() const { return file_.size() - position_; }

  [[noreturn]] void fault(std::int64_t offset, const std::string& what) const {
    throw damaged(file_.path(), "at byte " + std::to_string(offset) + ", " + what);
  }

  template <class N> N number(const char* what) {
    static_assert(std::is_arithmetic_v<N> && std::endian::native == std::endian::little);
    N n;
    copy(std::as_writable_bytes(std::span(&n, 1)), what);
    return n;
  }
  /// `size` bytes, checked against what is left before there is memory for them.
  void append(std::string& to, std::uint64_t size, const char* what) {
    expect(size, what);
    const std::size_t before = to.size();
    to.resize(before + static_cast<std::size_t>(size));
    copy(std::as_writable_bytes(std::span(to).subspan(before)), what);
  }
  std::string text(std::uint64_t most, const char* what) {
    const std::int64_t at = position_;
    const auto size = number<std::uint64_t>(what);
    if (size > most) {
      fault(at,
            std::string(what) + " would have " + std::to_string(size) + " bytes, more than " + std::to_string(most));
    }
    std::string s;
    append(s, size, what);
    return s;
  }
  void expect(std::uint64_t size, const char* what) const {
    if (size <= static_cast<std::uint64_t>(left())) return;
    fault(position_, std::string(what) + " needs " + std::to_string(size) + " bytes, but only " +
                         std::to_string(left()) + " are left");
  }

 private:
  void copy(std::span<std::byte> to, const char* what) {
    expect(to.size(), what);
    while (!to.empty()) {
      if (position_ < first_ || position_ >= first_ + static_cast<std::int64_t>(window_.size())) fill();
      const auto from = static_cast<std::size_t>(position_ - first_);
      const std::size_t n = std::min(to.size(), window_.size() - from);
      std::memcpy(to.data(), window_.data() + from, n);
      to = to.subspan(n);
      position_ += static_cast<std::int64_t>(n);
    }
  }
  void fill() {
    first_ = position_;
    window_.resize(static_cast<std::size_t>(std::min<std::int64_t>(left(), 1 << 16)));
    const auto from = static_cast<std::size_t>(first_);
    file_.read([&](std::span<const std::byte> all) { std::memcpy(window_.data(), all.data() + from, window_.size()); });
  }

  const MappedFile& file_;
  std::int64_t position_ = 0, first_ = 0;
  std::vector<std::byte> window_;
};

/// Far above what files have; so an index of keys is small.
inline constexpr std::uint64_t most_keys = 4096;

inline Kind read_kind(Scanner& in, const std::string& key) {
  const std::int64_t at = in.position();
  const auto number = in.number<std::uint32_t>("the type of a value");
  if (number >= kinds) in.fault(at, "the key '" + key + "' has the type " + std::to_string(number) + ", which is none");
  return static_cast<Kind>(number);
}

inline std::uint64_t read_number(Scanner& in, Kind kind) {
  const char* const what = "a value";
  switch (kind) {
    case Kind::u8:
      return in.number<std::uint8_t>(what);
    case Kind::i8:
      return static_cast<std::uint64_t>(std::int64_t{in.number<std::int8_t>(what)});
    case Kind::u16:
      return in.number<std::uint16_t>(what);
    case Kind::i16:
      return static_cast<std::uint64_t>(std::int64_t{in.number<std::int16_t>(what)});
    case Kind::i32:
      return static_cast<std::uint64_t>(std::int64_t{in.number<std::int32_t>(what)});
    case Kind::u32:
    case Kind::f32:
      return in.number<std::uint32_t>(what);
    case Kind::boolean: {
      const std::int64_t at = in.position();
      const auto value = in.number<std::uint8_t>(what);
      if (value > 1) in.fault(at, "a value that is true or false is " + std::to_string(value));
      return value;
    }
    default:
      return in.number<std::uint64_t>(what);
  }
}

inline void read_array(Scanner& in, Value& value) {
  const std::int64_t at = in.position();
  value.element = read_kind(in, value.key);
  if (value.element == Kind::array) in.fault(at, "the key '" + value.key + "' has an array of arrays");
  const std::int64_t size_at = in.position();
  value.size = in.number<std::uint64_t>("the size of an array");
  const bool texts = value.element == Kind::text;
  const auto each = static_cast<std::uint64_t>(texts ? 8 : bytes_of(value.element));
  if (value.size > static_cast<std::uint64_t>(in.left()) / each) {
    in.fault(size_at, "the key '" + value.key + "' would have " + std::to_string(value.size) +
                          " elements, more than the file can hold");
  }
  if (!texts) return in.append(value.bytes, value.size * each, "an array");
  value.ends.reserve(static_cast<std::size_t>(value.size));
  for (std::uint64_t i = 0; i < value.size; ++i) {
    const auto size = in.number<std::uint64_t>("the length of a text");
    in.append(value.bytes, size, "a text");
    value.ends.push_back(value.bytes.size());
  }
}

inline Value read_value(Scanner& in) {
  Value value;
  const std::int64_t at = in.position();
  value.key = in.text(256, "a key");
  const auto plain = [](char c) { return c > ' ' && c < 0x7F; };
  if (value.key.empty() || !std::all_of(value.key.begin(), value.key.end(), plain)) {
    in.fault(at, "a key is empty or holds characters that no key may have");
  }
  value.kind = read_kind(in, value.key);
  value.offset = in.position();
  if (value.kind == Kind::array)
    read_array(in, value);
  else if (value.kind == Kind::text)
    value.bytes = in.text(static_cast<std::uint64_t>(in.left()), "a text");
  else
    value.bits = read_number(in, value.kind);
  return value;
}

/// Without its place, which is not known before the last.
inline Tensor read_tensor_entry(Scanner& in) {
  Tensor tensor;
  std::int64_t at = in.position();
  tensor.name = in.text(longest_name, "the name of a tensor");
  const auto plain = [](char c) { return c > ' ' && c < 0x7F; };
  if (tensor.name.empty() || !std::all_of(tensor.name.begin(), tensor.name.end(), plain)) {
    in.fault(at, "the name of a tensor is empty or holds characters that no name may have");
  }
  const std::string name = "the tensor '" + tensor.name + "'";
  at = in.position();
  tensor.dimensions = in.number<std::uint32_t>("the number of dimensions");
  if (tensor.dimensions < 1 || tensor.dimensions > most_dimensions) {
    in.fault(at, name + " has " + std::to_string(tensor.dimensions) + " dimensions, not 1 to 4");
  }
  std::int64_t numbers = 1;
  for (std::size_t i = tensor.dimensions; i > 0; --i) {  // the contiguous one first
    at = in.position();
    const auto extent = in.number<std::uint64_t>("a dimension");
    if (extent == 0 || extent > INT64_MAX ||
        __builtin_mul_overflow(numbers, static_cast<std::int64_t>(extent), &numbers)) {
      in.fault(at, name + " has an extent of " + std::to_string(extent) + ", which no tensor can have");
    }
    tensor.shape[i - 1] = static_cast<std::int64_t>(extent);
  }
  at = in.position();
  const auto number = in.number<std::uint32_t>("the type of a tensor");
  const TensorTypeRow* const type = find_tensor_type(number);
  if (type == nullptr) {
    in.fault(at, name + " has the type " + std::to_string(number) +
                     ", where F32, F16, BF16, Q8_0, Q5_0, Q4_0 and Q4_K can be read");
  }
  tensor.type = type->type;
  if (tensor.shape[tensor.dimensions - 1] % type->block != 0) {
    in.fault(at, name + " has rows of " + std::to_string(tensor.shape[tensor.dimensions - 1]) +
                     " numbers, which are no whole blocks of " + type->name);
  }
  if (__builtin_mul_overflow(numbers / type->block, type->bytes, &tensor.bytes)) {
    in.fault(at, name + " is larger than any file");
  }
  at = in.position();
  const auto offset = in.number<std::uint64_t>("the place of a tensor");
  if (offset > static_cast<std::uint64_t>(INT64_MAX)) in.fault(at, name + " is at a place that no file has");
  tensor.offset = static_cast<std::int64_t>(offset);
  return tensor;
}

/// Indices by name, for finding; null where there is no such name. `names` are all different.
template <class Item, class Name>
std::vector<std::uint32_t> sorted_by(const std::vector<Item>& items, Name Item::*name) {
  std::vector<std::uint32_t> order(items.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return items[a].*name < items[b].*name; });
  return order;
}
template <class Item, class Name>
const Item* find_by(const std::vector<Item>& items, const std::vector<std::uint32_t>& order, Name Item::*name,
                    std::string_view wanted) {
  const auto found = std::lower_bound(order.begin(), order.end(), wanted,
                                      [&](std::uint32_t i, std::string_view w) { return items[i].*name < w; });
  return found == order.end() || items[*found].*name != wanted ? nullptr : &items[*found];
}

}  // namespace gguf

/// A file whose keys and list of tensors have been read, and are consistent with each other and with its size. It takes
/// not more memory than four times the file and a megabyte.
class GgufReader {
 public:
  explicit GgufReader(std::filesystem::path path) : file_(std::move(path)) {
    gguf::Scanner in(file_);
    const auto tensors = read_counts(in);
    read_keys(in);
    read_alignment(in);
    read_tensors(in, tensors);
  }

  const std::filesystem::path& path() const { return file_.path(); }
  std::int64_t size() const { return file_.size(); }

  const gguf::Value* find(std::string_view key) const {
    return gguf::find_by(values_, by_key_, &gguf::Value::key, key);
  }
  const std::vector<gguf::Tensor>& tensors() const { return tensors_; }
  const gguf::Tensor* tensor(std::string_view name) const {
    return gguf::find_by(tensors_, by_name_, &gguf::Tensor::name, name);
  }

  /// Copies from the file; what is asked for must be a part of a tensor.
  void read(std::int64_t offset, std::span<std::byte> to) const {
    file_.read([&](std::span<const std::byte> all) {
      std::memcpy(to.data(), all.data() + static_cast<std::size_t>(offset), to.size());
    });
  }

  // Values that must be there, of the right type. Every fault says where.

  std::string text(std::string_view key) const {
    const gguf::Value& value = needed(key);
    if (value.kind != gguf::Kind::text) fault(value, "must be a text");
    return value.bytes;
  }
  /// A whole number from 0 to 2^31 - 1.
  int whole(std::string_view key) const {
    const gguf::Value& value = needed(key);
    using gguf::Kind;
    const bool is_whole = gguf::bytes_of(value.kind) != 0 && value.kind != Kind::f32 && value.kind != Kind::f64 &&
                          value.kind != Kind::boolean;
    if (!is_whole) fault(value, "must be a whole number");
    if (value.bits > INT32_MAX) fault(value, "must be a number from 0 to 2147483647");
    return static_cast<int>(value.bits);
  }
  double real(std::string_view key) const {
    const gguf::Value& value = needed(key);
    if (value.kind == gguf::Kind::f64) return std::bit_cast<double>(value.bits);
    if (value.kind != gguf::Kind::f32) fault(value, "must be a number with a fraction");
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(value.bits)));
  }
  /// An array of texts, or of numbers of this kind.
  const gguf::Value& array(std::string_view key, gguf::Kind element) const {
    const gguf::Value& value = needed(key);
    if (value.kind != gguf::Kind::array || value.element != element) {
      fault(value, element == gguf::Kind::text ? "must be an array of texts" : "must be an array of 32-bit integers");
    }
    return value;
  }
  [[noreturn]] void fault(const gguf::Value& value, const std::string& what) const {
    throw damaged(path(), "at byte " + std::to_string(value.offset) + ", '" + value.key + "' " + what);
  }

 private:
  const gguf::Value& needed(std::string_view key) const {
    const gguf::Value* const value = find(key);
    if (value == nullptr) throw damaged(path(), "the key '" + printable(key) + "' is missing");
    return *value;
  }

  std::uint64_t read_counts(gguf::Scanner& in) {
    if (in.number<std::uint32_t>("the mark of a GGUF file") != 0x46554747u) in.fault(0, "it does not begin with GGUF");
    const auto version = in.number<std::uint32_t>("the version");
    if (version < 2 || version > gguf::version) {
      in.fault(4, "it has version " + std::to_string(version) + ", where 2 and 3 can be read");
    }
    const auto tensors = in.number<std::uint64_t>("the number of tensors");
    if (tensors > static_cast<std::uint64_t>(in.left()) / 33) {
      in.fault(8, "it would have " + std::to_string(tensors) + " tensors, more than the file can hold");
    }
    const auto keys = in.number<std::uint64_t>("the number of keys");
    if (keys > gguf::most_keys || keys > static_cast<std::uint64_t>(in.left()) / 14) {
      in.fault(16, "it would have " + std::to_string(keys) + " keys, more than it may have");
    }
    values_.reserve(static_cast<std::size_t>(keys));
    key_count_ = keys;
    return tensors;
  }

  void read_keys(gguf::Scanner& in) {
    for (std::uint64_t i = 0; i < key_count_; ++i) values_.push_back(gguf::read_value(in));
    by_key_ = gguf::sorted_by(values_, &gguf::Value::key);
    for (std::size_t i = 1; i < by_key_.size(); ++i) {
      const gguf::Value& value = values_[by_key_[i]];
      if (value.key == values_[by_key_[i - 1]].key) fault(value, "is there twice");
    }
  }

  void read_alignment(const gguf::Scanner& in) {
    const gguf::Value* const value = find("general.alignment");
    if (value == nullptr) return;
    if (value->kind != gguf::Kind::u32) fault(*value, "must be a 32-bit number");
    if (value->bits < 8 || value->bits > 4096 || !std::has_single_bit(value->bits)) {
      in.fault(value->offset,
               "the alignment is " + std::to_string(value->bits) + ", not a power of two from 8 to 4096");
    }
    alignment_ = static_cast<std::int64_t>(value->bits);
  }

  void read_tensors(gguf::Scanner& in, std::uint64_t count) {
    // The keys have used up some of the bytes.
    if (count > static_cast<std::uint64_t>(in.left()) / 33) {
      in.fault(8, "it would have " + std::to_string(count) + " tensors, more than the file can hold");
    }
    tensors_.reserve(static_cast<std::size_t>(count));
    std::int64_t end = 0;  // of the tensors so far, from the beginning of the data
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::int64_t at = in.position();
      gguf::Tensor tensor = gguf::read_tensor_entry(in);
      if (tensor.offset != end) {
        in.fault(at, "the tensor '" + tensor.name + "' is at " + std::to_string(tensor.offset) +
                         " of the data, where the one before it ends at " + std::to_string(end));
      }
      if (tensor.bytes > in.left() || __builtin_add_overflow(end, padded(tensor.bytes), &end)) {
        in.fault(at, "the tensor '" + tensor.name + "' would have " + std::to_string(tensor.bytes) +
                         " bytes, more than the file can hold");
      }
      tensors_.push_back(std::move(tensor));
    }
    by_name_ = gguf::sorted_by(tensors_, &gguf::Tensor::name);
    for (std::size_t i = 1; i < by_name_.size(); ++i) {
      const gguf::Tensor& tensor = tensors_[by_name_[i]];
      if (tensor.name == tensors_[by_name_[i - 1]].name) {
        throw damaged(path(), "at byte " + std::to_string(in.position()) + ", the list of tensors ends with '" +
                                  tensor.name + "' in it twice");
      }
    }
    if (!tensors_.empty()) place_tensors(in, end);
  }

  /// Makes offsets those of the file, which must end with the last tensor, or with its padding.
  void place_tensors(const gguf::Scanner& in, std::int64_t end) {
    const std::int64_t begin = padded(in.position());
    const std::int64_t last = tensors_.back().offset + tensors_.back().bytes;
    if (begin > size() || last > size() - begin) {
      in.fault(in.position(), "the tensors would have " + std::to_string(last) + " bytes, but " +
                                  std::to_string(std::max<std::int64_t>(size() - begin, 0)) + " are left");
    }
    if (size() - begin > end) {
      in.fault(begin + end, "there are " + std::to_string(size() - begin - end) + " bytes after the last tensor");
    }
    for (gguf::Tensor& tensor : tensors_) tensor.offset += begin;
  }

  /// Of sizes that are not above the file's.
  std::int64_t padded(std::int64_t bytes) const { return (bytes + alignment_ - 1) / alignment_ * alignment_; }

  MappedFile file_;
  std::int64_t alignment_ = gguf::alignment;
  std::uint64_t key_count_ = 0;
  std::vector<gguf::Value> values_;
  std::vector<gguf::Tensor> tensors_;
  std::vector<std::uint32_t> by_key_, by_name_;
};

}  // namespace tinygpt
