#include <catch.hpp>

#include <fstream>

#include <tinygpt/data/text_file.hpp>
#include <tinygpt/data/utf8.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

struct Fault {
  std::string text;
  std::size_t offset;
};

std::filesystem::path temporary(const std::string& name, const std::string& content) {
  const auto path =
      std::filesystem::temp_directory_path() / ("tinygpt-data-" + std::to_string(::getpid()) + "-" + name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

}  // namespace

TEST_CASE("the first fault of UTF-8 is found at its byte") {
  const std::string cases[] = {"",
                               "plain",
                               "\xC2\x80",
                               "\xDF\xBF",
                               "\xE0\xA0\x80",
                               "\xED\x9F\xBF",
                               "\xEE\x80\x80",
                               "\xEF\xBF\xBF",
                               "\xF0\x90\x80\x80",
                               "\xF4\x8F\xBF\xBF",
                               std::string("\0", 1)};
  for (const auto& text : cases) CHECK_FALSE(first_utf8_fault(text));
  const Fault faults[] = {{"\x80", 0},
                          {"ab\xFF", 2},
                          {"\xC0\xAF", 0},
                          {"\xC1\xBF", 0},
                          {"a\xE0\x80\x80", 1},
                          {"\xED\xA0\x80", 0},
                          {"\xF0\x80\x80\x80", 0},
                          {"\xF4\x90\x80\x80", 0},
                          {"\xF5\x80\x80\x80", 0},
                          {"abc\xE2\x82", 3},
                          {"\xE2\x82x", 0},
                          {"x\xF0\x9F\x98", 1},
                          {"\xC3\xA9\xC3", 2},
                          {"\xE2\xE2\x82\xAC", 0}};
  for (const auto& [text, offset] : faults) CHECK(first_utf8_fault(text) == offset);
}

TEST_CASE("a stream lets only whole characters through, however the bytes are cut") {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9Ez";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Stream stream;
    const std::string head = stream.push(text.substr(0, cut));
    CHECK_FALSE(first_utf8_fault(head));
    const std::string tail = stream.push(text.substr(cut));
    CHECK(head + tail == text);
    CHECK(stream.finish().empty());
  }
}

TEST_CASE("what is not well formed becomes one replacement character per broken sequence") {
  const auto through = [](const std::string& text) {
    Utf8Stream stream;
    std::string out;
    for (const char c : text) out += stream.push(std::string_view(&c, 1));
    out += stream.finish();
    return out;
  };
  CHECK(through("a\xFFz") == "a\uFFFDz");
  CHECK(through("\xE2\x82") == "\uFFFD");
  CHECK(through("\xE2\x82x") == "\uFFFDx");
  CHECK(through("\xE2\x82\xC3\xA9") == "\uFFFD\u00e9");
  CHECK(through("\xF0\x9F\xE2\x82\xAC") == "\uFFFD\u20ac");
  CHECK(through("\x80\x80") == "\uFFFD\uFFFD");
}

TEST_CASE("a terminal gets no control characters") {
  CHECK(printable("\x1B]0;title\x07") == "\\x1b]0;title\\x07");
  CHECK(printable("\xC2\x9B"
                  "31m") == "\\x9b31m");  // the one-byte form of ESC [
  CHECK(printable("a\tb\nc\rd\x7F") == "a\tb\nc\\x0dd\\x7f");
  CHECK(printable(std::string("\0", 1)) == "\\x00");
  CHECK(printable("\u00e9\U0001D11E") == "\u00e9\U0001D11E");
}

TEST_CASE("a text file is read whole, without its byte-order mark") {
  CHECK(read_text_file(temporary("bom", "\xEF\xBB\xBFtext\r\n")) == "text\r\n");
  CHECK_THROWS_WITH(read_text_file(temporary("empty", "")), Contains("is empty"));
  CHECK_THROWS_WITH(read_text_file(temporary("onlybom", "\xEF\xBB\xBF")), Contains("is empty"));
  CHECK_THROWS_WITH(read_text_file(temporary("latin", "caf\xE9 au lait")), Contains("byte 0xe9 at offset 3"));
  CHECK_THROWS_WITH(read_text_file("/nonexistent/file"), Contains("no such file"));
  CHECK_THROWS_WITH(read_text_file("/tmp"), Contains("is a directory"));
}

TEST_CASE("the last tenth of a text is for validation, and characters stay whole") {
  const std::string text(1000, 'x');
  const Split split = split_text(text, 64, "x");
  CHECK(split.train.size() == 900);
  CHECK(split.validation.size() == 100);
  std::string accents;
  for (int i = 0; i < 500; ++i) accents += "\u20ac";  // three bytes each, so that a tenth falls inside one
  for (std::size_t cut = 0; cut < 3; ++cut) {
    const auto part = std::string_view(accents).substr(0, accents.size() - 3 * cut);
    const Split s = split_text(part, 8, "x");
    CHECK_FALSE(first_utf8_fault(s.train));
    CHECK_FALSE(first_utf8_fault(s.validation));
    CHECK(s.train.size() + s.validation.size() == part.size());
  }
}

TEST_CASE("each part of a corpus must hold one context and the token after it") {
  const auto least = [](int ctx) {
    for (std::size_t n = 1;; ++n) {
      const std::string text(n, 'x');
      try {
        split_text(text, ctx, "x");
        return n;
      } catch (const Error&) {
      }
    }
  };
  CHECK(least(1) == 20);
  CHECK(least(128) == 1290);
  CHECK_THROWS_WITH(split_text("short", 128, "a.txt"),
                    Contains("a.txt is too short") && Contains("at least 1290 bytes"));
  CHECK_NOTHROW(split_text(std::string(1290, 'x'), 128, "x"));
}
