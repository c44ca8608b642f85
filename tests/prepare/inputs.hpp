// Inputs for the tests of prepare.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <scratch.hpp>
#include <tinygpt/prepare/source.hpp>

/// About so many bytes of lines, some of them blank.
inline std::string random_lines(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) {
    const auto kind = random() % 30;
    text += kind == 0 ? '\n' : kind < 5 ? ' ' : static_cast<char>('a' + random() % 26);
  }
  text.resize(bytes);
  return text;
}

inline std::string gzip_of(std::string_view text) {
  z_stream z{};
  if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("deflateInit2");
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline std::string zstd_of(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* const ctx = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);  // as the program zstd does
  out.resize(ZSTD_compress2(ctx, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(ctx);
  return out;
}

inline std::string packed(const std::string& text, std::string_view kind) {
  const auto half = text.substr(0, text.size() / 2), rest = text.substr(text.size() / 2);
  if (kind == "gzip") return gzip_of(text);
  if (kind == "two gzip members") return gzip_of(half) + gzip_of(rest);
  if (kind == "zstd") return zstd_of(text);
  if (kind == "two zstd frames") return zstd_of(half) + zstd_of(rest);
  return text;
}

inline tinygpt::prepare::Source source_of(const std::string& name, const std::vector<std::filesystem::path>& paths) {
  tinygpt::prepare::Source source{name, {}, 0, {}};
  for (const auto& path : paths) {
    source.inputs.push_back(
        {path, static_cast<std::int64_t>(std::filesystem::file_size(path)), tinygpt::prepare::layout_of(path)});
  }
  return source;
}
