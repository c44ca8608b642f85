// The types of numbers and of values that GGUF files have, as they are numbered there.
// Source: ggml, docs/gguf.md and include/ggml.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tinygpt {

/// What a file's matrices are kept as. Vectors are float32 in all of them.
enum class GgufType { f32, f16, bf16, q8_0, q4_0, q4_k };

/// The words for them, those of other formats among them.
struct GgufTypeWord {
  GgufType type;
  std::string_view word;
};
inline constexpr std::array<GgufTypeWord, 6> gguf_type_words{{{GgufType::f32, "float32"},
                                                              {GgufType::f16, "float16"},
                                                              {GgufType::bf16, "bf16"},
                                                              {GgufType::q8_0, "q8_0"},
                                                              {GgufType::q4_0, "q4_0"},
                                                              {GgufType::q4_k, "q4_k"}}};

constexpr std::optional<GgufType> gguf_type_of(std::string_view word) {
  for (const GgufTypeWord& known : gguf_type_words) {
    if (known.word == word) return known.type;
  }
  return std::nullopt;
}

namespace gguf {

inline constexpr std::uint32_t version = 3;
inline constexpr std::int64_t alignment = 32;  ///< of tensors from the beginning of the data, where a file says nothing
inline constexpr std::size_t longest_name = 63, most_dimensions = 4;

/// How the numbers of a tensor are kept.
enum class TensorType : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q5_0 = 6, q8_0 = 8, q4_k = 12, bf16 = 30 };

/// `block` neighbours of a row are kept in `bytes` bytes.
struct TensorTypeRow {
  TensorType type;
  const char* name;
  std::int64_t block, bytes;
};

inline constexpr std::array<TensorTypeRow, 7> tensor_types{{{TensorType::f32, "F32", 1, 4},
                                                            {TensorType::f16, "F16", 1, 2},
                                                            {TensorType::bf16, "BF16", 1, 2},
                                                            {TensorType::q8_0, "Q8_0", 32, 34},
                                                            {TensorType::q5_0, "Q5_0", 32, 22},
                                                            {TensorType::q4_0, "Q4_0", 32, 18},
                                                            {TensorType::q4_k, "Q4_K", 256, 144}}};

/// Null for a number that is none of them.
constexpr const TensorTypeRow* find_tensor_type(std::uint32_t number) {
  for (const TensorTypeRow& row : tensor_types) {
    if (static_cast<std::uint32_t>(row.type) == number) return &row;
  }
  return nullptr;
}
constexpr const TensorTypeRow& tensor_type(TensorType type) {
  return *find_tensor_type(static_cast<std::uint32_t>(type));
}

/// What a key's value is.
enum class Kind : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };
inline constexpr std::uint32_t kinds = 13;

/// Bytes of one that has always as many; 0 for texts and arrays.
constexpr std::int64_t bytes_of(Kind kind) {
  switch (kind) {
    case Kind::u8:
    case Kind::i8:
    case Kind::boolean:
      return 1;
    case Kind::u16:
    case Kind::i16:
      return 2;
    case Kind::u32:
    case Kind::i32:
    case Kind::f32:
      return 4;
    case Kind::u64:
    case Kind::i64:
    case Kind::f64:
      return 8;
    default:
      return 0;
  }
}

/// What a token of a vocabulary is.
enum class TokenType : std::int32_t { normal = 1, control = 3, unused = 5 };

}  // namespace gguf
}  // namespace tinygpt
