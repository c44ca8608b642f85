// An input of prepare as a stream of text: plain, gzip or zstd, told apart by their first bytes.
#pragma once

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/data/file_kind.hpp>
#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/io/available_memory.hpp>
#include <tinygpt/io/file.hpp>
#include <tinygpt/prepare/fingerprint.hpp>

namespace tinygpt::prepare {

namespace input_stream {

/// The window that the first zstd frame of some bytes asks for: so much of the text before is kept. 0 where the bytes
/// do not say. Source: RFC 8878, section 3.1.1.1.
inline std::uint64_t zstd_window(std::string_view frame) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(static_cast<unsigned char>(frame[i])); };
  if (frame.size() < 6 || !frame.starts_with("\x28\xB5\x2F\xFD")) return 0;
  const std::uint64_t said = byte(4);
  if ((said & 0x20) == 0) {  // a window descriptor: a power of two and eighths of it
    const std::uint64_t base = std::uint64_t{1} << (10 + (byte(5) >> 3));
    return base + base / 8 * (byte(5) & 7);
  }
  // A single segment: its window is the whole content, whose size stands after the number of its dictionary.
  const std::size_t id = (said & 3) == 3 ? 4 : said & 3, size = std::size_t{1} << (said >> 6);
  if (frame.size() < 5 + id + size) return 0;
  std::uint64_t content = 0;
  for (std::size_t i = size; i > 0; --i) content = content << 8 | byte(4 + id + i);
  return size == 2 ? content + 256 : content;
}

}  // namespace input_stream

/// Reads a file front to back, decompressed, with a memory that does not depend on its size. zstd's window takes memory
/// as the file says: up to 128 MiB by default, up to 2 GiB after `zstd --long=31`, where there is that much. Zeros
/// after the last gzip member or zstd frame, as tapes and block devices leave them, are passed over; any other bytes
/// there, and a file that ends in the middle of compressed data, are an error that names the file. Sources: RFC 1952
/// (gzip, of which there may be several members), RFC 8878 (zstd, likewise frames, and frames to pass over, which pzstd
/// and the seekable format write).
class InputStream {
 public:
  static constexpr std::size_t usual_buffer = std::size_t{1} << 18;

  /// `buffer` bytes of the file are read at a time.
  explicit InputStream(std::filesystem::path path, std::size_t buffer = usual_buffer)
      : InputStream(open_regular(path), path, buffer) {}

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
  /// Of the whole file, when it was opened.
  std::int64_t file_bytes() const { return file_bytes_; }
  /// Of the file, compressed as it is.
  std::int64_t bytes_read() const { return bytes_read_; }
  /// Of the file, once it has been read to its end.
  Fingerprint fingerprint() const { return hash_.value(); }

 private:
  InputStream(std::pair<Descriptor, std::int64_t> file, std::filesystem::path path, std::size_t buffer)
      : path_(std::move(path)), fd_(std::move(file.first)), file_bytes_(file.second) {
    raw_.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(file_bytes_, 1, static_cast<std::int64_t>(buffer))));
    refill();
    const std::string_view begin(left_.data(), left_.size());
    const auto kind = kind_of(begin);
    if (kind && kind->how == FileKind::How::gzip) {
      gzip_.reset(new z_stream{});
      if (inflateInit2(gzip_.get(), 15 + 16) != Z_OK) throw std::bad_alloc();
    } else if (kind && kind->how == FileKind::How::zstd) {
      zstd_.reset(ZSTD_createDStream());
      if (zstd_ == nullptr) throw std::bad_alloc();
      ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, sizeof(std::size_t) == 8 ? 31 : 30);
    }
  }

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
    if (begins_padding()) return pass_padding("gzip member");
    z_stream& z = *gzip_;
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(left_.data()));
    z.avail_in = static_cast<uInt>(left_.size());
    z.next_out = reinterpret_cast<Bytef*>(to.data());
    z.avail_out = static_cast<uInt>(std::min<std::size_t>(to.size(), std::size_t{1} << 30));
    const uInt room = z.avail_out;
    inside_ = true;
    const int status = inflate(&z, Z_NO_FLUSH);
    if (status == Z_DATA_ERROR && members_ > 0 && z.total_out == 0 && z.total_in < 10) throw bytes_after("gzip member");
    left_ = left_.last(z.avail_in);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) throw damaged("gzip");
    if (status == Z_STREAM_END) {
      inside_ = false;
      ++members_;
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
    if (begins_padding()) return pass_padding("zstd frame");
    if (!inside_) expect_memory();
    ZSTD_inBuffer in{left_.data(), left_.size(), 0};
    ZSTD_outBuffer out{to.data(), to.size(), 0};
    const std::size_t status = ZSTD_decompressStream(zstd_.get(), &out, &in);
    if (ZSTD_isError(status) != 0) refuse(ZSTD_getErrorCode(status));
    if (left_.empty() && out.pos == 0 && status != 0) throw cut_short("zstd");
    left_ = left_.subspan(in.pos);
    inside_ = status != 0;
    members_ += status == 0;
    return out.pos;
  }

  /// Zeros after the end of a member or frame.
  bool begins_padding() const { return members_ > 0 && !inside_ && !left_.empty() && left_[0] == '\0'; }

  std::size_t pass_padding(const char* what) {
    do {
      const auto other = std::find_if(left_.begin(), left_.end(), [](char c) { return c != '\0'; });
      left_ = left_.subspan(static_cast<std::size_t>(other - left_.begin()));
      if (!left_.empty()) throw bytes_after(what);
    } while (refill());
    ended_ = true;
    return 0;
  }

  /// Throws where a frame that begins here asks for a larger window than there is memory for.
  void expect_memory() {
    constexpr std::uint64_t usual = std::uint64_t{128} << 20;
    window_ = std::max(window_, input_stream::zstd_window({left_.data(), left_.size()}));
    if (window_ <= usual) return;
    const std::int64_t available = available_memory();
    if (available >= 0 && window_ > static_cast<std::uint64_t>(available)) throw too_wide();
  }

  [[noreturn]] void refuse(ZSTD_ErrorCode code) const {
    switch (code) {
      case ZSTD_error_frameParameter_windowTooLarge:
      case ZSTD_error_memory_allocation:
        throw too_wide();
      case ZSTD_error_dictionary_wrong:
        throw Error("cannot read " + path_.string() +
                    ": its zstd data needs a dictionary: unpack it with zstd -d -D DICTIONARY");
      case ZSTD_error_prefix_unknown:
        throw members_ > 0 ? bytes_after("zstd frame") : damaged("zstd");
      default:
        throw damaged("zstd");
    }
  }
  /// Memory for the window, which is no damage.
  Error too_wide() const {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    const std::string size = size_text(static_cast<std::int64_t>(std::min(window_, most)));
    return Error("cannot read " + path_.string() + ": its zstd window takes " + size +
                     " of memory, which is not there: make its window smaller with zstd -d --long=31 -c FILE | zstd -o "
                     "NEW.zst, where there is more",
                 ENOMEM);
  }
  DamagedFile bytes_after(const char* what) const {
    const std::int64_t at = bytes_read_ - static_cast<std::int64_t>(left_.size());
    return DamagedFile("cannot read " + path_.string() + ": other bytes follow its last " + what + ", from byte " +
                       std::to_string(at) + " on: cut them off with head -c " + std::to_string(at) +
                       ", or use another copy");
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
  std::int64_t file_bytes_;
  std::vector<char> raw_;
  std::span<const char> left_;  ///< of raw_, not yet used
  std::unique_ptr<z_stream, EndGzip> gzip_;
  std::unique_ptr<ZSTD_DStream, EndZstd> zstd_;
  FingerprintStream hash_;
  std::int64_t bytes_read_ = 0;
  std::int64_t members_ = 0;  ///< gzip members or zstd frames that have ended
  std::uint64_t window_ = 0;  ///< the widest of zstd's that was asked for, in bytes
  bool inside_ = false;       ///< a gzip member or zstd frame has begun and not ended
  bool ended_ = false;
};

}  // namespace tinygpt::prepare
