// The bytes of a fuzz target's input, taken piece by piece.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : left_(reinterpret_cast<const char*>(data), size) {}

  /// The next byte; 0 where there is none.
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const auto byte = static_cast<std::uint8_t>(left_.front());
    left_.remove_prefix(1);
    return byte;
  }
  /// Up to a byte, which is left out, or to the end.
  std::string_view up_to(char end) {
    const std::string_view piece = left_.substr(0, left_.find(end));
    left_.remove_prefix(std::min(piece.size() + 1, left_.size()));
    return piece;
  }
  /// As many bytes as a number of 32 bits before them says, or what there is.
  std::string_view counted() {
    std::uint32_t length = 0;
    std::memcpy(&length, left_.data(), std::min(left_.size(), sizeof length));
    left_.remove_prefix(std::min(left_.size(), sizeof length));
    const std::string_view piece = left_.substr(0, length);
    left_.remove_prefix(piece.size());
    return piece;
  }
  std::string_view rest() const { return left_; }

 private:
  std::string_view left_;
};
