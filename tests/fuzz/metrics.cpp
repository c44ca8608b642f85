// Any bytes as metrics.jsonl: a resumed run keeps the whole lines up to its step and drops the others, and what reads
// rates finds some or says that there are none.
//
// The first byte chooses the step; the rest is the file.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <tinygpt/cli/tool/throughput.hpp>
#include <tinygpt/io/run_directory.hpp>

#include "files_in_memory.hpp"
#include "fuzz_input.hpp"

using namespace tinygpt;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Every line is whole, of a step up to `step`, and was there before, in this order.
void check(std::string_view kept, std::string_view before, std::int64_t step) {
  std::size_t at = 0;
  for (std::size_t begin = 0, end; begin < kept.size(); begin = end + 1) {
    end = kept.find('\n', begin);
    expect(end != kept.npos);
    const std::string_view line = kept.substr(begin, end - begin + 1);
    at = before.find(line, at);
    expect(at != before.npos);
    at += line.size();
    const Json json = Json::parse(line, nullptr, false);
    expect(json.is_object() && json.contains("step") && json["step"].is_number_integer());
    const Json& number = json["step"];
    expect(number.is_number_unsigned() ? number.get<std::uint64_t>() <= static_cast<std::uint64_t>(step)
                                       : number.get<std::int64_t>() <= step);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const FilesInMemory directory({});
  const auto file = directory.path / "metrics.jsonl";
  FuzzInput input(data, size);
  const std::int64_t steps[] = {0, 1, 250, 0x7FFF'FFFF'FFFF'FFFF};
  const std::int64_t step = steps[input.byte() % std::size(steps)];
  std::ofstream(file, std::ios::binary) << input.rest();
  try {
    const double rate = cli::tool::measured_throughput(file, &presets::find("tiny_char")->config).flops_per_second;
    expect(std::isfinite(rate) && rate > 0);
  } catch (const Error&) {
  }
  try {
    const RunDirectory run(directory.path);
    run.cut_metrics(step);
    const std::string kept = content(file);
    check(kept, input.rest(), step);
    run.cut_metrics(step);
    expect(content(file) == kept);
  } catch (const Error&) {
  }
  return 0;
}
