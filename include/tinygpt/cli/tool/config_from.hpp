// tinygpt config-from: which type somebody's model is, and the line that builds its program. And export and import of
// any model.
#pragma once

#include <string>

#include <tinygpt/cli/exchange.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/cli/tool/validate.hpp>

namespace tinygpt::cli::tool {

struct ConfigFromFlags {
  static constexpr const char *command = "config-from",
                              *about = "Say which type the model of a Hugging Face directory is";
  std::string directory, name;
  bool json = false;
};

inline void add_flags(CLI::App& app, ConfigFromFlags& flags) {
  app.add_option("DIR", flags.directory, "A directory with config.json, of transformers or of tinygpt");
  add_text(app, "--name", "Name of the preset (default the model's)", "NAME", flags.name);
  app.add_flag("--json", flags.json, "Print JSON: the type, the parameters, the architecture and the line for CMake");
}

inline Exit run(const ConfigFromFlags& flags) {
  if (flags.directory.empty()) {
    throw UsageError("config-from needs the directory of a model: tinygpt config-from DIR");
  }
  const ModelConfig said = load_newest(
      flags.directory, [](const auto& path) { return read_model_config(ModelReader(path)); }, [](const char*) {});
  const std::string name = program_name(flags.name.empty() ? said.name : flags.name), type = type_text(said.config);
  const std::string line = preset_line(name, said.config);
  const std::int64_t parameters = ParamTable(said.config).param_count();
  if (flags.json) {
    return print({{"name", name},
                  {"type", type},
                  {"parameters", parameters},
                  {"architecture", config_to_json(said.config)},
                  {"cmake", line}});
  }
  std::printf("%s\n  %s parameters\n\n%s\n", type.c_str(), grouped(parameters).c_str(), line.c_str());
  return Exit::done;
}

inline Exit run(const ExportFlags& flags) {
  return until_signal([&] {
    return export_model(flags, std::nullopt, [](const std::string& sentence) { complain("tinygpt", sentence); });
  });
}
inline Exit run(const ImportFlags& flags) {
  return until_signal([&] { return import_model(flags, std::nullopt); });
}

}  // namespace tinygpt::cli::tool
