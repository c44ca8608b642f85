// Encoding and assembling: the same dataset however often it was stopped and however many threads there are.
#include <catch.hpp>

#include <fstream>
#include <map>
#include <random>
#include <set>

#include <tinygpt/prepare/assemble_sources.hpp>

#include "inputs.hpp"

using namespace tinygpt;
using namespace tinygpt::prepare;
using Catch::Matchers::Contains;

namespace {

const auto quiet = [](const auto&) {};
const auto never = [] { return false; };

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Every file of a directory with its bytes.
std::map<std::string, std::string> contents(const std::filesystem::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    files[entry.path().filename().string()] = bytes_of(entry.path());
  }
  return files;
}

std::string rows_of(const std::vector<std::string>& texts) {
  std::string rows;
  for (const std::string& text : texts) rows += Json{{"text", text}}.dump() + "\n";
  return rows;
}

std::vector<std::string> some_texts(int count, unsigned seed, std::size_t longest = 800) {
  std::mt19937 random(seed);
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) {
    texts.push_back(std::to_string(seed) + "/" + std::to_string(i) + " " +
                    random_lines(random() % longest, static_cast<unsigned>(random())));
  }
  return texts;
}

/// Bytes with an end-of-text token, so that documents can be told apart again.
Tokenizer bytes_and_end() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.emplace_back();
  return Tokenizer(tokens, {}, Pattern::none, {{"<|endoftext|>", 256}});
}

/// A scratch directory in which datasets are made.
struct Workshop {
  ScratchDirectory scratch;
  Tokenizer tokenizer = bytes_and_end();
  Job job;
  AssembleOptions options;

  Report make(const std::string& out, const Json* before = nullptr) {
    const auto work = scratch.path / ("work-" + out);
    std::filesystem::remove_all(work);
    std::filesystem::create_directory(work);
    Encoding encoding(work, job, tokenizer);
    const bool whole = encoding.run(quiet, never);
    REQUIRE(whole);
    return assemble_sources(scratch.path / out, before, job, encoding, tokenizer, options, [](std::int64_t) {});
  }

  Json dataset(const std::string& out) const { return Json::parse(bytes_of(scratch.path / out / "dataset.json")); }

  std::vector<std::int32_t> tokens(const std::string& out, const char* split) const {
    std::vector<std::int32_t> all;
    const Json json = dataset(out);
    for (const Json& info : json["splits"][split]["shards"]) {
      const auto path = scratch.path / out / info["file"].get<std::string>();
      const TokenShard shard = TokenShard::open(path);
      CHECK(shard.size() == info["tokens"]);
      Crc32c crc;
      const std::string bytes = bytes_of(path);
      crc.update(std::as_bytes(std::span(bytes)));
      CHECK(crc_text(crc.value()) == info["crc32c"]);
      std::vector<std::int32_t> some(static_cast<std::size_t>(shard.size()));
      shard.read(0, some);
      all.insert(all.end(), some.begin(), some.end());
    }
    CHECK(json["splits"][split]["tokens"] == all.size());
    return all;
  }

  /// Decoded, parted at the end-of-text tokens.
  std::vector<std::string> documents(const std::string& out, const char* split) const {
    std::vector<std::string> documents(1);
    for (const std::int32_t id : tokens(out, split)) {
      if (id == 256)
        documents.emplace_back();
      else
        documents.back() += tokenizer.decode(id);
    }
    CHECK(documents.back().empty());
    documents.pop_back();
    return documents;
  }
};

}  // namespace

TEST_CASE("every document is in the dataset once, whole, and in one split only") {
  Workshop w;
  const auto a = some_texts(3000, 1), b = some_texts(500, 2, 4000);
  w.job.sources = {source_of("a", {w.scratch.file("a.jsonl.gz", gzip_of(rows_of(a)))}),
                   source_of("b", {w.scratch.file("b.jsonl", rows_of(b))})};
  w.options.shard_tokens = 100'000;
  w.options.val_fraction = 0.1;
  const Report report = w.make("set");
  const auto train = w.documents("set", "train"), val = w.documents("set", "val");
  std::multiset<std::string> expected(a.begin(), a.end()), found(train.begin(), train.end());
  expected.insert(b.begin(), b.end());
  found.insert(val.begin(), val.end());
  CHECK(found == expected);
  CHECK(w.dataset("set")["splits"]["train"]["shards"].size() > 5);
  CHECK(w.dataset("set")["splits"]["train"]["documents"] == train.size());
  CHECK(w.dataset("set")["tokenizer"]["hash"] == hash_text(w.tokenizer.hash()));
  for (const SourceReport& source : report.sources) {
    const double part = static_cast<double>(source.validation) / static_cast<double>(source.given + source.validation);
    CHECK(part == Approx(0.1).margin(0.005));
  }
  CHECK(report.train_tokens == static_cast<std::int64_t>(w.tokens("set", "train").size()));
}

TEST_CASE("the dataset does not depend on the number of threads") {
  Workshop w;
  w.job.sources = {source_of("a", {w.scratch.file("a.txt", random_lines(6'000'000, 3))}),
                   source_of("b", {w.scratch.file("b.jsonl", rows_of(some_texts(2000, 4)))})};
  w.make("one");
  w.job.threads = 5;
  w.make("five");
  CHECK(contents(w.scratch.path / "one") == contents(w.scratch.path / "five"));
}

TEST_CASE("a long text keeps its order, and its parts are divided among the splits") {
  Workshop w;
  const std::string text = random_lines(900'000, 5);
  w.job.sources = {source_of("a", {w.scratch.file("a.txt", text)})};
  w.make("set");
  const auto train = w.documents("set", "train"), val = w.documents("set", "val");
  CHECK(!val.empty());
  std::size_t at = 0, bytes = 0;
  for (const std::string& document : train) {
    const std::size_t here = text.find(document, at);
    REQUIRE(here != std::string::npos);
    at = here + document.size();
    bytes += document.size();
  }
  for (const std::string& document : val) {
    CHECK(text.find(document) != std::string::npos);
    bytes += document.size();
  }
  CHECK(bytes == text.size());
}

TEST_CASE("a run that is stopped anywhere goes on to the same dataset") {
  Workshop w;
  w.job.sources = {source_of("a", {w.scratch.file("a.txt", random_lines(5'500'000, 3))}),
                   source_of("b", {w.scratch.file("b.txt.zst", zstd_of(random_lines(3'200'000, 4)))})};
  w.job.threads = 2;
  w.make("straight");
  for (const int first : {0, 1, 3, 7}) {
    CAPTURE(first);
    const auto work = w.scratch.path / ("stopped-" + std::to_string(first));
    std::filesystem::create_directory(work);
    for (int stops = 0, more = first;; ++stops, more += 2) {
      REQUIRE(stops < 20);
      Encoding encoding(work, w.job, w.tokenizer);
      int left = more;
      if (!encoding.run(quiet, [&] { return left-- <= 0; })) continue;
      CHECK(stops > 0);
      const std::string out = "resumed-" + std::to_string(first);
      assemble_sources(w.scratch.path / out, nullptr, w.job, encoding, w.tokenizer, w.options, [](std::int64_t) {});
      CHECK(contents(w.scratch.path / out) == contents(w.scratch.path / "straight"));
      break;
    }
  }
}

TEST_CASE("a source that changed while a run was stopped is encoded anew") {
  Workshop w;
  const std::string text = random_lines(4'000'000, 3);
  w.job.sources = {source_of("a", {w.scratch.file("a.txt", text)})};
  const auto work = w.scratch.path / "work";
  std::filesystem::create_directory(work);
  {
    Encoding encoding(work, w.job, w.tokenizer);
    int left = 2;
    CHECK_FALSE(encoding.run(quiet, [&] { return left-- <= 0; }));
  }
  std::string other = text;
  other[10] = '#';
  w.scratch.file("a.txt", other);
  Encoding encoding(work, w.job, w.tokenizer);
  CHECK(encoding.chunks_known() > 0);
  REQUIRE(encoding.run(quiet, never));
  assemble_sources(w.scratch.path / "resumed", nullptr, w.job, encoding, w.tokenizer, w.options, [](std::int64_t) {});
  w.make("straight");
  CHECK(contents(w.scratch.path / "resumed") == contents(w.scratch.path / "straight"));
  SECTION("and so is one whose progress cannot be read") {
    w.scratch.file("work/progress.json", "{\"job\": 7");
    CHECK(Encoding(work, w.job, w.tokenizer).chunks_known() == 0);
  }
  SECTION("and one with other options") {
    Job job = w.job;
    job.filters.lowercase = true;
    CHECK(Encoding(work, job, w.tokenizer).chunks_known() == 0);
  }
}

TEST_CASE("a bad row stops the run by its number, or is counted") {
  Workshop w;
  std::string rows = rows_of(some_texts(3000, 1));
  std::size_t at = 0;
  for (int line = 1; line < 777; ++line) at = rows.find('\n', at) + 1;
  rows[at] = '[';
  w.job.sources = {source_of("a", {w.scratch.file("a.jsonl", rows)})};
  CHECK_THROWS_WITH(w.make("set"), Contains("a.jsonl:777: ") && Contains("--skip-bad"));
  CHECK_FALSE(std::filesystem::exists(w.scratch.path / "set"));
  w.job.skip_bad = true;
  const Report report = w.make("set");
  CHECK(report.sources[0].counts.bad == 1);
  CHECK(report.sources[0].counts.documents == 2999);
}

TEST_CASE("documents that are there already are left out, also of another source, and counted") {
  Workshop w;
  const auto a = some_texts(600, 1), b = some_texts(300, 2);
  std::vector<std::string> twice = a;
  twice.insert(twice.end(), a.begin(), a.begin() + 100);
  std::vector<std::string> both = b;
  both.insert(both.end(), a.begin(), a.begin() + 50);
  w.job.sources = {source_of("a", {w.scratch.file("a.jsonl", rows_of(twice))}),
                   source_of("b", {w.scratch.file("b.jsonl", rows_of(both))})};
  w.options.deduplicate = true;
  const Report report = w.make("set");
  CHECK(report.sources[0].duplicates == 100);
  CHECK(report.sources[1].duplicates == 50);
  const auto train = w.documents("set", "train"), val = w.documents("set", "val");
  std::set<std::string> found(train.begin(), train.end());
  found.insert(val.begin(), val.end());
  CHECK(found.size() == train.size() + val.size());
  CHECK(found.size() == 900);
}

TEST_CASE("without --deduplicate a text that comes twice is still in one split only") {
  Workshop w;
  const auto a = some_texts(400, 1);
  w.job.sources = {source_of("a", {w.scratch.file("a.jsonl", rows_of(a))}),
                   source_of("b", {w.scratch.file("b.jsonl", rows_of({a.begin(), a.begin() + 40}))})};
  w.options.val_fraction = 0.3;
  w.make("set");
  const auto train = w.documents("set", "train"), val = w.documents("set", "val");
  CHECK(train.size() + val.size() == 440);
  const std::set<std::string> trained(train.begin(), train.end());
  for (const std::string& document : val) CHECK(trained.count(document) == 0);
}

TEST_CASE("a small corpus is trained on, and gives validation if it has two texts") {
  Workshop w;
  SECTION("one document") {
    w.job.sources = {source_of("a", {w.scratch.file("a.txt", "x")})};
    w.make("set");
    CHECK(w.documents("set", "train") == std::vector<std::string>{"x"});
    CHECK(w.documents("set", "val").empty());
  }
  SECTION("two documents") {
    w.job.sources = {source_of("a", {w.scratch.file("a.jsonl", rows_of({"one", "two"}))})};
    w.make("set");
    CHECK(w.documents("set", "train").size() == 1);
    CHECK(w.documents("set", "val").size() == 1);
  }
  SECTION("nothing") {
    w.job.sources = {source_of("a", {w.scratch.file("a.txt", "")})};
    CHECK_THROWS_WITH(w.make("set"), Contains("nothing is left to train on"));
  }
}

TEST_CASE("weights mix, and a source that is too small can be repeated") {
  Workshop w;
  w.job.sources = {source_of("big", {w.scratch.file("a.jsonl", rows_of(some_texts(3000, 1)))}),
                   source_of("small", {w.scratch.file("b.jsonl", rows_of(some_texts(300, 2)))})};
  w.job.sources[0].weight = 2;
  w.job.sources[1].weight = 1;
  const Report once = w.make("once");
  CHECK(once.sources[1].given == once.sources[1].train.available);
  CHECK(once.sources[0].given == Approx(2 * once.sources[1].given).epsilon(0.01));
  w.options.mixture.repeat = true;
  w.options.mixture.max_repeat = 3;
  const Report repeated = w.make("repeated");
  CHECK(repeated.sources[1].given == Approx(3 * repeated.sources[1].train.available).epsilon(0.01));
  CHECK(repeated.sources[0].given == Approx(2 * repeated.sources[1].given).epsilon(0.01));
  // At any place of the dataset there is as much of each as was asked for.
  const auto documents = w.documents("repeated", "train");
  double small = 0, all = 0;
  for (std::size_t i = 0; i < documents.size() / 4; ++i) {
    all += static_cast<double>(documents[i].size());
    if (documents[i].starts_with("2/")) small += static_cast<double>(documents[i].size());
  }
  CHECK(small / all == Approx(1.0 / 3).margin(0.03));
}

TEST_CASE("append keeps what is there, and never trains on what validates or the other way round") {
  Workshop w;
  const auto a = some_texts(500, 1), b = some_texts(400, 2);
  w.job.sources = {source_of("a", {w.scratch.file("a.jsonl", rows_of(a))})};
  w.options.val_fraction = 0.1;
  w.options.deduplicate = true;
  w.make("set");
  const Json before = w.dataset("set");
  const auto train_before = w.tokens("set", "train");
  const auto inode = [&] {
    struct stat status {};
    ::stat((w.scratch.path / "set" / "train_000000.bin").c_str(), &status);
    return status.st_ino;
  };
  const auto old_inode = inode();
  std::vector<std::string> more = b;
  more.insert(more.end(), a.begin(), a.begin() + 200);
  std::shuffle(more.begin(), more.end(), std::mt19937(1));
  w.job.sources = {source_of("b", {w.scratch.file("b.jsonl", rows_of(more))})};
  w.options.val_fraction = 0.5;  // far more than before
  SECTION("with duplicates left out") {
    const Report report = w.make("set", &before);
    CHECK(report.sources[0].duplicates == 200);
    CHECK(w.documents("set", "train").size() + w.documents("set", "val").size() == 900);
  }
  SECTION("with duplicates") {
    w.options.deduplicate = false;
    w.make("set", &before);
    CHECK(w.documents("set", "train").size() + w.documents("set", "val").size() == 1100);
  }
  const auto train = w.documents("set", "train"), val = w.documents("set", "val");
  const std::set<std::string> trained(train.begin(), train.end());
  for (const std::string& document : val) CHECK(trained.count(document) == 0);
  CHECK(inode() == old_inode);
  auto after = w.tokens("set", "train");
  after.resize(train_before.size());
  CHECK(after == train_before);
  CHECK(w.dataset("set")["sources"].size() == 2);
  CHECK(DocumentList::of(w.scratch.path / "set")->count == static_cast<std::int64_t>(train.size() + val.size()));
}

TEST_CASE("a vocabulary above 65,536 is written in 32 bits") {
  Workshop w;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  while (tokens.size() < 70'000) tokens.push_back("-" + std::to_string(tokens.size()));
  tokens.emplace_back();
  w.tokenizer = Tokenizer(tokens, {}, Pattern::none, {{"<|endoftext|>", 70'000}});
  w.job.sources = {source_of("a", {w.scratch.file("a.txt", random_lines(50'000, 1))})};
  w.make("set");
  CHECK(TokenShard::open(w.scratch.path / "set" / "train_000000.bin").format() == ShardFormat::llmc_uint32);
  CHECK(w.tokens("set", "train").back() == 70'000);
}

TEST_CASE("documents.bin that is not what it should be is refused") {
  const ScratchDirectory scratch;
  CHECK_FALSE(DocumentList::of(scratch.path).has_value());
  for (const unsigned bytes : {0u, 1u, 31u, 33u, 64u}) {
    scratch.file("documents.bin", std::string(bytes, 'x'));
    CHECK_THROWS_AS(DocumentList::of(scratch.path), DamagedFile);
  }
}
