// The wire format of protocol buffers, as far as writing needs it.
// Source: Protocol Buffers documentation, "Encoding" (protobuf.dev/programming-guides/encoding).
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace tinygpt::protobuf {

/// The bytes of a number of 7 bits each, the lowest first; the top bit says that another follows.
inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(static_cast<unsigned char>(value | 0x80)));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

/// The fields of a message, in the order in which they are given. A field's number and meaning are the schema's.
class Message {
 public:
  /// int32, int64, bool and enum; a negative number has ten bytes, as the schema's signed types have.
  Message& integer(int field, std::int64_t value) {
    tag(field, 0);
    bytes_ += varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real(int field, float value) {
    tag(field, 5);
    auto bits = std::bit_cast<std::uint32_t>(value);
    for (int i = 0; i < 4; ++i, bits >>= 8) bytes_.push_back(static_cast<char>(static_cast<unsigned char>(bits)));
    return *this;
  }
  /// string and bytes.
  Message& text(int field, std::string_view value) {
    announce(field, value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }

  /// What stands before a field of `size` bytes that follow from elsewhere.
  Message& announce(int field, std::uint64_t size) {
    tag(field, 2);
    bytes_ += varint(size);
    return *this;
  }

  const std::string& bytes() const { return bytes_; }
  std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }

 private:
  void tag(int field, unsigned wire_type) { bytes_ += varint(static_cast<std::uint64_t>(field) << 3 | wire_type); }

  std::string bytes_;
};

}  // namespace tinygpt::protobuf
