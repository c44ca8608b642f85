// A prompt and its continuation as text: a tokenizer, a generator and stop strings joined.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tinygpt/data/tokenizer.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/generate/stop_text.hpp>

namespace tinygpt {

struct WriteOptions {
  int max_new_tokens = 500;
  SampleOptions sampling{};         ///< with `vocab` 0, only ids of the tokenizer are taken
  std::vector<std::string> stop{};  ///< the text ends before the first of these
};

/// Continues `prompt`, calls emit(piece) with each piece of the text as it comes (a std::string_view of whole
/// characters), and returns all of them joined. The text ends after max_new_tokens, at the token that ends a document,
/// before a stop string, or when emit returns false. An empty prompt begins a document, where the tokenizer has a token
/// that ends one. Bytes that are not UTF-8 are replaced by U+FFFD.
///
/// Throws an Error where the prompt holds a character that the tokenizer does not know, where it is empty and must not
/// be, where a stop string is empty, and where the tokenizer has more tokens than the model.
template <Architecture M, class Context, class Emit>
std::string write_text(Generator<M, Context>& generator, const Tokenizer& tokenizer, std::string_view prompt,
                       const WriteOptions& options, Emit&& emit) {
  constexpr bool takes_text = EmitCallback<Emit, std::string_view>;
  if constexpr (config::stage<rule::callback_takes_text<takes_text, Emit>>()) {
    expect_room(tokenizer, M::config.vocab);
    const auto end = tokenizer.end_of_text();
    if (prompt.empty() && !end) throw Error("the prompt is empty: give at least one character");
    const auto ids = prompt.empty() ? std::vector<std::int32_t>{*end} : tokenizer.encode(prompt);
    SampleOptions sampling = options.sampling;
    if (sampling.vocab == 0) sampling.vocab = tokenizer.size();

    Utf8Stream characters(Controls::keep);
    StopText stop(options.stop);
    std::string text;
    const auto pass = [&](const std::string& piece) {
      text += piece;
      return piece.empty() || wants_more(emit, std::string_view(piece));
    };
    bool more = true;
    generator.generate(ids, options.max_new_tokens, sampling, [&](std::int32_t id) {
      if (id == end) return false;
      more = pass(stop.push(characters.push(tokenizer.decode(id)))) && !stop.stopped();
      return more;
    });
    if (more) more = pass(stop.push(characters.finish())) && !stop.stopped();
    if (more) pass(stop.finish());
    return text;
  } else {
    return {};
  }
}

/// The same, as a whole.
template <Architecture M, class Context>
std::string write_text(Generator<M, Context>& generator, const Tokenizer& tokenizer, std::string_view prompt,
                       const WriteOptions& options = {}) {
  return write_text(generator, tokenizer, prompt, options, [](std::string_view) {});
}

}  // namespace tinygpt
