// tinygpt validate: every mistake of a JSON config in one go, with its line and what to write instead.
#pragma once

#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/io/model_file.hpp>

namespace tinygpt::cli::tool {

struct ValidateFlags {
  static constexpr const char *command = "validate", *about = "Find every mistake in a JSON config";
  std::string file;
  bool json = false;
};

inline void add_flags(CLI::App& app, ValidateFlags& flags) {
  app.add_option("FILE", flags.file, "The JSON config");
  app.add_flag("--json", flags.json, "Print JSON");
}

/// A config without mistakes, or an error that says the first and how many there are.
inline ModelFile valid_model_file(const std::string& path) {
  ModelFile file = read_model_file(path);
  if (file.mistakes.empty()) return file;
  const Mistake& m = file.mistakes.front();
  const std::size_t more = file.mistakes.size() - 1;
  throw Error(path + ":" + std::to_string(m.line) + ": " + (m.field.empty() ? "" : m.field + " ") + m.what +
              (m.to_do().empty() ? "" : ": " + m.to_do()) +
              (more > 0 ? "; and " + std::to_string(more) + " more: tinygpt validate shows all" : ""));
}

inline Exit run(const ValidateFlags& flags) {
  if (flags.file.empty()) throw UsageError("validate needs the JSON config: tinygpt validate my.json");
  const ModelFile file = read_model_file(flags.file);
  const bool valid = file.mistakes.empty();
  if (flags.json) {
    Report report{{"file", flags.file}, {"valid", valid}, {"mistakes", Report::array()}, {"notes", file.notes}};
    for (const Mistake& m : file.mistakes) {
      report["mistakes"].push_back({{"line", m.line}, {"field", m.field}, {"problem", m.what}, {"write", m.write}, {"to_do", m.to_do()}});
    }
    if (valid) report["type"] = type_text(file.config), report["parameters"] = ParamTable(file.config).param_count();
    print(report);
    return valid ? Exit::done : Exit::failed;
  }
  if (valid) {
    const TrainOptions& t = file.training;
    std::printf("%s is valid\n\n%s\n", one_line(flags.file).c_str(), type_text(file.config).c_str());
    std::printf("  %s parameters; %s of memory to train in float32 on batches of %d\n",
                grouped(ParamTable(file.config).param_count()).c_str(),
                memory_text(train_bytes(file.config, Batch{t.batch_size}, Time{file.config.ctx})).c_str(),
                t.batch_size);
    for (const auto& note : file.notes) std::printf("  note: %s\n", note.c_str());
    return Exit::done;
  }
  std::vector<std::vector<std::string>> rows{{"line", "field", "what is wrong", "what to do"}};
  for (const Mistake& m : file.mistakes) {
    rows.push_back({std::to_string(m.line), one_line(m.field), one_line(m.what), one_line(m.to_do())});
  }
  std::fputs(table_text(rows, "rlll", Header::yes).c_str(), stdout);
  throw Error(flags.file + " has " + std::to_string(file.mistakes.size()) +
              (file.mistakes.size() == 1 ? " mistake: correct it" : " mistakes: correct them") + " and try again");
}

}  // namespace tinygpt::cli::tool
