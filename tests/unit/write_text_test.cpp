// Stop strings, callbacks, and generating from the weights that a trainer has.
#include <string>
#include <vector>

#include <tinygpt/tinygpt.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

using Model = GPT<Layers<1>, Embd<32>, Heads<2>, Ctx<16>, Vocab<256>>;

std::string sentence() {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "one two three four. ";
  return text;
}

/// The pieces that pass, each in brackets; with a star where the text was stopped.
std::string passed(std::vector<std::string> strings, const std::vector<std::string>& pieces) {
  StopText stop(std::move(strings));
  std::string out;
  for (const std::string& piece : pieces) out += "[" + stop.push(piece) + "]";
  return out + "[" + stop.finish() + "]" + (stop.stopped() ? "*" : "");
}

/// A model that has learned the sentence.
struct Learned {
  cpu::Context ctx;
  Trainer<Model> trainer{ctx, {.max_iters = 150, .batch_size = 8, .learning_rate = 1e-2, .warmup_iters = 10}};
  Learned() {
    const TokenStream data(Tokenizer::bytes().encode(sentence()));
    for (int i = 0; i < 150; ++i) trainer.step(data);
  }
};

template <class Context> std::vector<std::int32_t> tokens_of(Generator<Model, Context>& generator) {
  std::vector<std::int32_t> tokens;
  generator.generate(std::vector<std::int32_t>{'o', 'n'}, 20, {.temperature = 0},
                     [&](std::int32_t id) { tokens.push_back(id); });
  return tokens;
}

}  // namespace

TEST_CASE("without stop strings every piece passes at once") { CHECK(passed({}, {"a", "", "bc"}) == "[a][][bc][]"); }

TEST_CASE("a stop string ends the text, and neither it nor what follows is given out") {
  CHECK(passed({"."}, {"a", "b.c", "d"}) == "[a][b][][]*");
  CHECK(passed({"."}, {"."}) == "[][]*");
  CHECK(passed({"User:", "\n\n"}, {"a\nb", "\n\nUser:"}) == "[a\nb][][]*");
  CHECK(passed({"b", "ab"}, {"ab"}) == "[][]*");  // where it begins first
}

TEST_CASE("a stop string that is spread over pieces is found, and what only looked like one is given out later") {
  CHECK(passed({"stop"}, {"a s", "t", "op", "x"}) == "[a ][][][][]*");
  CHECK(passed({"stop"}, {"a s", "t", "ay"}) == "[a ][][stay][]");
  CHECK(passed({"stop"}, {"a sto"}) == "[a ][sto]");
  CHECK(passed({"aab"}, {"a", "a", "a", "b"}) == "[][][a][][]*");  // overlaps with itself
  CHECK(passed({"\xC3\xA9!"}, {"\xC3", "\xA9", "!"}) == "[][][][]*");
}

TEST_CASE("an empty stop string is refused") { CHECK_THROWS_AS(StopText({"a", ""}), Error); }

TEST_CASE("a text is written up to a stop string, in pieces and as a whole") {
  Learned model;
  Generator writer(model.ctx, model.trainer);
  const Tokenizer tokenizer = Tokenizer::bytes();
  const WriteOptions options{.max_new_tokens = 60, .sampling = {.temperature = 0}, .stop = {" four"}};
  std::string pieces;
  CHECK(write_text(writer, tokenizer, "one", options, [&](std::string_view piece) { pieces += piece; }) == pieces);
  CHECK(pieces == " two three");
  CHECK(write_text(writer, tokenizer, "one", options) == pieces);
  CHECK(write_text(writer, tokenizer, "one", {.max_new_tokens = 4, .sampling = {.temperature = 0}}) == " two");
  // What was held back for a stop string that did not come is part of the text.
  CHECK(write_text(writer, tokenizer, "one", {.max_new_tokens = 4, .sampling = {.temperature = 0}, .stop = {"o!"}}) ==
        " two");
  CHECK(write_text(writer, tokenizer, "one", {.max_new_tokens = 0}) == "");

  int calls = 0;
  CHECK(write_text(writer, tokenizer, "one", options, [&](std::string_view) { return ++calls < 3; }) ==
        " two");  // " t", "w", "o"
  CHECK(calls == 3);
  CHECK_THROWS_AS(write_text(writer, tokenizer, "", options), Error);
  CHECK_THROWS_AS(write_text(writer, Tokenizer::characters("abc"), "d", options), Error);
  CHECK_THROWS_AS(write_text(writer, tokenizer, "one", {.stop = {""}}), Error);
}

TEST_CASE("a callback may return nothing, a bool or what a bool can be made of") {
  Learned model;
  Generator<Model> writer(model.ctx, model.trainer.weights());
  const std::vector<std::int32_t> prompt{'o', 'n', 'e'};
  int nothing = 0, number = 0, pointer = 0, many = 0;
  writer.generate(prompt, 5, {}, [&](std::int32_t) { ++nothing; });
  writer.generate(prompt, 5, {}, [&](int) { return 2 - number++; });
  writer.generate(prompt, 5, {}, [&](std::int32_t) -> const int* { return ++pointer < 2 ? &pointer : nullptr; });
  const std::vector<std::vector<std::int32_t>> prompts{prompt, prompt};
  writer.generate(prompts, 5, {}, [&](std::size_t, std::int32_t) { ++many; });
  CHECK(nothing == 5);
  CHECK(number == 3);
  CHECK(pointer == 2);
  CHECK(many == 10);
}

TEST_CASE("in bf16 a generator has the rounded weights of a trainer, and follows its steps") {
  cpu::BasicContext<bfloat16> ctx;
  Trainer<Model, cpu::BasicContext<bfloat16>> trainer(
      ctx, {.max_iters = 40, .batch_size = 8, .learning_rate = 1e-2, .warmup_iters = 1});
  const TokenStream data(Tokenizer::bytes().encode(sentence()));
  Generator writer(ctx, trainer);
  std::vector<std::int32_t> before;
  for (int i = 0; i < 40; ++i) {
    trainer.step(data);
    if (i == 0) before = tokens_of(writer);
  }
  std::vector<bfloat16> rounded;
  for (const float w : trainer.weights()) rounded.emplace_back(w);
  CHECK(std::equal(rounded.begin(), rounded.end(), trainer.generation_weights().begin(),
                   trainer.generation_weights().end(),
                   [](bfloat16 a, bfloat16 b) { return static_cast<float>(a) == static_cast<float>(b); }));
  Generator<Model, cpu::BasicContext<bfloat16>> copied(ctx, rounded);
  CHECK(tokens_of(writer) == tokens_of(copied));
  CHECK(tokens_of(writer) != before);

  trainer.submit(data);
  CHECK_THROWS_AS(trainer.generation_weights(), Error);  // they change meanwhile
  trainer.report();
}

TEST_CASE("without the type of a context, trainers and generators are for the cpu") {
  static_assert(std::is_same_v<Trainer<Model>, Trainer<Model, cpu::Context>>);
  static_assert(std::is_same_v<Generator<Model>, Generator<Model, cpu::Context>>);
}
