// Whichever allocation fails, what was asked for ends in std::bad_alloc or an Error: nothing leaks, nothing is torn.
#include <catch.hpp>

#include <functional>

#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/exchange/gguf_import.hpp>
#include <tinygpt/exchange/llmc.hpp>
#include <tinygpt/io/model_file.hpp>
#include <tinygpt/prepare/document.hpp>

#include <counted_memory.hpp>
#include <scratch.hpp>

using namespace tinygpt;

namespace {

/// Runs `work` with the first allocation failing, then the second, and so on, until it needs no more than may succeed
/// or 2,000 have failed.
void with_every_allocation_failing(const char* name, const std::function<void()>& work) {
  work();  // what is made once and kept, such as tables and locales
  std::int64_t failed = 0, leaked = 0, needed = -1;
  for (std::int64_t n = 0; n < 2000 && needed < 0 && leaked == 0; ++n) {
    const std::int64_t before = CountedMemory::live();
    bool ended_well = false;
    CountedMemory::fail_after(n);
    try {
      work();
      ended_well = true;
    } catch (const std::bad_alloc&) {
    } catch (const Error&) {
    }
    const bool has_failed = CountedMemory::never_fail();
    leaked = CountedMemory::live() - before;
    failed += has_failed ? 1 : 0;
    if (ended_well && !has_failed) needed = n;
  }
  CAPTURE(name, failed, needed);
  CHECK(leaked == 0);
  CHECK(failed > 0);
}

/// A tokenizer of all bytes and two merges.
Tokenizer small_tokenizer() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  for (const char* const token : {"th", "the"}) tokens.emplace_back(token);
  return Tokenizer(tokens, {{'t', 'h', 256}, {256, 'e', 257}}, Pattern::gpt2, {});
}

/// A seed of a fuzz target.
std::filesystem::path seed(const char* name) {
  return std::filesystem::path(TINYGPT_SOURCE_DIR) / "tests/fuzz/corpus" / name;
}

}  // namespace

TEST_CASE("whichever allocation fails, texts and configs are read or refused cleanly") {
  with_every_allocation_failing("model config", [] {
    parse_model_file(R"({"n_layer": 2, "n_embd": 64, "n_head": 2, "block_size": 32, "vocab_size": 256, "batch_size": 4,
                         "dropout": 0.1, "bias": false, "n_hed": 3, "n_layer": 2})");
  });
  with_every_allocation_failing("tokenizer", [] {
    const Tokenizer tokenizer = small_tokenizer();
    if (tokenizer.decode(tokenizer.encode("the thing")) != "the thing") throw std::logic_error("another text");
  });
  with_every_allocation_failing("rows", [] {
    prepare::Chunk chunk;
    chunk.text = "{\"text\": \"one \\u00e9\"}\n{\"text\": 2}\n{\"other\": [1, {\"a\": \"b\"}], \"text\": \"two\"}\n";
    prepare::for_each_document(
        chunk, prepare::Layout::jsonl, "", "text", [](const prepare::Document&) {}, [](const prepare::BadRow&) {});
  });
}

// The readers of JSON trees are not here: the library's destructor, which may not fail, allocates (docs/limits.md).
TEST_CASE("whichever allocation fails, model files are read or refused cleanly") {
  const ScratchDirectory scratch;
  for (const char* const name : {"gguf/gpt2", "gguf/llama", "gguf/llama_q4", "gguf/qwen3"}) {
    with_every_allocation_failing(name, [&] { read_gguf(seed(name)); });
  }
  for (const char* const name : {"llmc/bf16", "llmc/float32"}) {
    with_every_allocation_failing(name, [&] { read_llmc(seed(name)); });
  }
  const std::string shard = read_small_file(seed("shard/llmc")).substr(1);
  const auto file = scratch.file("train.bin", shard);
  with_every_allocation_failing("shard", [&] { TokenShard::open(file).validate(50257, [](auto) {}); });
}
