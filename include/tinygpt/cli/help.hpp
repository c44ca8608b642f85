// What --help prints: wrapped to the terminal, with the flags in groups.
#pragma once

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <tinygpt/cli/table.hpp>

namespace tinygpt::cli {

/// The flags that are added from here on belong to this group of --help.
inline void group(CLI::App& app, const char* name) { app.option_defaults()->group(name); }

/// CLI11's own formatter breaks no lines. Where there is room, what a flag does stands right of it, else below.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const override {
    std::string text = lines(app->get_description()) + "\n" + lines(usage(*app, name));
    const auto positionals = app->get_options([](const CLI::Option* o) { return o->get_positional(); });
    if (!positionals.empty()) text += heading("Arguments");
    for (const CLI::Option* o : positionals) text += entry(o->get_name(true, false), o->get_description());
    std::vector<std::string> groups = app->get_groups();
    // --help and --version, which every command has, stand last.
    std::stable_partition(groups.begin(), groups.end(), [](const std::string& g) { return g != "Options"; });
    for (const std::string& group : groups) {
      const auto flags =
          app->get_options([&](const CLI::Option* o) { return o->get_group() == group && o->nonpositional(); });
      if (group.empty() || flags.empty()) continue;
      text += heading(group);
      for (const CLI::Option* flag : flags) text += entry(flag_text(*flag), flag->get_description());
    }
    std::vector<std::string> kinds;
    for (const CLI::App* command : app->get_subcommands({})) {
      const bool known = std::find(kinds.begin(), kinds.end(), command->get_group()) != kinds.end();
      if (!known && !command->get_group().empty()) kinds.push_back(command->get_group());
    }
    for (const std::string& kind : kinds) {
      text += heading(kind == "Subcommands" ? "Commands" : kind);
      for (const CLI::App* command : app->get_subcommands({})) {
        if (command->get_group() == kind) text += entry(command->get_name(), command->get_description());
      }
    }
    return app->get_footer().empty() ? text : text + "\n" + lines(app->get_footer());
  }

 private:
  static std::size_t width() { return std::min(text_width().value_or(80), readable); }

  static std::string lines(std::string_view text) {
    std::string all;
    for (const auto& line : wrapped(text, width())) all += line + "\n";
    return all;
  }

  static std::string heading(const std::string& text) { return "\n" + styled(text + ":", Style::bold) + "\n"; }

  static std::string usage(const CLI::App& app, const std::string& name) {
    std::string text = "Usage: " + name + " [OPTIONS]";
    for (const CLI::Option* o : app.get_options([](const CLI::Option* o) { return o->get_positional(); })) {
      const bool several = o->get_expected_max() > 1;
      text += " [" + o->get_name(true, false) + (several ? "...]" : "]");
    }
    return app.get_subcommands({}).empty() ? text : text + " COMMAND";
  }

  static std::string flag_text(const CLI::Option& flag) {
    const std::string type = flag.get_type_size() != 0 ? flag.get_type_name() : "";
    return flag.get_name(false, true) + (type.empty() ? "" : " " + type);
  }

  /// A name, and what it is.
  static std::string entry(const std::string& name, const std::string& about) {
    constexpr std::size_t beside = 32, below = 6, least = 36;  // columns where the second part begins, and of it
    const bool room = width() >= beside + least;
    const std::size_t column = room ? beside : below;
    std::string text = "  " + name;
    bool begun = room && columns_of(text) + 2 <= column;
    if (!begun) text += "\n";
    for (const auto& line : wrapped(about, width() - column)) {
      text += std::string(begun ? column - columns_of(text) : column, ' ') + line + "\n";
      begun = false;
    }
    return text;
  }
};

}  // namespace tinygpt::cli
