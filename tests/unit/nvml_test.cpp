// What the machine's graphics cards are, asked of libraries that look like NVML: whole, old, broken, or none.
#include <cstdlib>
#include <string>

#include <dlfcn.h>

#include <catch.hpp>
#include <tinygpt/cli/nvml.hpp>
#include <tinygpt/cli/tool/memory.hpp>

using namespace tinygpt::cli;

namespace {

const std::string fake = TINYGPT_FAKE_NVML, old = TINYGPT_FAKE_NVML_OLD;

/// An environment variable, as long as it lives.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

struct Behaviour : Environment {
  explicit Behaviour(const std::string& word) : Environment("FAKE_NVML", word) {}
};

/// How often the fake library is open.
int opened() {
  void* const library = ::dlopen(fake.c_str(), RTLD_NOW);
  REQUIRE(library != nullptr);
  const int count = reinterpret_cast<int (*)()>(::dlsym(library, "fake_nvml_opened"))();
  ::dlclose(library);
  return count;
}

bool knows_nothing(const CardSample& sample) {
  return !sample.utilisation && !sample.memory_used && !sample.temperature && !sample.power;
}

}  // namespace

TEST_CASE("cards come with name, compute capability and memory, in NVML's order") {
  const auto cards = Nvml(fake).cards();
  REQUIRE(cards.size() == 2);
  CHECK(cards[0].name == "NVIDIA GeForce RTX 3060");
  CHECK(cards[1].index == 1);
  CHECK(cards[1].name == "NVIDIA GeForce RTX 4090");
  CHECK(cards[1].compute_capability == 89);
  REQUIRE(cards[1].memory);
  CHECK(cards[1].memory->total == 24LL << 30);
  CHECK(cards[1].memory->used == 3LL << 30);
  CHECK(cards[1].memory->free == 21LL << 30);
}

TEST_CASE("a sample says how busy, full, hot and hungry a card is") {
  const Nvml nvml(fake);
  const CardSample sample = nvml.sample(nvml.cards().at(1));
  CHECK(sample.utilisation == 98);
  CHECK(sample.memory_used == 3LL << 30);
  CHECK(sample.temperature == 66);
  CHECK(sample.power == 431.0);
  CHECK(knows_nothing(nvml.sample(Card{.index = 7, .name = {}, .compute_capability = {}, .memory = {}})));
  CHECK(knows_nothing(nvml.sample(Card{.index = -1, .name = {}, .compute_capability = {}, .memory = {}})));
}

TEST_CASE("no library, one that is something else, and one whose driver is absent have no cards") {
  CHECK(Nvml("").cards().empty());
  CHECK(Nvml("libtinygpt-no-such-library.so.1").cards().empty());
  CHECK(Nvml("libc.so.6").cards().empty());
  CHECK(Nvml("/dev/null").cards().empty());
  const Behaviour behaviour("init_fails");
  const Nvml nvml(fake);
  CHECK(nvml.cards().empty());
  CHECK(knows_nothing(nvml.sample(Card{})));
}

TEST_CASE("no card, and a driver that cannot count them, are no cards") {
  for (const char* const word : {"no_cards", "count_fails"}) {
    const Behaviour behaviour(word);
    CHECK(Nvml(fake).cards().empty());
  }
}

TEST_CASE("a card that is lost is left out, and the others keep their index") {
  const Behaviour behaviour("first_card_lost");
  const auto cards = Nvml(fake).cards();
  REQUIRE(cards.size() == 1);
  CHECK(cards[0].index == 1);
}

TEST_CASE("calls that fail midway leave empty what they were asked, whatever they wrote") {
  Behaviour behaviour("calls_fail");
  const Nvml nvml(fake);
  const auto cards = nvml.cards();
  REQUIRE(cards.size() == 2);
  CHECK(cards[0].name == "a card without a name");
  CHECK_FALSE(cards[0].compute_capability);
  CHECK_FALSE(cards[0].memory);
  CHECK(knows_nothing(nvml.sample(cards[0])));
}

TEST_CASE("functions that an old driver lacks are calls that fail") {
  const Nvml nvml(old);
  REQUIRE(nvml.cards().size() == 2);
  CHECK_FALSE(nvml.cards()[1].memory);
  CHECK(knows_nothing(nvml.sample(nvml.cards()[1])));
}

TEST_CASE("numbers that cannot be are not believed") {
  {
    const Behaviour behaviour("absurd");  // four thousand million cards, a name without end, all bytes there are
    const auto cards = Nvml(fake).cards();
    REQUIRE(cards.size() == 2);
    CHECK(cards[0].name.size() == 96);
    CHECK_FALSE(cards[0].memory);
  }
  const Behaviour behaviour("more_used_than_there");
  CHECK_FALSE(Nvml(fake).cards().at(0).memory);
}

TEST_CASE("what was opened is closed, and what was not is not") {
  REQUIRE(opened() == 0);
  {
    const Nvml first(fake), second(fake);
    CHECK(opened() == 2);
  }
  CHECK(opened() == 0);
  const Behaviour behaviour("init_fails");
  static_cast<void>(Nvml(fake).cards());
  CHECK(opened() == 0);
}

TEST_CASE("the memory to train in is that of the largest card, by its name") {
  const Environment library("TINYGPT_NVML", fake);
  const auto memory = tool::gpu_memory();
  REQUIRE(memory);
  CHECK(memory->bytes == 24LL << 30);
  CHECK(memory->source == "NVIDIA GeForce RTX 4090, the largest of 2 cards");
  const Behaviour behaviour("first_card_lost");
  CHECK(tool::gpu_memory()->source == "NVIDIA GeForce RTX 4090");
}

TEST_CASE("without a card whose memory is known there is no memory to train in") {
  const Environment library("TINYGPT_NVML", fake);
  for (const char* const word : {"no_memory", "calls_fail", "no_cards", "init_fails"}) {
    const Behaviour behaviour(word);
    CHECK_FALSE(tool::gpu_memory());
  }
  const Environment none("TINYGPT_NVML", "");
  CHECK_FALSE(tool::gpu_memory());
}
