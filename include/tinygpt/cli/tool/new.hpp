// tinygpt new: a JSON config as the C++ header that says the same.
#pragma once

#include <filesystem>

#include <tinygpt/cli/tool/validate.hpp>
#include <tinygpt/io/atomic_file.hpp>
#include <tinygpt/io/directory_lock.hpp>

namespace tinygpt::cli::tool {

struct NewFlags {
  static constexpr const char *command = "new", *about = "Turn a JSON config into a C++ header";
  std::string file, name, out;
  bool json = false;
};

inline void add_flags(CLI::App& app, NewFlags& flags) {
  app.add_option("FILE", flags.file, "The JSON config");
  add_text(app, "--name", "Name of the type (default the config's, or the file's)", "NAME", flags.name);
  add_path(app, "--out", "Write the header to this file", "FILE", flags.out);
  app.add_flag("--json", flags.json, "Print JSON: the name, the type and the header");
}

/// A name that C++ takes, made as CMake's MAKE_C_IDENTIFIER makes it.
inline std::string identifier(std::string name) {
  for (char& c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) c = '_';
  }
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) name.insert(0, "_");
  constexpr std::string_view reserved =
      " alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const consteval "
      "constexpr"
      " constinit continue decltype default delete do double else enum explicit export extern false final float for "
      "friend"
      " goto if inline int long mutable namespace new noexcept not nullptr operator or override private protected "
      "public"
      " register requires return short signed sizeof static struct switch template this throw true try typedef typeid"
      " typename union unsigned using virtual void volatile while xor ";
  if (reserved.find(" " + name + " ") != std::string_view::npos) {
    throw UsageError("'" + name + "' is a word of C++: give another name with --name");
  }
  return name;
}

/// The type, an option per line where one line is too short.
inline std::string wrapped_type(const std::string& name, const Config& config) {
  const std::string type = type_text(config), begin = "using " + name + " = ";
  std::string text = begin;
  std::size_t column = begin.size();
  for (std::size_t at = 0; at < type.size();) {
    std::size_t end = type.find(">, ", at);
    end = end == std::string::npos ? type.size() : end + 3;
    if (column + end - at > 119) {
      text.pop_back();
      text += "\n" + std::string(begin.size() + 4, ' ');
      column = begin.size() + 4;
    }
    text += type.substr(at, end - at);
    column += end - at;
    at = end;
  }
  return text + ";\n";
}

/// The fewest digits that give the same number back.
template <class N> std::string shortest(N value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

/// The members that differ from TrainOptions' own values, as an initialiser.
inline std::string defaults_text(const TrainOptions& t) {
  const TrainOptions d;
  std::string text;
  const auto add = [&](const char* name, const auto& value, const auto& otherwise) {
    if (value == otherwise) return;
    text += text.empty() ? "" : ",\n    ";
    text += "." + std::string(name) + " = " + shortest(value);
  };
  add("max_iters", t.max_iters, d.max_iters);
  add("batch_size", t.batch_size, d.batch_size);
  add("grad_accum_steps", t.grad_accum_steps, d.grad_accum_steps);
  add("learning_rate", t.learning_rate, d.learning_rate);
  if (t.min_learning_rate == t.learning_rate / 10) {
    // The quotient has the same bits, and a reader sees where it comes from.
    if (t.learning_rate != d.learning_rate) {
      text += ",\n    .min_learning_rate = " + shortest(t.learning_rate) + " / 10";
    }
  } else {
    add("min_learning_rate", t.min_learning_rate, d.min_learning_rate);
  }
  add("warmup_iters", t.warmup_iters, d.warmup_iters);
  add("weight_decay", t.weight_decay, d.weight_decay);
  add("grad_clip", t.grad_clip, d.grad_clip);
  add("dropout", t.dropout, d.dropout);
  add("eval_interval", t.eval_interval, d.eval_interval);
  return text.empty() ? "{}" : "{\n    " + text + "}";
}

inline std::string header_text(const std::string& name, const std::string& from, const ModelFile& model) {
  std::string count = grouped(ParamTable(model.config).param_count());
  std::replace(count.begin(), count.end(), ',', '\'');
  std::string about = model.description;
  std::replace(about.begin(), about.end(), '\n', ' ');
  std::replace(about.begin(), about.end(), '\\', '/');  // at the end of a line it would go on with the comment
  about = one_line(about);
  std::replace(about.begin(), about.end(), '\\', '/');
  return "// " + name + (about.empty() ? "" : ": " + about) + "\n// Made from " + one_line(from) +
         " by tinygpt new.\n" +
         "#pragma once\n\n#include <tinygpt/model/gpt.hpp>\n#include <tinygpt/train/options.hpp>\n\n" +
         "namespace tinygpt::models {\n\n" + wrapped_type(name, model.config) + "static_assert(" + name +
         "::param_count == " + count + ");\n\ninline constexpr TrainOptions " + name + "_defaults" +
         defaults_text(model.training) + ";\n\n}  // namespace tinygpt::models\n";
}

inline Exit run(const NewFlags& flags) {
  if (flags.file.empty()) throw UsageError("new needs the JSON config: tinygpt new my.json");
  const ModelFile model = valid_model_file(flags.file);
  const std::filesystem::path path(flags.file);
  const std::string name = identifier(!flags.name.empty()   ? flags.name
                                      : !model.name.empty() ? model.name
                                                            : path.stem().string());
  const std::string header = header_text(name, path.filename().string(), model);
  if (!flags.out.empty()) {
    const OutputLock lock(flags.out);
    std::error_code error;
    if (std::filesystem::exists(std::filesystem::symlink_status(flags.out, error))) {
      throw Error(flags.out + " is there already: remove it, or give another --out");
    }
    write_file_atomically(flags.out, header);
  }
  if (flags.json) {
    return print({{"name", name},
                  {"type", type_text(model.config)},
                  {"parameters", ParamTable(model.config).param_count()},
                  {"architecture", config_to_json(model.config)},
                  {"header", header}});
  }
  if (flags.out.empty()) std::fputs(header.c_str(), stdout);
  return Exit::done;
}

}  // namespace tinygpt::cli::tool
