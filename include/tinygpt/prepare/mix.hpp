// A dataset of several prepared ones, each with a weight: some of the old data beside the new, so that a model that
// learns the new does not forget the old.
#pragma once

#include <string>
#include <vector>

#include <tinygpt/io/dataset_shards.hpp>
#include <tinygpt/io/tokenizer_files.hpp>
#include <tinygpt/prepare/assemble.hpp>

namespace tinygpt::prepare {

struct Ingredient {
  std::filesystem::path directory;
  double weight = 0;
};

struct Mixed {
  Report report;
  Tokenizer tokenizer;
  std::int64_t crossing = 0;  ///< texts that are for training in one dataset and for validation in another
};

namespace mix {

/// Texts that one of some lists of documents trains on and another one validates with.
inline std::int64_t crossing(const std::vector<Records>& lists) {
  const auto validates = [](const DocumentRecord& record) { return (record.ends & DocumentList::validation) != 0; };
  ValidationSet validation;
  for (const Records& list : lists) {
    list.for_each([&](std::int64_t, const DocumentRecord& record) {
      if (validates(record)) validation.add(record.text);
    });
  }
  validation.sort();
  std::int64_t count = 0;
  for (const Records& list : lists) {
    list.for_each([&](std::int64_t, const DocumentRecord& record) {
      count += !validates(record) && validation.contains(record.text);
    });
  }
  return count;
}

}  // namespace mix

/// Both splits are mixed by the weights; validation is never repeated. All must have the same tokenizer.
inline Mixed assemble_mix(const std::filesystem::path& out, const std::vector<Ingredient>& ingredients,
                          const AssembleOptions& options, int threads, const assemble::Wrote& wrote) {
  AtomicDirectory directory(out);  // first, so that a place where it cannot be is refused before the work
  std::optional<Tokenizer> tokenizer;
  std::vector<assemble::Part> parts;
  std::vector<Records> lists;
  for (const Ingredient& ingredient : ingredients) {
    const Dataset dataset = read_dataset(ingredient.directory);
    const auto own = ingredient.directory / "tokenizer.json";
    std::error_code error;
    if (!std::filesystem::exists(own, error)) {
      throw Error(ingredient.directory.string() +
                  " has no tokenizer.json: datasets are mixed only where it is known "
                  "that they have the same tokenizer, so put it there");
    }
    const Tokenizer found = load_tokenizer(own);
    if (tokenizer && found != *tokenizer) {
      throw Error(ingredient.directory.string() + " has another tokenizer (" + found.description() + ") than " +
                  ingredients.front().directory.string() + " (" + tokenizer->description() +
                  "): prepare it with that one");
    }
    tokenizer = found;
    const auto queue = [&](const DatasetSplit& split, Share& share) {
      CheckedShards shards = open_shards(dataset, split, found.size(), threads);
      share.available = shards.tokens();
      share.weight = ingredient.weight;
      return std::make_unique<ShardQueue>(std::move(shards.shards), found.end_of_text().value_or(-1));
    };
    assemble::Part part;
    part.report.name = bytes_text(ingredient.directory.string());
    part.train = queue(dataset.train, part.report.train);
    part.validation = queue(dataset.validation, part.validation_share);
    part.report.counts.documents = dataset.train.documents.value_or(0) + dataset.validation.documents.value_or(0);
    part.report.counts.tokens = part.report.train.available + part.validation_share.available;
    part.report.json = {{"dataset", bytes_text(ingredient.directory.string())}};
    if (const auto list = DocumentList::of(ingredient.directory)) lists.push_back(*list);
    parts.push_back(std::move(part));
  }

  assemble::plan(parts, options.mixture);
  std::vector<Share> validation;
  for (const assemble::Part& part : parts) {
    if (part.validation_share.available > 0) validation.push_back(part.validation_share);
  }
  plan_mixture(validation, {});
  auto planned = validation.begin();
  for (assemble::Part& part : parts) {
    if (part.validation_share.available > 0) part.validation_share = *planned++;
  }

  assemble::Output output(directory, *tokenizer, options);
  assemble::write(parts, assemble::ending_of(*tokenizer), output, wrote);
  for (std::size_t i = 0; i < lists.size(); ++i) {
    lists[i].for_each([&](std::int64_t, const DocumentRecord& record) {
      output.documents.add(record, static_cast<std::uint32_t>(i), (record.ends & DocumentList::validation) != 0);
    });
  }
  Mixed mixed{output.finish(std::move(parts), Json::object()), *tokenizer, mix::crossing(lists)};
  directory.commit();
  return mixed;
}

}  // namespace tinygpt::prepare
