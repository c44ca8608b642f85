// A type that a person wrote, read at run time.
#include <tinygpt/io/type_parser.hpp>
#include <tinygpt/model/gpt.hpp>
#include <tinygpt/presets/all.hpp>

#include <catch.hpp>

using namespace tinygpt;

TEST_CASE("the type of every preset is read back as the architecture that it was made of") {
  for (const Preset& preset : presets::registry) {
    const ParsedType parsed = parse_type(type_text(preset.config));
    INFO(preset.name);
    REQUIRE(parsed.config.has_value());
    CHECK(*parsed.config == preset.config);
    CHECK(parsed.text == type_text(preset.config));
  }
}

TEST_CASE("options come in any order, with spaces, digit separators and all their words") {
  using Written = GPT<Ctx<1024>, Vocab<32'000>, Heads<8, 2>, Embd<512>, Layers<3>, Norm<rms, 1e-5>,
                      Positions<rope, 500'000>, Activation<swiglu>, QkNorm, Bias<attn_in | ffn | head>, Head<untied>,
                      HeadDim<32>, Ffn<1000>>;
  const auto parsed = parse_type(
      " tinygpt::GPT < Ctx<1024>,Vocab<32'000>,\n Heads<8 , 2>, Embd<512>, Layers<3>, Norm<rms, 0.00001>, "
      "Positions<rope, 500'000>, Activation<swiglu>, QkNorm, Bias<head | attn_in|ffn>, Head<untied>, HeadDim<32>, "
      "Ffn<1000> > ");
  REQUIRE(parsed.config.has_value());
  CHECK(*parsed.config == Written::config);
  CHECK(parse_type(parsed.text).config == parsed.config);
}

TEST_CASE("a type that a rule of the library refuses has its text, and no architecture") {
  for (const char* const text :
       {"GPT<Layers<4>, Embd<190>, Heads<4>, Ctx<128>>", "GPT<Layers<4>, Embd<192>, Heads<4>>",
        "GPT<Layers<4>, Layers<4>, Embd<192>, Heads<4>, Ctx<128>>", "GPT<Layers<0>, Embd<192>, Heads<4>, Ctx<128>>",
        "GPT<Layers<4>, Embd<192>, Heads<4, 3>, Ctx<128>>", "GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>, Norm<rms, 2>>",
        "GPT<Layers<4>, Embd<12>, Heads<4>, Ctx<128>, Positions<rope>>"}) {
    const ParsedType parsed = parse_type(text);
    CHECK(!parsed.config.has_value());
    CHECK(parsed.text == text);
  }
}

TEST_CASE("what is no type is one sentence, and nothing of it reaches a compiler") {
  const std::string right = "GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>";
  for (const std::string& text :
       {std::string(), std::string("gpt2"), std::string("GPT"), std::string("GPT<"), std::string("GPT<>"), right,
        right + ">; int x", right + ">>", right + ", >", right + ", Vocab<>>", right + ", Vocab<-1>>",
        right + ", Vocab<1e9>>", right + ", Vocab<99999999999999999999>>", right + ", Vocab<256)>>",
        right + ", Vocab<sizeof(int)>>", right + ", Activation<system(\"true\")>>", right + ", Activation<silu>>",
        right + ", Bias<>>", right + ", Bias<all | >>", right + ", QkNorm<1>>", right + ", Norm<rms, >>",
        right + ", #include </etc/passwd>>", right + "\n#error>", right + ", decltype([]{})>", right + ", ::x>"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_type(text), Error);
  }
  CHECK_THROWS_WITH(parse_type(right + ", Vocap<256>>"), Catch::Contains("did you mean Vocab?"));
}
