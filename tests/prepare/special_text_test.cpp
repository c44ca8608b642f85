// What prepare has encoded is taken again only where special tokens meant the same.
#include <catch.hpp>

#include <tinygpt/prepare/encode.hpp>

using namespace tinygpt;
using namespace tinygpt::prepare;

TEST_CASE("a job in which special tokens are allowed is another job") {
  Job job;
  const Tokenizer tokenizer = Tokenizer::bytes();
  const Json before = encode::job_json(job, tokenizer);
  CHECK_FALSE(before.contains("allow_special"));  // so that work of before goes on
  job.special = SpecialText::allowed;
  CHECK(encode::job_json(job, tokenizer) != before);
}
