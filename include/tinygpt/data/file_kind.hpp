// What a file is that is not UTF-8 text, told by its first bytes, so that a message names the cause and what to do.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <tinygpt/data/utf8.hpp>

namespace tinygpt {

/// The byte-order mark of UTF-8, which is no part of a text.
inline constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

/// A kind of file that is not UTF-8 text.
struct FileKind {
  enum class How { gzip, zstd, packed, other_encoding, binary };

  How how = How::binary;
  const char* name = "";    ///< "gzip", "UTF-16", "a PDF"
  const char* advice = "";  ///< what to do; empty where there is no text in it

  /// "it is UTF-16: convert it with iconv -f UTF-16 -t UTF-8"
  std::string sentence() const {
    return std::string("it is ") + name + (*advice == '\0' ? ", not text" : std::string(": ") + advice);
  }
};

namespace file_kind {

/// How many first bytes tell all of these kinds apart.
inline constexpr std::size_t enough_bytes = 4096;

using namespace std::string_view_literals;
using How = FileKind::How;

struct Magic {
  std::size_t at;
  std::string_view bytes;
  FileKind kind;
};

/// Of files that hold bytes which are in no text: those that begin with letters alone are below.
inline constexpr Magic magics[] = {
    {0, "\x1F\x8B"sv, {How::gzip, "gzip", "unpack it with gunzip, or use tinygpt prepare, which reads it"}},
    {0, "\x28\xB5\x2F\xFD"sv, {How::zstd, "zstd", "unpack it with zstd -d, or use tinygpt prepare, which reads it"}},
    {0, "\xFF\xFE\0\0"sv, {How::other_encoding, "UTF-32", "convert it with iconv -f UTF-32 -t UTF-8"}},
    {0, "\0\0\xFE\xFF"sv, {How::other_encoding, "UTF-32", "convert it with iconv -f UTF-32 -t UTF-8"}},
    {0, "\xFF\xFE"sv, {How::other_encoding, "UTF-16", "convert it with iconv -f UTF-16 -t UTF-8"}},
    {0, "\xFE\xFF"sv, {How::other_encoding, "UTF-16", "convert it with iconv -f UTF-16 -t UTF-8"}},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     {How::packed, "xz", "unpack it with xz -d"}},
    {0, "\x04\x22\x4D\x18"sv, {How::packed, "LZ4", "unpack it with lz4 -d"}},
    {0, "PK\x03\x04"sv, {How::packed, "a ZIP archive", "unpack it with unzip"}},
    {0, "PK\x05\x06"sv, {How::packed, "an empty ZIP archive", "give a file that holds text"}},
    {0, "7z\xBC\xAF\x27\x1C"sv, {How::packed, "a 7z archive", "unpack it with 7z x"}},
    {0, "Rar!\x1A\x07"sv, {How::packed, "a RAR archive", "unpack it with unrar x"}},
    {0, "\x1F\x9D"sv, {How::packed, "compressed by compress", "unpack it with gunzip"}},
    {0, "\x89PNG\r\n\x1A\n"sv, {How::binary, "a PNG image", ""}},
    {0, "\xFF\xD8\xFF"sv, {How::binary, "a JPEG image", ""}},
    {0, "II*\0"sv, {How::binary, "a TIFF image", ""}},
    {0, "MM\0*"sv, {How::binary, "a TIFF image", ""}},
    {0, "\0\0\x01\0"sv, {How::binary, "an icon", ""}},
    {0,
     "\x7F"
     "ELF"sv,
     {How::binary, "a program (ELF)", ""}},
    {0, "\xCF\xFA\xED\xFE"sv, {How::binary, "a program (Mach-O)", ""}},
    {0, "\xCA\xFE\xBA\xBE"sv, {How::binary, "a Java class", ""}},
    {0, "\0asm"sv, {How::binary, "WebAssembly", ""}},
    {0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, {How::binary, "an old Office document", "save it as plain text"}},
    {0, "SQLite format 3\0"sv, {How::binary, "an SQLite database", "write its text to a file"}},
    {0, "\x89HDF\r\n\x1A\n"sv, {How::binary, "HDF5", "write its text to a file"}},
    {0, "\x93NUMPY"sv, {How::binary, "a NumPy array", ""}},
    {0, "\x1A\x45\xDF\xA3"sv, {How::binary, "a film (Matroska)", ""}},
    {0, "\x80\x02"sv, {How::binary, "a pickle", "write its text to a file"}},
    {0, "\x80\x04\x95"sv, {How::binary, "a pickle", "write its text to a file"}},
    {257, "ustar"sv, {How::packed, "a tar archive", "unpack it with tar -xf"}},
};

/// Of files that begin with letters, as a text may: what follows must show that it is none.
inline constexpr Magic lettered[] = {
    {0, "BZh"sv, {How::packed, "bzip2", "unpack it with bzip2 -d"}},
    {0, "%PDF-"sv, {How::binary, "a PDF", "make text of it, for example with pdftotext"}},
    {0, "PAR1"sv, {How::binary, "Parquet", "make JSON Lines of it, for example with pandas"}},
    {0, "ARROW1"sv, {How::binary, "Arrow", "make JSON Lines of it, for example with pandas"}},
    {0, "Obj\x01"sv, {How::binary, "Avro", "make JSON Lines of it"}},
    {0, "GIF8"sv, {How::binary, "a GIF image", ""}},
    {0, "BM"sv, {How::binary, "a BMP image", ""}},
    {8, "WEBP"sv, {How::binary, "a WebP image", ""}},
    {8, "WAVE"sv, {How::binary, "a sound (WAV)", ""}},
    {8, "AVI "sv, {How::binary, "a film (AVI)", ""}},
    {0, "OggS"sv, {How::binary, "a sound (Ogg)", ""}},
    {0, "fLaC"sv, {How::binary, "a sound (FLAC)", ""}},
    {0, "ID3"sv, {How::binary, "a sound (MP3)", ""}},
    {4, "ftyp"sv, {How::binary, "a film or an image (MP4, HEIC)", ""}},
    {0, "wOF"sv, {How::binary, "a font", ""}},
    {0, "OTTO"sv, {How::binary, "a font", ""}},
    {0, "MZ"sv, {How::binary, "a Windows program", ""}},
    {0, "GGUF"sv, {How::binary, "a GGUF model", ""}},
    {0, "!<arch>\n"sv, {How::binary, "a library (ar)", ""}},
};

/// May this be a part of a text? It is no UTF-8 at another place than its end, where it may be cut, or has control
/// characters that no text has.
inline bool looks_binary(std::string_view bytes) {
  if (const auto fault = first_utf8_fault(bytes); fault && *fault + 4 <= bytes.size()) return true;
  return std::any_of(bytes.begin(), bytes.end(), [](char c) { return c >= 0 && c < '\t'; });
}

/// UTF-16 and UTF-32 without a mark: most of every second byte, or of three in four, is zero.
inline std::optional<FileKind> unmarked(std::string_view bytes) {
  if (bytes.size() < 16) return std::nullopt;
  std::array<std::size_t, 4> zeros{};
  for (std::size_t i = 0; i < bytes.size(); ++i) zeros[i % 4] += bytes[i] == '\0';
  const std::size_t quarter = bytes.size() / 4;
  const auto most = [&](std::size_t i) { return zeros[i] >= quarter - quarter / 4; };
  const auto few = [&](std::size_t i) { return zeros[i] <= quarter / 8; };
  if (few(0) && most(1) && most(2) && most(3)) {
    return FileKind{How::other_encoding, "UTF-32", "convert it with iconv -f UTF-32LE -t UTF-8"};
  }
  if (most(0) && most(1) && most(2) && few(3)) {
    return FileKind{How::other_encoding, "UTF-32", "convert it with iconv -f UTF-32BE -t UTF-8"};
  }
  if (few(0) && most(1) && few(2) && most(3)) {
    return FileKind{How::other_encoding, "UTF-16", "convert it with iconv -f UTF-16LE -t UTF-8"};
  }
  if (most(0) && few(1) && most(2) && few(3)) {
    return FileKind{How::other_encoding, "UTF-16", "convert it with iconv -f UTF-16BE -t UTF-8"};
  }
  return std::nullopt;
}

}  // namespace file_kind

/// What a file is that begins with these bytes; nothing where it may be UTF-8 text. 4 KiB are enough.
inline std::optional<FileKind> kind_of(std::string_view bytes) {
  using namespace file_kind;
  bytes = bytes.substr(0, enough_bytes);
  const auto begins = [&](const Magic& m) { return bytes.size() > m.at && bytes.substr(m.at).starts_with(m.bytes); };
  for (const Magic& m : magics) {
    if (begins(m)) return m.kind;
  }
  // A frame that zstd passes over: what pzstd and the seekable format begin with.
  if (bytes.size() >= 4 && (static_cast<unsigned char>(bytes[0]) & 0xF0) == 0x50 &&
      bytes.substr(1, 3) == "\x2A\x4D\x18") {
    return magics[1].kind;
  }
  if (looks_binary(bytes)) {
    for (const Magic& m : lettered) {
      if (begins(m)) return m.kind;
    }
  }
  return unmarked(bytes);
}

/// Why a text is not UTF-8, with its place, and what to do.
inline std::string utf8_fault_sentence(std::string_view text, std::size_t at) {
  constexpr char digits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(text[at]);
  const std::string where =
      std::string("byte 0x") + digits[byte >> 4] + digits[byte & 15] + " at offset " + std::to_string(at);
  if (text.find('\0') != std::string_view::npos) {
    return where + ", and it holds zero bytes, so it is no text in any usual encoding: give a text file";
  }
  return where + ": convert it, for example with iconv -f LATIN1 -t UTF-8";
}

}  // namespace tinygpt
