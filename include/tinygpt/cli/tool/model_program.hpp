// tinygpt train, generate, ...: the commands of a model. The command line says which model that is: by a preset, a type
// or a directory; this finds the program of its type, compiling it if need be, and becomes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tinygpt/cli/table.hpp>
#include <tinygpt/cli/tool/preset_program.hpp>
#include <tinygpt/cli/tool/program_cache.hpp>
#include <tinygpt/io/model_config.hpp>
#include <tinygpt/io/run_directory.hpp>
#include <tinygpt/io/type_parser.hpp>

namespace tinygpt::cli::tool {

/// A command of the models' programs.
struct ModelCommand {
  const char *name, *about;
};

inline constexpr ModelCommand model_commands[] = {
    {"train", "Train a model: --preset NAME or --type \"GPT<...>\", or continue with --init-from-model DIR or --resume"},
    {"generate", "Let a trained model write: --model DIR"},
    {"eval", "Measure a trained model on a text: --model DIR"},
    {"info", "Show a model's parameters, memory and FLOPs: --preset NAME, --type \"GPT<...>\" or --model DIR"}};

inline bool is_model_command(std::string_view word) {
  return std::any_of(std::begin(model_commands), std::end(model_commands),
                     [&](const ModelCommand& command) { return word == command.name; });
}

/// What a command line says about the model, and what is left for the model's program.
struct ModelWords {
  std::string command;
  std::optional<std::string> preset, type, model, out, init_from_model;
  std::optional<int> vocab, context;
  bool resume = false, help = false;
  std::vector<std::string> rest;

  bool says_which() const { return preset || type || model || init_from_model; }
};

/// `words` begin with the command.
inline ModelWords read_model_words(const std::vector<std::string>& words) {
  ModelWords said;
  said.command = words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::size_t equals = word.find('=');
    const std::string flag = word.substr(0, equals);
    const auto value = [&](const char* what) {
      const std::string text = equals != std::string::npos ? word.substr(equals + 1)
                               : ++i < words.size()        ? words[i]
                                                           : "";
      if (text.empty() || text.starts_with("--")) {
        throw UsageError(flag + " needs " + what + " after it, not '" + printable(text) + "': see tinygpt help " +
                         printable(said.command));
      }
      return text;
    };
    // As above, and the model's program wants to see it too.
    const auto shared = [&](const char* what) {
      const std::size_t first = i;
      const std::string text = value(what);
      said.rest.insert(said.rest.end(), words.begin() + static_cast<std::ptrdiff_t>(first),
                       words.begin() + static_cast<std::ptrdiff_t>(i + 1));
      return text;
    };
    if (flag == "--preset") {
      said.preset = value("the name of a preset");
    } else if (flag == "--type") {
      said.type = value("a type such as \"GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>>\"");
    } else if (flag == "--vocab-size") {
      said.vocab = parse_number<int>(flag, value("a number"), positive_int);
    } else if (flag == "--context") {
      said.context = parse_number<int>(flag, value("a number"), positive_int);
    } else if (flag == "--model") {
      // To train a model is to begin with its weights; info shows its architecture only.
      said.model = value("the directory of a model");
      if (said.command == "train") {
        said.rest.insert(said.rest.end(), {"--init-from-model", *said.model});
      } else if (said.command != "info") {
        said.rest.insert(said.rest.end(), {"--model", *said.model});
      }
    } else if (flag == "--out") {
      said.out = shared("a path");
    } else if (flag == "--init-from-model") {
      said.init_from_model = shared("the directory of a model");
    } else {
      said.resume = said.resume || word == "--resume";
      said.help = said.help || word == "--help" || word == "-h";
      said.rest.push_back(word);
      // A prompt may look like a flag.
      if (word == "--prompt" && i + 1 < words.size()) said.rest.push_back(words[++i]);
    }
  }
  if (said.preset && said.type) throw UsageError("--preset and --type contradict each other: leave one of them out");
  if ((said.vocab || said.context) && !said.preset && !said.type) {
    throw UsageError(std::string(said.vocab ? "--vocab-size" : "--context") +
                     " makes another type of a preset or a type: give --preset NAME or --type \"GPT<...>\" with it");
  }
  return said;
}

/// The model that a directory holds, with the training defaults of the preset whose name and architecture it has.
inline Wanted model_of_directory(const std::string& directory) {
  const ModelConfig said = load_newest(
      directory, [](const auto& path) { return read_model_config(ModelReader(path)); }, [](const char*) {});
  const Preset* const preset = presets::find(said.name);
  const bool same = preset != nullptr && preset->config == said.config;
  const std::string name = program_name(said.name.substr(0, 64));
  return {said.config, name, same ? preset->defaults : TrainOptions{}};
}

/// The model that is wanted; nothing where the command line does not say which.
inline std::optional<Wanted> wanted_model(const ModelWords& said, const ProgramCache& cache) {
  std::optional<Wanted> wanted;
  if (said.preset) {
    const Preset& preset = preset_named(*said.preset);
    wanted = Wanted{preset.config, std::string(preset.name), preset.defaults};
  } else if (said.type) {
    const ParsedType parsed = parse_type(*said.type);
    if (!parsed.config) cache.refuse(parsed.text);
    wanted = Wanted{*parsed.config, "model", {}};
  } else if (said.init_from_model) {
    wanted = model_of_directory(*said.init_from_model);
  } else if (said.model) {
    wanted = model_of_directory(*said.model);
  } else if (said.command == "train" && said.resume && said.out) {
    wanted = model_of_directory(*said.out);
  }
  if (!wanted) return wanted;
  const auto change = [&](std::optional<int> to, int Config::*member, const char* word) {
    if (!to || wanted->config.*member == *to) return;
    wanted->config.*member = *to;
    wanted->name += "_" + std::string(word) + std::to_string(*to);
  };
  change(said.vocab, &Config::vocab, "vocab");
  change(said.context, &Config::ctx, "ctx");
  // The options of a run that is resumed are in its checkpoint; those of a new one are the program's.
  wanted->any_defaults = said.command != "train" || said.resume;
  return wanted;
}

/// The program of a model: one that was built beside the tool, or of the cache.
inline std::filesystem::path find_program(const Wanted& wanted, const ProgramCache& cache) {
  for (const Preset& preset : presets::registry) {
    const bool same = preset.config == wanted.config && (wanted.any_defaults || preset.name == wanted.name);
    if (same && ::access(preset_program(preset.name).c_str(), X_OK) == 0) return preset_program(preset.name);
  }
  return cache.program(wanted);
}

/// Any program at all, as their flags are the same: the first that is built. Empty where there is none.
inline std::filesystem::path any_program() {
  for (const Preset& preset : presets::registry) {
    if (::access(preset_program(preset.name).c_str(), X_OK) == 0) return preset_program(preset.name);
  }
  const auto programs = program_cache::list(programs_directory());
  return programs.empty() ? std::filesystem::path() : programs.front().file();
}

inline std::string how_to_say_which(const std::string& command) {
  if (command == "train") {
    return "--preset NAME, --type \"GPT<...>\" or --model DIR (tinygpt presets lists the presets), or --out DIR "
           "--resume";
  }
  return "--model DIR, or --preset NAME or --type \"GPT<...>\" where no weights are needed";
}

/// tinygpt COMMAND ... for a command of the models' programs. `called` is how this program was called, which the
/// model's program takes for its own name: so the commands that it suggests are those of the tool.
[[noreturn]] inline void become_model(const std::vector<std::string>& words, const std::string& called) {
  ModelWords said = read_model_words(words);
  std::vector<std::string> arguments{said.command};
  arguments.insert(arguments.end(), said.rest.begin(), said.rest.end());
  if (said.help && !said.says_which()) {
    std::fputs(fitted("tinygpt " + said.command + " needs a model: " + how_to_say_which(said.command) +
                      ".\n--vocab-size N or --context N make another type of a preset or type.\n\n")
                   .c_str(),
               stdout);
    if (const auto any = any_program(); !any.empty()) become(any, called, arguments);
    throw Error("the flags of " + said.command + " are shown by the program of a model, and none is built yet: give " +
                "one, such as --preset tiny_char, which is compiled once");
  }
  const ProgramCache cache;
  const auto wanted = wanted_model(said, cache);
  if (!wanted) throw UsageError(said.command + " needs a model: give " + how_to_say_which(said.command));
  const auto program = find_program(*wanted, cache);
  become(program, called, arguments);
  throw Error(program.string() + " has gone: try again");
}

/// tinygpt PRESET COMMAND ... where the preset's program was not built: tinygpt COMMAND --preset PRESET ...
[[noreturn]] inline void become_model_of(const std::string& preset, std::vector<std::string> words,
                                         const std::string& called) {
  if (words.empty() || words[0].starts_with("-")) words.insert(words.begin(), "info");
  words.insert(words.begin() + 1, {"--preset", preset});
  become_model(words, called);
}

}  // namespace tinygpt::cli::tool
