// Flags of the command line: parsed with their ranges, and every mistake is one sentence.
#pragma once

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/help.hpp>
#include <tinygpt/data/utf8.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/nearest_word.hpp>
#include <tinygpt/macros.hpp>

namespace tinygpt::cli {

/// What a number must be: in words, and as a question.
template <class N> struct Range {
  const char* words;
  bool (*holds)(N);
};

inline constexpr Range<int> positive_int{"a whole number from 1 to 1000000",
                                         [](int n) { return n >= 1 && n <= 1'000'000; }};
inline constexpr Range<std::int64_t> positive{"a whole number of 1 or more", [](std::int64_t n) { return n >= 1; }};
inline constexpr Range<std::int64_t> zero_or_more{"a whole number of 0 or more", [](std::int64_t n) { return n >= 0; }};
inline constexpr Range<int> zero_or_more_int{"a whole number from 0 to 1000000",
                                             [](int n) { return n >= 0 && n <= 1'000'000; }};
inline constexpr Range<std::uint64_t> any_seed{"a whole number of 0 or more", [](std::uint64_t) { return true; }};
inline constexpr Range<double> above_zero{"a number above 0", [](double x) { return x > 0 && x <= 1e30; }};
inline constexpr Range<double> not_negative{"a number of 0 or more", [](double x) { return x >= 0 && x <= 1e30; }};
inline constexpr Range<double> below_one{"a number from 0 to below 1", [](double x) { return x >= 0 && x < 1; }};
inline constexpr Range<double> fraction{"a number above 0 and at most 1", [](double x) { return x > 0 && x <= 1; }};

template <class N> N parse_number(std::string_view flag, std::string_view text, const Range<N>& range) {
  N value{};
  const char* const end = text.data() + text.size();
  const auto [at, fault] = std::from_chars(text.data(), end, value);
  if (text.empty() || at != end || fault != std::errc{} || !range.holds(value)) {
    throw UsageError(std::string(flag) + " must be " + range.words + ", not '" + printable(text) + "': see --help");
  }
  return value;
}

/// Adds a flag with a number. `shown` is its default as --help prints it.
template <class N>
void add_number(CLI::App& app, const char* flag, const std::string& help, const std::string& shown,
                const Range<N>& range, std::function<void(N)> set) {
  const auto parse = [=](const std::string& text) { set(parse_number<N>(flag, text, range)); };
  const char* const type = std::is_integral_v<N> ? "N" : "X";
  app.add_option_function<std::string>(flag, parse, help + " (default " + shown + ")")->type_name(type)->take_last();
}

/// Adds a flag with one of some words. `shown` is its default as --help prints it.
template <class Kind, std::size_t N>
void add_choice(CLI::App& app, const char* flag, const std::string& help, const std::string& shown,
                const config_text::Words<Kind, N>& words, std::function<void(Kind)> set) {
  const auto parse = [=, &words](const std::string& text) {
    const auto kind = config_text::kind_of(words, text);
    if (!kind) {
      throw UsageError(std::string(flag) + " must be one of " + config_text::choices(words) + ", not '" +
                       printable(text) + "': see --help");
    }
    set(*kind);
  };
  app.add_option_function<std::string>(flag, parse, help + " (default " + shown + ")")->type_name("WORD")->take_last();
}

/// Adds a flag with a path, which may not look like a flag: then its value was forgotten.
inline void add_path(CLI::App& app, const char* flag, const std::string& help, const char* type, std::string& path) {
  const auto set = [&path, flag](const std::string& text) {
    if (text.empty() || text.starts_with("--")) {
      throw UsageError(std::string(flag) + " needs a path after it, not '" + printable(text) + "': see --help");
    }
    path = text;
  };
  app.add_option_function<std::string>(flag, set, help)->type_name(type)->take_last();
}

/// A number as --help shows it.
inline std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// "did you mean --max-iters?", or where to look when nothing is near.
inline std::string suggestion(std::string_view word, const std::vector<std::string>& choices) {
  const auto nearest = nearest_words(word, choices);
  return nearest.empty() ? "see --help" : "did you mean " + nearest.front() + "?";
}

/// --max_iters=5 becomes --max-iters=5. The text of a prompt stays as it is.
inline std::vector<std::string> normalised(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string& argument = arguments[i];
    if (!argument.starts_with("--") || (i > 0 && arguments[i - 1] == "--prompt")) continue;
    const auto name_end = argument.begin() + static_cast<std::ptrdiff_t>(std::min(argument.find('='), argument.size()));
    std::replace(argument.begin(), name_end, '_', '-');
  }
  return arguments;
}

/// Throws where `app` was given something that it does not know.
inline void refuse_unknown(const CLI::App& app) {
  const auto extras = app.remaining();
  if (extras.empty()) return;
  const std::string word = extras.front().substr(0, extras.front().find('='));
  std::vector<std::string> choices;
  if (word.starts_with("-")) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) choices.push_back("--" + name);
    }
    throw UsageError("unknown flag " + printable(word) + ": " + suggestion(word, choices));
  }
  for (const CLI::App* command : app.get_subcommands(nullptr)) choices.push_back(command->get_name());
  const char* const kind = choices.empty() ? "unexpected argument '" : "unknown command '";
  throw UsageError(kind + printable(word) + "': " + suggestion(word, choices));
}

/// Calls use(command) for the commands of `app` and theirs in turn: all of them, or those that were typed.
template <class Use> void for_each_command(CLI::App& app, bool typed, Use&& use) {
  for (CLI::App* const command : typed ? app.get_subcommands() : app.get_subcommands(nullptr)) {
    use(*command);
    for_each_command(*command, typed, use);
  }
}

/// Adds --version and reads the command line into `app` and its commands, each of which minds its own words. False
/// where it asked for help or the version only, which is then printed.
inline bool parse(CLI::App& app, std::vector<std::string> arguments) {
  const CLI::Option* const version = app.add_flag("--version")->description("Print the version")->group("Options");
  const auto formatter = std::make_shared<HelpFormatter>();
  const auto prepare = [&](CLI::App& command) {
    command.formatter(formatter);
    command.allow_extras();
    command.get_help_ptr()->description("Print this help");
  };
  prepare(app);
  for_each_command(app, false, prepare);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 reads them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError(std::string(error.what()) + ": see --help");
  }
  refuse_unknown(app);
  for_each_command(app, true, [](CLI::App& command) { refuse_unknown(command); });
  if (version->count() == 0) return true;
  std::printf("%s %s\n", app.get_name().c_str(), TINYGPT_VERSION);
  return false;
}

}  // namespace tinygpt::cli
