// Inputs of prepare: decompression, chunks, documents, rows and filters.
#include <catch.hpp>

#include <random>

#include <tinygpt/prepare/document.hpp>
#include <tinygpt/prepare/filter.hpp>

#include "inputs.hpp"

using namespace tinygpt;
using namespace tinygpt::prepare;
using Catch::Matchers::Contains;

namespace {

std::string read_all(const std::filesystem::path& path, std::size_t piece = 1000) {
  InputStream stream(path);
  std::string text, buffer(piece, '\0');
  while (const std::size_t n = stream.read(buffer)) text.append(buffer, 0, n);
  return text;
}

struct Piece {
  std::string text;
  bool ends;
};

struct Dealt {
  std::vector<Piece> documents;
  std::vector<BadRow> bad;
  int chunks = 0;

  std::string joined() const {
    std::string all;
    for (const Piece& piece : documents) all += piece.text;
    return all;
  }
};

Dealt deal(const std::filesystem::path& path, const std::string& separator = "") {
  const std::vector<Source> sources{source_of("s", {path})};
  ChunkReader reader(sources, separator);
  Dealt dealt;
  while (const auto chunk = reader.next()) {
    ++dealt.chunks;
    for_each_document(
        *chunk, sources[0].inputs[0].layout, separator, "text",
        [&](const Document& d) {
          dealt.documents.push_back({std::string(d.text), d.ends});
        },
        [&](const BadRow& row) { dealt.bad.push_back(row); });
  }
  return dealt;
}

}  // namespace

TEST_CASE("plain, gzip and zstd files of any size give the same text") {
  const ScratchDirectory scratch;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}, std::size_t{3'000'000}}) {
    const std::string text = random_lines(size, 7);
    for (const char* const kind : {"plain", "gzip", "two gzip members", "zstd", "two zstd frames"}) {
      CAPTURE(size, kind);
      const auto path = scratch.file("input", packed(text, kind));
      CHECK(read_all(path) == text);
      CHECK(read_all(path, 1'000'000) == text);
    }
  }
}

TEST_CASE("compressed data that is cut short or damaged is one sentence") {
  const ScratchDirectory scratch;
  const std::string text = random_lines(400'000, 3);
  for (const char* const kind : {"gzip", "zstd"}) {
    CAPTURE(kind);
    const std::string whole = packed(text, kind);
    for (const std::size_t length : {std::size_t{5}, std::size_t{1000}, whole.size() / 2, whole.size() - 1}) {
      CAPTURE(length);
      const auto path = scratch.file("cut", whole.substr(0, length));
      CHECK_THROWS_WITH(read_all(path), Contains("cut") && Contains("ends too early"));
    }
    std::string flipped = whole;
    for (std::size_t i = flipped.size() / 2; i < flipped.size() / 2 + 64; ++i)
      flipped[i] = static_cast<char>(~flipped[i]);
    CHECK_THROWS_AS(read_all(scratch.file("flipped", flipped)), DamagedFile);
  }
}

TEST_CASE("a text is dealt in parts that give it back, byte for byte, and never part a character") {
  const ScratchDirectory scratch;
  std::mt19937 random(11);
  std::vector<std::string> texts{random_lines(5'000'000, 1), std::string(3'000'000, 'a'), "\n", "one line", ""};
  std::string crlf, smileys, paragraphs;
  while (crlf.size() < 2'500'000) crlf += "a line of text\r\n" + std::string(random() % 20 == 0 ? "\r\n" : "");
  while (smileys.size() < 2'500'000) smileys += "\xF0\x9F\x98\x80\xC3\xA9";
  while (paragraphs.size() < 2'500'000) paragraphs += std::string(random() % 9000, 'x') + "\n\n";
  texts.insert(texts.end(), {crlf, smileys, paragraphs});
  for (const std::string& text : texts) {
    CAPTURE(text.size(), text.substr(0, 20));
    const Dealt dealt = deal(scratch.file("text", text));
    CHECK(dealt.joined() == text);
    CHECK(dealt.bad.empty());
    for (std::size_t i = 0; i < dealt.documents.size(); ++i) {
      const Piece& piece = dealt.documents[i];
      CHECK(piece.text.size() <= document::longest_part);
      CHECK(begins_character(piece.text.front()));
      CHECK(piece.ends == (i + 1 == dealt.documents.size()));
    }
  }
  const Dealt dealt = deal(scratch.file("paragraphs", paragraphs));
  int after_blank_line = 0;
  for (const Piece& piece : dealt.documents) after_blank_line += piece.text.ends_with("\n\n");
  CHECK(after_blank_line >= static_cast<int>(dealt.documents.size()) - 1);
}

TEST_CASE("a separator ends a document wherever it falls, and goes") {
  const ScratchDirectory scratch;
  const std::string separator = "<|endoftext|>";
  std::mt19937 random(5);
  std::vector<std::string> documents;
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    documents.push_back(random_lines(random() % 3000 + 1, static_cast<unsigned>(i)));
    text += documents.back() + separator;
  }
  documents.push_back(random_lines(17'500'000, 2));  // longer than a document may be in one piece
  text += documents.back();
  const Dealt dealt = deal(scratch.file("text", text), separator);
  std::vector<std::string> joined(1);
  for (const Piece& piece : dealt.documents) {
    joined.back() += piece.text;
    if (piece.ends) joined.emplace_back();
  }
  joined.pop_back();
  REQUIRE(joined.size() == documents.size());
  CHECK(joined == documents);
  CHECK(dealt.documents.size() > documents.size());
}

TEST_CASE("a byte-order mark is no part of a text, and NUL and CRLF are") {
  const ScratchDirectory scratch;
  CHECK(deal(scratch.file("bom", "\xEF\xBB\xBFtext\r\n")).joined() == "text\r\n");
  const std::string zero("a\0b", 3);
  CHECK(deal(scratch.file("zero", zero)).joined() == zero);
}

TEST_CASE("invalid UTF-8 in a text is named by line and offset") {
  const ScratchDirectory scratch;
  const std::string text = random_lines(1'500'000, 9) + "\nbad \xFF here\nand more\n";
  const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find('\xFF')), '\n') + 1;
  const Dealt dealt = deal(scratch.file("text", text));
  REQUIRE(dealt.bad.size() == 1);
  CHECK(dealt.bad[0].line == lines);
  CHECK(dealt.bad[0].offset == static_cast<std::int64_t>(text.find('\xFF')));
}

TEST_CASE("rows of JSONL give their field, and a bad one is named by its number") {
  const ScratchDirectory scratch;
  std::string rows;
  for (int i = 1; i <= 2000; ++i) {
    if (i == 777) {
      rows += "{\"text\": \"cut sho\n";
    } else if (i == 778) {
      rows += "\r\n";
    } else {
      rows += R"({"id": [1, {"text": "deep"}], "text": "row )" + std::to_string(i) + R"( \u00e9\n", "n": null})" + "\n";
    }
  }
  rows.pop_back();  // the last row needs no newline
  const Dealt dealt = deal(scratch.file("rows.jsonl", rows));
  REQUIRE(dealt.bad.size() == 1);
  CHECK(dealt.bad[0].line == 777);
  REQUIRE(dealt.documents.size() == 1998);
  CHECK(dealt.documents[0].text == "row 1 \xC3\xA9\n");
  CHECK(dealt.documents.back().text == "row 2000 \xC3\xA9\n");
}

TEST_CASE("each way in which a row can be wrong is told") {
  const std::pair<const char*, const char*> rows[] = {
      {"", "not JSON"},
      {"7", "not a JSON object"},
      {"\"text\"", "not a JSON object"},
      {"[\"text\"]", "not a JSON object"},
      {"null", "not a JSON object"},
      {"{}", "no 'text'"},
      {R"({"texts": "a"})", "no 'text'"},
      {R"({"a": {"text": "b"}})", "no 'text'"},
      {R"({"text": 7})", "not a text"},
      {R"({"text": null})", "not a text"},
      {R"({"text": ["a"]})", "not a text"},
      {R"({"text": {"text": "a"}})", "not a text"},
      {R"({"text": "a", "text": "b"})", "twice"},
      {R"({"text": "a"} x)", "not JSON"},
      {R"({"text": "a")", "not JSON"},
      {R"({"text": "\ud800"})", "not JSON"},
      {"{\"text\": \"\xFF\"}", "not UTF-8"},
      {R"({"text": 1e999})", "not"},
  };
  for (const auto& [row, why] : rows) {
    CAPTURE(row);
    const Row read = read_row(row, "text");
    CHECK_FALSE(read.good);
    CHECK_THAT(read.text, Contains(why));
  }
  CHECK_FALSE(read_row(std::string("{\"text\": \"a\"}\0", 14), "text").good);
  CHECK_FALSE(read_row(std::string(100'000, '['), "text").good);
  CHECK_THAT(read_row(R"({"a": )" + std::string(100, '[') + std::string(100, ']') + "}", "text").text,
             Contains("64 deep"));
  CHECK(read_row(R"({"body": "x"})", "body").text == "x");
}

TEST_CASE("a row longer than 64 MiB is refused by its number") {
  const ScratchDirectory scratch;
  const auto path =
      scratch.file("long.jsonl", "{\"text\": \"a\"}\n{\"text\": \"" + std::string(70 << 20, 'a') + "\"}\n");
  CHECK_THROWS_WITH(deal(path), Contains("long.jsonl:2: ") && Contains("64 MiB"));
}

TEST_CASE("filters change only what they are asked to change") {
  std::string changed;
  const auto applied = [&](const Filters& filters, std::string_view text) {
    const Verdict verdict = apply(filters, text, changed);
    return verdict == Verdict::keep ? std::string(text) : "(" + std::to_string(static_cast<int>(verdict)) + ")";
  };
  const std::string text = "  Two  Spaces\t \r\n\r\n\r\n\r\n  \xC3\x84\xCE\xA9 \xD0\x96 ENDE  ";
  CHECK(applied({}, text) == text);
  CHECK(applied({.squeeze_whitespace = true}, text) == "Two Spaces\n\n\xC3\x84\xCE\xA9 \xD0\x96 ENDE");
  CHECK(applied({.lowercase = true}, "ABC \xC3\x84\xCE\xA9 \xD0\x96 \xF0\x90\x90\x80") ==
        "abc \xC3\xA4\xCF\x89 \xD0\xB6 \xF0\x90\x90\xA8");
  CHECK(applied({.squeeze_whitespace = true}, " \n\t ") == "(1)");
  CHECK(applied({.min_bytes = 4}, "abc") == "(2)");
  CHECK(applied({.max_bytes = 2}, "abc") == "(3)");
  CHECK(applied({.min_bytes = 3, .max_bytes = 3}, "abc") == "abc");
}

TEST_CASE("a source is a name and patterns, and means the files that are there") {
  const ScratchDirectory scratch;
  scratch.file("a.txt", "a");
  scratch.file("b.jsonl", "{}");
  std::filesystem::create_directory(scratch.path / "folder");
  scratch.file("folder/c.txt.gz", "c");
  scratch.file("folder/.hidden", "d");
  const std::string at = scratch.path.string();
  const auto names = [&](const std::string& text) {
    std::string all;
    for (const Input& input : parse_source(text).inputs) all += input.path.filename().string() + " ";
    return all;
  };
  CHECK(names("x:" + at + "/a.txt") == "a.txt ");
  CHECK(names("x:" + at + "/*.txt," + at + "/folder") == "a.txt c.txt.gz ");
  CHECK(names("x:" + at) == "a.txt b.jsonl c.txt.gz ");
  CHECK(names("x:" + at + "/{a.txt,b.jsonl}," + at + "/a.txt") == "a.txt b.jsonl ");
  CHECK(layout_of("b.jsonl.zst") == Layout::jsonl);
  CHECK(layout_of("b.txt.zst") == Layout::text);
  for (const char* const wrong : {"", "x:", ":y", "../x:y", "a b:c", ".x:y"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH(parse_source(wrong), Contains("NAME:GLOB"));
  }
  CHECK_THROWS_WITH(parse_source("x:" + at + "/none*"), Contains("no file matches") && Contains("none*"));
}
