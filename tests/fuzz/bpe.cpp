// Any merges and any text: what is encoded is what merging is by definition, and comes back as it was.
#include <cstdlib>

#include <tinygpt/data/tokenizer.hpp>

using namespace tinygpt;

namespace {

/// The lowest rank anywhere, of equal ones the leftmost, until there is none.
void merge_by_definition(const Tokenizer& tokenizer, std::string_view word, std::vector<std::int32_t>& out) {
  std::vector<std::int32_t> ids;
  for (const char c : word) ids.push_back(tokenizer.vocabulary().id_of_byte(c));
  const MergeTable& table = tokenizer.vocabulary().merge_table();
  for (;;) {
    std::size_t where = 0;
    std::int32_t best = MergeTable::none;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const std::int32_t rank = table.rank(ids[i], ids[i + 1]);
      if (rank < best) best = rank, where = i;
    }
    if (best == MergeTable::none) break;
    ids[where] = tokenizer.vocabulary().merges()[static_cast<std::size_t>(best)].merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
  out.insert(out.end(), ids.begin(), ids.end());
}

/// An encoder that has seen much, and so remembers words, gives what a new one gives.
void check_cached(std::string_view text) {
  static const Tokenizer tokenizer = [] {
    std::vector<std::string> tokens;
    for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
    for (const char* const token : {"th", "the", " the", "  ", "in", "ing", "00"}) tokens.emplace_back(token);
    const std::vector<Merge> merges{{'t', 'h', 256}, {256, 'e', 257}, {' ', 257, 258}, {' ', ' ', 259},
                                    {'i', 'n', 260}, {260, 'g', 261}, {'0', '0', 262}};
    return Tokenizer(tokens, merges, Pattern::gpt2, {});
  }();
  static Encoder encoder = [] {
    Encoder seen_much(tokenizer);
    std::vector<std::int32_t> ids;
    seen_much.encode(std::string(1 << 15, ' '), ids);
    return seen_much;
  }();
  std::vector<std::int32_t> ids;
  encoder.encode(text, ids);
  if (ids != tokenizer.encode(text) || tokenizer.decode(ids) != text) std::abort();
}

}  // namespace

/// The first byte chooses the pattern and how often the text is repeated, the second how many merges there are; each
/// merge takes three bytes: its two sides, and where in the list it goes. The rest is the text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  const auto next = [&]() -> std::size_t { return at < size ? data[at++] : 0; };
  const std::size_t choice = next(), wanted = next() % 64;
  const auto pattern = static_cast<Pattern>(choice % 3);
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  std::vector<Merge> merges;
  for (std::size_t i = 0; i < wanted; ++i) {
    // Of the newest tokens as often as of the bytes.
    const auto side = [&] {
      const std::size_t n = next();
      return static_cast<std::int32_t>(n % 2 == 0 || tokens.size() == 256 ? n : 256 + n / 2 % (tokens.size() - 256));
    };
    const std::int32_t left = side(), right = side();
    const std::string merged = tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
    const std::size_t place = next() % (merges.size() + 1);
    const auto same = [&](const Merge& m) { return m.left == left && m.right == right; };
    if (merged.size() > 200 || std::any_of(merges.begin(), merges.end(), same)) continue;
    const auto known = std::find(tokens.begin() + 256, tokens.end(), merged);
    const auto id = static_cast<std::int32_t>(known - tokens.begin());
    if (known == tokens.end()) tokens.push_back(merged);
    merges.insert(merges.begin() + static_cast<std::ptrdiff_t>(place), {left, right, id});
  }
  const Tokenizer tokenizer(std::move(tokens), std::move(merges), pattern, {});

  // Short enough for the definition, which takes quadratic time, and long enough for a long word.
  const std::string rest(reinterpret_cast<const char*>(data) + at, std::min<std::size_t>(size - at, 160));
  std::string text;
  for (std::size_t times = 0; times <= choice / 3 % 8 && text.size() + rest.size() <= 160; ++times) text += rest;
  const auto ids = tokenizer.encode(text);
  std::vector<std::int32_t> expected;
  if (tokenizer.decode(ids) != text) std::abort();
  for_each_word(pattern, text, [&](std::string_view word) { merge_by_definition(tokenizer, word, expected); });
  if (ids != expected) std::abort();
  check_cached(rest);
  return 0;
}
