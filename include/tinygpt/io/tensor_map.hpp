// Where the numbers of a model stand in a file: each tensor there, as matrices of the arena here. The layouts of other
// projects are lists of these.
#pragma once

#if defined(__SSE__)
#  include <xmmintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <tinygpt/error.hpp>
#include <tinygpt/layout/dtype.hpp>
#include <tinygpt/layout/float16.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

/// How numbers come out of the memory in which an arena lies, and go into it, where that is not the host's.
struct ForeignMemory {
  std::function<void(std::span<float> to, const float* from)> read;
  std::function<void(float* to, std::span<const float> from)> write;
};

/// Types in which a file keeps numbers.
enum class StoredType { float32, bfloat16, float16 };

constexpr std::int64_t bytes_of(StoredType type) { return type == StoredType::float32 ? 4 : 2; }

/// rows x cols numbers of the arena, row by row; or nothing in the arena, and zeros in the file.
struct ArenaMatrix {
  static constexpr std::int64_t nowhere = -1;

  std::int64_t offset = nowhere;  ///< of the first number in the arena
  std::int64_t rows = 1, cols = 0;
  bool transposed = false;  ///< the file has the transpose

  std::int64_t size() const { return rows * cols; }
};

/// A tensor of the file: matrices one after the other.
struct MappedTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< in the file
  std::vector<ArenaMatrix> parts;

  std::int64_t size() const {
    std::int64_t n = 0;
    for (const ArenaMatrix& part : parts) n += part.size();
    return n;
  }
};

/// A layer's tensor of the table, or `rows` rows of it from `first_row` on.
inline ArenaMatrix matrix_of(const ParamRow& row, std::int64_t layer = 0) {
  return {row.offset + layer * row.stride, row.cols == 0 ? 1 : row.rows, row.cols == 0 ? row.rows : row.cols, false};
}
inline ArenaMatrix rows_of(const ParamRow& row, std::int64_t layer, std::int64_t first_row, std::int64_t rows) {
  const std::int64_t width = row.cols == 0 ? 1 : row.cols, offset = row.offset + layer * row.stride + first_row * width;
  return row.cols == 0 ? ArenaMatrix{offset, 1, rows, false} : ArenaMatrix{offset, rows, row.cols, false};
}
inline ArenaMatrix transposed(ArenaMatrix matrix) {
  matrix.transposed = !matrix.transposed;
  return matrix;
}
/// So many zeros in the file that the model has no place for.
inline ArenaMatrix zeros(std::int64_t size) { return {ArenaMatrix::nowhere, 1, size, false}; }

namespace tensor_map {

inline constexpr std::size_t most = std::size_t{1} << 18;           ///< numbers in one go
inline constexpr std::size_t most_in_cache = std::size_t{1} << 15;  ///< that stay near the processor between two looks

/// One number of a file, wherever it lies.
template <class N> float number(const std::byte* from) {
  N value;
  std::memcpy(&value, from, sizeof value);
  return static_cast<float>(value);
}

template <class N> void straight(const std::byte* from, std::size_t n, float* to) {
  if constexpr (std::is_same_v<N, float>) {
    std::memcpy(to, from, n * sizeof(float));
  } else {
    // By way of an array that nothing else can be, so that the loop becomes one of vectors.
    constexpr std::size_t block = 64;
    N some[block];
    std::size_t i = 0;
    for (; i + block <= n; i += block) {
      std::memcpy(some, from + i * sizeof(N), sizeof some);
      for (std::size_t k = 0; k < block; ++k) to[i + k] = static_cast<float>(some[k]);
    }
    for (; i < n; ++i) to[i] = number<N>(from + i * sizeof(N));
  }
}

/// 4 x 4 floats change rows and columns. Strides are in bytes of `from`, which need not be aligned, and in floats of
/// `to`.
inline void turn_square(const std::byte* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
#if defined(__SSE__)
  const auto row = [&](std::int64_t r) { return _mm_loadu_ps(reinterpret_cast<const float*>(from + r * from_stride)); };
  __m128 a = row(0), b = row(1), c = row(2), d = row(3);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, a);
  _mm_storeu_ps(to + to_stride, b);
  _mm_storeu_ps(to + 2 * to_stride, c);
  _mm_storeu_ps(to + 3 * to_stride, d);
#else
  for (std::int64_t c = 0; c < 4; ++c) {
    for (std::int64_t r = 0; r < 4; ++r) to[c * to_stride + r] = number<float>(from + r * from_stride + c * 4);
  }
#endif
}

inline constexpr std::int64_t strip = 16;  ///< rows that are turned in one go: a cache line of what they become

/// A rows x cols matrix becomes cols x rows; rows begin `from_stride` numbers apart, and `to_stride`. Strips of rows
/// are read along, so that what is read comes in runs and what is written is whole cache lines.
template <class N>
void turn(const std::byte* from, std::int64_t rows, std::int64_t cols, std::int64_t from_stride, float* to,
          std::int64_t to_stride) {
  constexpr std::int64_t most_cols = 256;
  float staged[strip * most_cols];
  for (std::int64_t r0 = 0; r0 < rows; r0 += strip) {
    const std::int64_t height = std::min(strip, rows - r0), squares_high = height / 4 * 4;
    for (std::int64_t c0 = 0; c0 < cols; c0 += most_cols) {
      const std::int64_t width = std::min(most_cols, cols - c0), squares_wide = width / 4 * 4;
      const std::byte* source = from + (r0 * from_stride + c0) * static_cast<std::int64_t>(sizeof(N));
      std::int64_t step = from_stride * static_cast<std::int64_t>(sizeof(N));
      if constexpr (!std::is_same_v<N, float>) {
        for (std::int64_t r = 0; r < height; ++r) {
          straight<N>(source + r * step, static_cast<std::size_t>(width), staged + r * most_cols);
        }
        source = reinterpret_cast<const std::byte*>(staged);
        step = most_cols * static_cast<std::int64_t>(sizeof(float));
      }
      float* const target = to + c0 * to_stride + r0;
      for (std::int64_t c = 0; c < squares_wide; c += 4) {
        for (std::int64_t r = 0; r < squares_high; r += 4) {
          turn_square(source + r * step + c * 4, step, target + c * to_stride + r, to_stride);
        }
      }
      for (std::int64_t c = 0; c < width; ++c) {
        for (std::int64_t r = c < squares_wide ? squares_high : 0; r < height; ++r) {
          target[c * to_stride + r] = number<float>(source + r * step + c * 4);
        }
      }
    }
  }
}

/// A rows x cols matrix at `from` becomes cols x rows at `to`, of which rows [first, first + count) are made.
inline void transpose(const float* from, std::int64_t rows, std::int64_t cols, std::int64_t first, std::int64_t count,
                      float* to) {
  turn<float>(reinterpret_cast<const std::byte*>(from + first), rows, count, cols, to, rows);
}

/// The other way: float in less room.
template <class N> void narrow(std::span<const float> from, std::byte* to) {
  constexpr std::size_t block = 64;
  N some[block];
  for (std::size_t i = 0; i < from.size(); i += block) {
    const std::size_t n = std::min(block, from.size() - i);
    for (std::size_t k = 0; k < n; ++k) some[k] = N(from[i + k]);
    std::memcpy(to + i * sizeof(N), some, n * sizeof(N));
  }
}

template <class N> bool all_zero(const std::byte* from, std::size_t n) {
  bool zero = true;
  for (std::size_t i = 0; i < n; ++i) zero &= number<N>(from + i * sizeof(N)) == 0;
  return zero;
}

/// Calls f(numbers) for the numbers of a part in the order of the file.
template <class F>
void for_each_piece(const ArenaMatrix& part, std::span<const float> arena, const ForeignMemory* memory, F&& f) {
  const auto size = static_cast<std::size_t>(part.size());
  if (part.offset == ArenaMatrix::nowhere) {
    const std::vector<float> none(std::min(size, most));
    for (std::size_t i = 0; i < size; i += none.size()) f(std::span(none).first(std::min(none.size(), size - i)));
    return;
  }
  const auto here = arena.subspan(static_cast<std::size_t>(part.offset), size);
  std::vector<float> fetched;
  if (!part.transposed) {
    for (std::size_t i = 0; i < size; i += most) {
      const auto piece = here.subspan(i, std::min(most, size - i));
      if (memory == nullptr) {
        f(piece);
        continue;
      }
      fetched.resize(piece.size());
      memory->read(fetched, piece.data());
      f(std::span<const float>(fetched));
    }
    return;
  }
  const float* from = here.data();
  if (memory != nullptr) {
    fetched.resize(size);
    memory->read(fetched, from);
    from = fetched.data();
  }
  constexpr std::int64_t line = 16;  // numbers, so that none is read for two pieces
  const std::int64_t lines = static_cast<std::int64_t>(most) / std::max<std::int64_t>(line * part.rows, 1);
  const std::int64_t at_once = line * std::max<std::int64_t>(lines, 1);
  std::vector<float> turned;
  for (std::int64_t c = 0; c < part.cols; c += at_once) {
    const std::int64_t n = std::min(at_once, part.cols - c);
    turned.resize(static_cast<std::size_t>(n * part.rows));
    transpose(from, part.rows, part.cols, c, n, turned.data());
    f(std::span<const float>(turned));
  }
}

/// The other way: next(span<float>) gives the numbers of a part in the order of the file. False where one of them is
/// not zero that must be.
template <class Next>
bool fill(const ArenaMatrix& part, std::span<float> arena, const ForeignMemory* memory, Next&& next) {
  const auto size = static_cast<std::size_t>(part.size());
  std::vector<float> piece;
  if (part.offset == ArenaMatrix::nowhere) {
    bool zero = true;
    for (std::size_t i = 0; i < size; i += piece.size()) {
      piece.resize(std::min(most, size - i));
      next(std::span(piece));
      zero = zero && std::all_of(piece.begin(), piece.end(), [](float x) { return x == 0; });
    }
    return zero;
  }
  const auto here = arena.subspan(static_cast<std::size_t>(part.offset), size);
  if (!part.transposed) {
    for (std::size_t i = 0; i < size; i += most) {
      const auto to = here.subspan(i, std::min(most, size - i));
      if (memory == nullptr) {
        next(to);
        continue;
      }
      piece.resize(to.size());
      next(std::span(piece));
      memory->write(to.data(), piece);
    }
    return true;
  }
  std::vector<float> whole(size);
  next(std::span(whole));
  if (memory == nullptr) {
    transpose(whole.data(), part.cols, part.rows, 0, part.rows, here.data());
  } else {
    std::vector<float> turned(size);
    transpose(whole.data(), part.cols, part.rows, 0, part.rows, turned.data());
    memory->write(here.data(), turned);
  }
  return true;
}

}  // namespace tensor_map

/// Calls sink(span<const std::byte>) with the bytes of a tensor in the file.
template <class Sink>
void write_tensor(const MappedTensor& tensor, std::span<const float> arena, const ForeignMemory* memory,
                  StoredType type, Sink&& sink) {
  std::vector<std::byte> halves;
  const auto convert = [&]<class N>(N, std::span<const float> from) {
    halves.resize(from.size() * sizeof(N));
    tensor_map::narrow<N>(from, halves.data());
    sink(std::span<const std::byte>(halves));
  };
  for (const ArenaMatrix& part : tensor.parts) {
    tensor_map::for_each_piece(part, arena, memory, [&](std::span<const float> piece) {
      if (type == StoredType::float32) sink(std::as_bytes(piece));
      if (type == StoredType::bfloat16) convert(bfloat16{}, piece);
      if (type == StoredType::float16) convert(float16{}, piece);
    });
  }
}

/// Fills a tensor from source(span<std::byte>), which gives the bytes of the file in order. False where the file has
/// numbers that the model has no place for, and they are not zero.
template <class Source>
bool read_tensor(const MappedTensor& tensor, std::span<float> arena, const ForeignMemory* memory, StoredType type,
                 Source&& source) {
  const auto convert = [&]<class N>(N, std::span<float> to) {
    std::vector<N> from(std::min(to.size(), tensor_map::most));
    for (std::size_t i = 0; i < to.size(); i += from.size()) {
      from.resize(std::min(from.size(), to.size() - i));
      source(std::as_writable_bytes(std::span<N>(from)));
      for (std::size_t k = 0; k < from.size(); ++k) to[i + k] = static_cast<float>(from[k]);
    }
  };
  bool fits = true;
  for (const ArenaMatrix& part : tensor.parts) {
    fits &= tensor_map::fill(part, arena, memory, [&](std::span<float> to) {
      if (type == StoredType::float32) source(std::as_writable_bytes(to));
      if (type == StoredType::bfloat16) convert(bfloat16{}, to);
      if (type == StoredType::float16) convert(float16{}, to);
    });
  }
  return fits;
}

/// The same from bytes that lie somewhere already, such as in a mapped file, and straight to where they belong. They
/// need not be aligned. Calls read(piece, copy) for a piece of them after the other, front to back: read must call
/// copy(), which allocates nothing and may be left at any load, and may do so within mapping::guarded().
template <class Read>
bool copy_tensor(const MappedTensor& tensor, std::span<float> arena, const ForeignMemory* memory, StoredType type,
                 const std::byte* from, Read&& read) {
  const auto copy = [&]<class N>(N) {
    bool zero = true;
    std::vector<float> staged;
    for (const ArenaMatrix& part : tensor.parts) {
      const auto size = static_cast<std::size_t>(part.size());
      const auto bytes = [&](std::size_t first, std::size_t count) {
        return std::span(from + first * sizeof(N), count * sizeof(N));
      };
      if (part.offset == ArenaMatrix::nowhere) {
        read(bytes(0, size), [&] { zero &= tensor_map::all_zero<N>(from, size); });
      } else if (memory == nullptr && part.transposed) {
        const std::int64_t rows = part.cols, cols = part.rows;  // in the file
        for (std::int64_t r = 0; r < rows; r += tensor_map::strip) {
          const std::int64_t n = std::min(tensor_map::strip, rows - r);
          const auto here = bytes(static_cast<std::size_t>(r * cols), static_cast<std::size_t>(n * cols));
          float* const to = arena.data() + part.offset + r;
          read(here, [&] { tensor_map::turn<N>(here.data(), n, cols, cols, to, rows); });
        }
      } else if (memory == nullptr) {
        for (std::size_t i = 0; i < size; i += tensor_map::most_in_cache) {
          const std::size_t n = std::min(tensor_map::most_in_cache, size - i);
          float* const to = arena.data() + part.offset + i;
          read(bytes(i, n), [&] { tensor_map::straight<N>(from + i * sizeof(N), n, to); });
        }
      } else if (part.transposed) {
        staged.resize(size);
        read(bytes(0, size),
             [&] { tensor_map::turn<N>(from, part.cols, part.rows, part.rows, staged.data(), part.cols); });
        memory->write(arena.data() + part.offset, staged);
      } else {
        for (std::size_t i = 0; i < size; i += tensor_map::most) {
          staged.resize(std::min(tensor_map::most, size - i));
          read(bytes(i, staged.size()),
               [&] { tensor_map::straight<N>(from + i * sizeof(N), staged.size(), staged.data()); });
          memory->write(arena.data() + part.offset + i, staged);
        }
      }
      from += size * sizeof(N);
    }
    return zero;
  };
  if (type == StoredType::bfloat16) return copy(bfloat16{});
  if (type == StoredType::float16) return copy(float16{});
  return copy(0.0f);
}

/// The parameter table as this project's own files have it: layers stacked on the first axis, named `prefix` + its
/// name.
inline std::vector<MappedTensor> stacked_tensors(const ParamTable& table, const std::string& prefix = "") {
  std::vector<MappedTensor> tensors;
  for (const ParamRow& row : table) {
    MappedTensor tensor{prefix + row.name, {}, {}};
    if (row.per_layer) tensor.shape.push_back(row.layers);
    tensor.shape.push_back(row.rows);
    if (row.cols != 0) tensor.shape.push_back(row.cols);
    for (std::int64_t l = 0; l < row.layers; ++l) tensor.parts.push_back(matrix_of(row, l));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace tinygpt
