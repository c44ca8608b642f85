// An input of prepare as a stream of text: plain, gzip or zstd, told apart by their first bytes.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tinygpt/io/file.hpp>
#include <tinygpt/prepare/fingerprint.hpp>

namespace tinygpt::prepare {

/// Reads a file front to back, decompressed, with a memory that does not depend on its size (zstd's window may take
/// 128 MiB). A file that ends in the middle of compressed data, or holds something else, is an error that names it.
/// Sources: RFC 1952 (gzip, of which there may be several members), RFC 8878 (zstd, likewise frames).
class InputStream {
 public:
  explicit InputStream(std::filesystem::path path)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (!fd_) throw file_error("read", path_, errno);
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw file_error("read", path_, errno);
    if (!S_ISREG(status.st_mode)) {
      throw Error("cannot read " + path_.string() + ": it is not a regular file: check the path");
    }
    raw_.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(status.st_size, 1, std::int64_t{1} << 18)));
    refill();
    const auto begins = [&](std::initializer_list<unsigned char> magic) {
      if (left_.size() < magic.size()) return false;
      std::size_t i = 0;
      for (const unsigned char byte : magic) {
        if (static_cast<unsigned char>(left_[i++]) != byte) return false;
      }
      return true;
    };
    if (begins({0x1F, 0x8B})) {
      gzip_.reset(new z_stream{});
      if (inflateInit2(gzip_.get(), 15 + 16) != Z_OK) throw std::bad_alloc();
    } else if (begins({0x28, 0xB5, 0x2F, 0xFD})) {
      zstd_.reset(ZSTD_createDStream());
      if (zstd_ == nullptr) throw std::bad_alloc();
    }
  }

  /// Fills `to` from its beginning; less than its size only at the end of the text.
  std::size_t read(std::span<char> to) {
    std::size_t n = 0;
    while (n < to.size()) {
      const auto rest = to.subspan(n);
      const std::size_t got = gzip_ ? inflate_some(rest) : zstd_ ? decompress_some(rest) : copy_some(rest);
      if (got == 0 && ended_) break;
      n += got;
    }
    return n;
  }

  const std::filesystem::path& path() const { return path_; }
  /// Of the file, compressed as it is.
  std::int64_t bytes_read() const { return bytes_read_; }
  /// Of the file, once it has been read to its end.
  Fingerprint fingerprint() const { return hash_.value(); }

 private:
  struct EndGzip {
    void operator()(z_stream* z) const {
      inflateEnd(z);
      delete z;
    }
  };
  struct EndZstd {
    void operator()(ZSTD_DStream* z) const { ZSTD_freeDStream(z); }
  };

  /// False at the end of the file.
  bool refill() {
    ssize_t n;
    do {
      n = ::read(fd_.get(), raw_.data(), raw_.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) throw file_error("read", path_, errno);
    left_ = std::span<const char>(raw_.data(), static_cast<std::size_t>(n));
    bytes_read_ += n;
    hash_.update(left_);
    return n > 0;
  }

  std::size_t copy_some(std::span<char> to) {
    if (left_.empty() && !refill()) {
      ended_ = true;
      return 0;
    }
    const std::size_t n = std::min(to.size(), left_.size());
    std::copy_n(left_.begin(), n, to.begin());
    left_ = left_.subspan(n);
    return n;
  }

  std::size_t inflate_some(std::span<char> to) {
    if (left_.empty() && !refill()) {
      if (inside_) throw cut_short("gzip");
      ended_ = true;
      return 0;
    }
    z_stream& z = *gzip_;
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(left_.data()));
    z.avail_in = static_cast<uInt>(left_.size());
    z.next_out = reinterpret_cast<Bytef*>(to.data());
    z.avail_out = static_cast<uInt>(std::min<std::size_t>(to.size(), std::size_t{1} << 30));
    const uInt room = z.avail_out;
    inside_ = true;
    const int status = inflate(&z, Z_NO_FLUSH);
    left_ = left_.last(z.avail_in);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) throw damaged("gzip");
    if (status == Z_STREAM_END) {
      inside_ = false;
      inflateReset(&z);
    }
    return room - z.avail_out;
  }

  std::size_t decompress_some(std::span<char> to) {
    if (left_.empty() && !refill()) {
      // What the decoder has left is asked for until there is none.
      if (!inside_) {
        ended_ = true;
        return 0;
      }
    }
    ZSTD_inBuffer in{left_.data(), left_.size(), 0};
    ZSTD_outBuffer out{to.data(), to.size(), 0};
    const std::size_t status = ZSTD_decompressStream(zstd_.get(), &out, &in);
    if (ZSTD_isError(status) != 0) throw damaged("zstd");
    if (left_.empty() && out.pos == 0 && status != 0) throw cut_short("zstd");
    left_ = left_.subspan(in.pos);
    inside_ = status != 0;
    return out.pos;
  }

  DamagedFile cut_short(const char* kind) const {
    return DamagedFile("cannot read " + path_.string() + ": its " + kind +
                       " data ends too early: it is half-written, so use another copy");
  }
  DamagedFile damaged(const char* kind) const {
    return DamagedFile("cannot read " + path_.string() + ": its " + kind + " data is damaged before byte " +
                       std::to_string(bytes_read_) + ": use another copy");
  }

  std::filesystem::path path_;
  Descriptor fd_;
  std::vector<char> raw_;
  std::span<const char> left_;  ///< of raw_, not yet used
  std::unique_ptr<z_stream, EndGzip> gzip_;
  std::unique_ptr<ZSTD_DStream, EndZstd> zstd_;
  FingerprintStream hash_;
  std::int64_t bytes_read_ = 0;
  bool inside_ = false;  ///< a gzip member or zstd frame has begun and not ended
  bool ended_ = false;
};

}  // namespace tinygpt::prepare
