// Graphics cards by the names that drivers and people give them.
#include <catch.hpp>
#include <tinygpt/graphics_cards.hpp>

using namespace tinygpt;

namespace {

std::string card_of(const char* text) {
  const GraphicsCard* const card = find_card(card_name(text));
  return card == nullptr ? "" : std::string(card->name);
}

}  // namespace

TEST_CASE("A card is found by any writing of its name") {
  for (const char* const text :
       {"RTX 4070 Ti", "rtx4070ti", "4070 Ti", "4070ti", "NVIDIA GeForce RTX 4070 Ti", "geforce rtx 4070-ti",
        "RTX 4070 Ti 12GB", "RTX 4070 Ti, 12 GB", "GeForce RTX 4070 TI Founders Edition"}) {
    INFO(text);
    CHECK(card_of(text) == "RTX 4070 Ti");
  }
  CHECK(card_of("rtx 4070tisuper") == "RTX 4070 Ti SUPER");
  CHECK(card_of("4070 Super") == "RTX 4070 SUPER");
  CHECK(card_of("4070") == "RTX 4070");
  CHECK(card_of("RTX 3070 with Max-Q Design") == "");
  CHECK(card_of("NVIDIA GeForce RTX 3070 Laptop GPU") == "RTX 3070 Laptop");
  CHECK(card_of("RTX 3080 Ti Mobile") == "RTX 3080 Ti Laptop");
  CHECK(card_of("RTX 2080 SUPER Max-Q") == "");  // a laptop's, which is not in the table
  CHECK(card_of("NVIDIA A100-PCIE-40GB") == "A100");
  CHECK(card_of("NVIDIA A100-SXM4-80GB") == "A100");
  CHECK(card_of("NVIDIA H100 80GB HBM3") == "H100");
  CHECK(card_of("NVIDIA H100 PCIe") == "H100 PCIe");
  CHECK(card_of("NVIDIA H200") == "H200");
  CHECK(card_of("NVIDIA GH200 480GB") == "GH200");
  CHECK(card_of("NVIDIA RTX A6000") == "RTX A6000");
  CHECK(card_of("Tesla T4") == "T4");
}

TEST_CASE("What is another card, or none, is not found") {
  for (const char* const text :
       {"", "RTX", "GeForce", "RTX 4070 X", "RTX 9999", "NVIDIA A10G", "RTX 5090 D", "RX 7900 XTX", "H100 NVL2",
        "\x1b[31m", "an emulated GPU", "12GB", "99999999999999999999"}) {
    INFO(text);
    CHECK(card_of(text) == "");
  }
}

TEST_CASE("A name says its memory in any writing") {
  CHECK(card_name("RTX 3060 8GB").gib == 8);
  CHECK(card_name("RTX 3060 8 GB").gib == 8);
  CHECK(card_name("RTX 3060 8GiB").gib == 8);
  CHECK(card_name("A100-SXM4-40GB").gib == 40);
  CHECK(card_name("RTX 3060").gib == 0);
}

TEST_CASE("Every card is found by its own name, and its numbers agree with each other") {
  for (const GraphicsCard& card : graphics_cards) {
    INFO(card.name);
    CHECK(find_card(card_name(card.name)) == &card);
    CHECK(find_card(card_name("NVIDIA GeForce " + std::string(card.name) + " GPU")) == &card);
    CHECK((card.gib[0] > 0 && card.bandwidth > 0));
    CHECK((card.peak_bf16() > 0) == card.has_bf16());
    // What is stated for a GeForce is what its cores and its clock give.
    if (card.tflops > 0 && card.cores > 0) CHECK(card.tflops == Approx(2e-12 * card.peak_float32()).epsilon(0.01));
    if (card.cores > 0) CHECK((card.peak_float32() > 3e12 && card.peak_float32() < 110e12));
  }
}
