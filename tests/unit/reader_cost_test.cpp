// What readers cost: twice the input must not take much more than twice the work. Work is counted, not timed, wherever
// it can be: a slow machine fails nothing.
#include <catch.hpp>
#include <counted_memory.hpp>

#include <time.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>
#include <string>

#include <scratch.hpp>
#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/io/dataset.hpp>
#include <tinygpt/io/located_json.hpp>
#include <tinygpt/io/model_file.hpp>
#include <tinygpt/io/safetensors.hpp>
#include <tinygpt/io/size_check.hpp>
#include <tinygpt/io/tokenizer_json.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

/// Processor time of this thread, which other programs do not add to: the least of several runs.
template <class Body> double seconds_of(Body&& body) {
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto now = [] {
      timespec t{};
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
      return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    };
    const double begun = now();
    body();
    least = std::min(least, now() - begun);
  }
  return least;
}

/// Four times the input may take ten times the time, and two and a half times the memory for each doubling. What is
/// quadratic takes sixteen times.
template <class Make, class Read> void expect_linear(int n, Make&& make, Read&& read) {
  const auto small = make(n), large = make(4 * n);
  const double time = seconds_of([&] { read(small); }), longer = seconds_of([&] { read(large); });
  CAPTURE(n, time, longer);
  CHECK(longer <= 10 * time + 0.01);
  const auto memory = peak_bytes_of([&] { read(small); }), more = peak_bytes_of([&] { read(large); });
  CAPTURE(memory, more);
  CHECK(more <= 6.25 * static_cast<double>(memory) + 1e6);
}

std::string objects_in_an_object(int n) {
  std::string text = "{";
  for (int i = 0; i < n; ++i) {
    text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  return text + "}";
}

std::string flat_config(int n) {
  std::string text = "{\n";
  for (int i = 0; i < n; ++i) text += "\"comment" + std::to_string(i) + "\": 1,\n";
  return text + "\"n_layer\": 2}";
}

}  // namespace

TEST_CASE("JSON is parsed in linear time and memory, however its objects lie in each other") {
  expect_linear(4000, objects_in_an_object, [](const std::string& text) { parse_json(text, "file.json"); });
  const auto in_list = [](int n) {
    std::string text = "{\"list\":[{}";
    for (int i = 0; i < n; ++i) text += R"(,{"a":{"b":[1,{"c":"d"}]}})";
    return text + "]}";
  };
  expect_linear(4000, in_list, [](const std::string& text) { parse_json(text, "file.json"); });
}

TEST_CASE("the header of a safetensors file is read in linear time and memory") {
  expect_linear(4000, objects_in_an_object,
                [](const std::string& text) { safetensors::parse_header(text, 0, "model.safetensors"); });
}

TEST_CASE("dataset.json is read in linear time and memory, however many files it names") {
  const auto make = [](int n) {
    Json inputs = Json::array(), shards = Json::array();
    for (int i = 0; i < n; ++i) {
      inputs.push_back({{"path", "texts/" + std::to_string(i)}, {"bytes", 1}, {"fingerprint", "xxh128:0"}});
      shards.push_back({{"file", "train_" + std::to_string(i) + ".bin"}, {"tokens", 1}, {"crc32c", "00000000"}});
    }
    const Json none = {{"tokens", 0}, {"documents", 0}, {"shards", Json::array()}};
    return json_text({{"format", "tinygpt-dataset"},
                      {"format_version", 1},
                      {"tokenizer", {{"size", 256}, {"hash", "x"}}},
                      {"splits", {{"train", {{"tokens", n}, {"documents", n}, {"shards", shards}}}, {"val", none}}},
                      {"sources", {{{"name", "a"}, {"inputs", inputs}}}}});
  };
  expect_linear(2000, make, [](const std::string& text) {
    dataset::prepared("directory", parse_json(text, "directory/dataset.json"));
  });
}

TEST_CASE("a config that a person wrote is read in linear time and memory") {
  expect_linear(4000, flat_config, [](const std::string& text) { parse_located(text); });
}

TEST_CASE("tokenizer.json is read in linear time and memory") {
  const auto make = [](int n) {
    std::string vocab, merges;
    const std::string letters = "abcdefghijklmnopqrstuvwxyz";
    int id = 0;
    const auto add = [&](const std::string& token) {
      vocab += (id == 0 ? "\"" : ",\"") + token + "\":" + std::to_string(id);
      ++id;
    };
    for (const char c : letters) add(std::string(1, c));
    for (int level = 0; level < 3 && id < n; ++level) {
      // aa, ab, ...; then aaa, aab, ...: every token is one of those before and a letter.
      std::vector<std::string> words{""};
      for (int i = 0; i < level + 1; ++i) {
        std::vector<std::string> longer;
        for (const auto& word : words)
          for (const char c : letters) longer.push_back(word + c);
        words = std::move(longer);
      }
      for (const auto& word : words) {
        for (const char c : letters) {
          if (id >= n) break;
          merges += (merges.empty() ? "\"" : ",\"") + word + " " + c + "\"";
          add(word + c);
        }
      }
    }
    return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,)"
           R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},)"
           R"("post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,)"
           R"("use_regex":true},"model":{"type":"BPE","dropout":null,"unk_token":null,)"
           R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"vocab":{)" +
           vocab + "},\"merges\":[" + merges + "]}}";
  };
  expect_linear(4000, make, [](const std::string& text) {
    CHECK(tokenizer_from_json(parse_json(text, "tokenizer.json"), "tokenizer.json").size() >= 4000);
  });
}

TEST_CASE("JSON keeps its checks: keys, depth, UTF-8 and numbers, each with its place") {
  const auto refused = [](const std::string& text, const std::string& sentence) {
    INFO(text.substr(0, 60));
    CHECK_THROWS_WITH(parse_json(text, "f.json"), Contains(sentence));
  };
  refused(R"({"a":{"b":1,"b":2}})", "has the key 'b' twice");
  refused(R"({"a":[{"b":1},{"b":1,"\u0062":2}]})", "has the key 'b' twice");
  refused(R"({"a":1e400})", "holds a number '1e400' that is out of range");
  refused(R"({"a":-1e999})", "out of range");
  refused(R"({"a":1] )", "not JSON at byte 7");
  refused("", "not JSON at byte 1");
  refused("[]", "not an object");
  refused("{\"a\":\"\xFF\"}", "not UTF-8 at byte 6");
  refused("{\"a\":" + std::string(32, '[') + std::string(32, ']') + "}", "nested too deeply at byte 36");
  const Json json = parse_json(
      "{\"a\":" + std::string(31, '[') + std::string(31, ']') + R"(,"b":{"x":[1,-2,2.5,true,null,"é"]},"c":{}})",
      "f.json");
  CHECK(json["b"]["x"].dump() == "[1,-2,2.5,true,null,\"é\"]");
  CHECK(json["c"].is_object());
  CHECK(json.size() == 3);
}

TEST_CASE("lines of a config are those of its keys, also far down") {
  const LocatedObject object = parse_located(flat_config(1000));
  REQUIRE(object.members.size() == 1001);
  for (int i = 0; i < 1000; ++i) CHECK(object.members[static_cast<std::size_t>(i)].line == i + 2);
  CHECK(object.last_line == 1002);
}

TEST_CASE("names that are not UTF-8 become text that can be told back") {
  CHECK(bytes_text("plain/na\xC3\xAFve.txt") == "plain/na\xC3\xAFve.txt");
  CHECK(bytes_text("caf\xE9.txt") == "caf\\xE9.txt");
  CHECK(bytes_text("\xC3") == "\\xC3");
  CHECK(bytes_text("caf\\xE9.txt") == "caf\\x5CxE9.txt");
}

TEST_CASE("the nearest divisors of a large number take no long search") {
  using size_check::nearest_divisors;
  CHECK(nearest_divisors(2, 2147483647) == "1 or 2147483647");  // a prime number
  CHECK(nearest_divisors(5, 12) == "4 or 6");
  CHECK(nearest_divisors(4, 12) == "4");
  CHECK(nearest_divisors(100, 12) == "12");
  CHECK(size_check::nearest_multiples(2147483647, 2) == "2147483646 or 2147483648");
  Config c;
  c.embd = 2147483647;
  c.query_heads = 1;
  CHECK(completed(c).ffn == 2147483647);
  std::string fields;
  c.query_heads = 2147483647, c.kv_heads = 2, c.head_dim = 2147483647, c.positions = rope;
  check_sizes(c, [&](const std::string& field, const std::string&, const std::string&) { fields += field + " "; });
  CHECK(fields == "head_dim n_kv_head head_dim ");
}

TEST_CASE("a word of any length gives the same tokens in pieces, with a memory that does not grow with it") {
  std::mt19937 random(5);
  // Merges that were learned from nothing: any two tokens, of which long ones come about.
  std::vector<std::string> tokens;
  std::vector<Merge> merges;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  std::set<std::string> there(tokens.begin(), tokens.end());
  const auto add = [&](std::int32_t left, std::int32_t right) {
    const std::string text = tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
    if (text.size() > 40 || !there.insert(text).second) return;
    merges.push_back({left, right, static_cast<std::int32_t>(tokens.size())});
    tokens.push_back(text);
  };
  for (int i = 0; i < 6; ++i) add('a' + i % 2, 'a' + i / 2 % 2);
  for (int i = 0; i < 300; ++i) {
    const auto pick = [&] {
      const auto n = static_cast<std::int32_t>(tokens.size());
      const auto k = static_cast<std::int32_t>(random() % static_cast<unsigned>(n - 256 + 3));
      return k < 3 ? 'a' + k : 256 + k - 3;
    };
    add(pick(), pick());
  }
  auto in_any_order = merges;  // a rank need not be above those of the parts
  std::shuffle(in_any_order.begin(), in_any_order.end(), random);
  const Vocabulary vocabulary(tokens, merges, Pattern::none, {}, WholeWords::merged),
      shuffled(tokens, in_any_order, Pattern::none, {}, WholeWords::merged);
  for (const int letters : {1, 2, 3, -1, -2, -3}) {
    WordMerger merger(letters < 0 ? shuffled : vocabulary);
    for (const std::size_t size : {std::size_t{10}, std::size_t{1000}, std::size_t{20'001}}) {
      for (const std::size_t piece : {std::size_t{16}, std::size_t{100}, std::size_t{777}}) {
        std::string word(size, 'a');
        for (char& c : word) c = static_cast<char>('a' + random() % static_cast<unsigned>(std::abs(letters)));
        std::vector<std::int32_t> whole, joined;
        merger.merge(word, whole);
        merger.merge_in_pieces(
            word, [&](std::span<const std::int32_t> ids) { joined.insert(joined.end(), ids.begin(), ids.end()); },
            piece);
        CAPTURE(letters, size, piece);
        CHECK(joined == whole);
      }
    }
  }
  const auto peak = [&](std::size_t size) {
    const std::string word(size, 'a');
    return peak_bytes_of([&] {
      std::size_t count = 0;
      WordMerger fresh(vocabulary);
      fresh.merge_in_pieces(word, [&](std::span<const std::int32_t> ids) { count += ids.size(); });
      CHECK(count > 0);
    });
  };
  CHECK(peak(8 << 20) <= peak(2 << 20) + (1 << 20));
}
