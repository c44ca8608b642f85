// What training on the cpu backend promises beyond correct gradients: it learns, it repeats, it allocates nothing.
// [own]: what holds with the project's own matrix products, and not with oneDNN's.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include <batch.hpp>
#include <catch.hpp>
#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/trainer.hpp>

using namespace tinygpt;

namespace {
std::atomic<long> allocations{0};
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#  define TINYGPT_TEST_COUNTS_ALLOCATIONS 1
// Every way to memory ends in one of these, operator new among them.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t n) { return ++allocations, __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) { return ++allocations, __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) { return ++allocations, __libc_realloc(p, n); }
void* aligned_alloc(std::size_t alignment, std::size_t n) { return ++allocations, __libc_memalign(alignment, n); }
}
#endif

namespace {

using Classic = GPT<Layers<2>, Embd<64>, Heads<4>, Ctx<64>, Vocab<96>>;
using Modern = GPT<Layers<2>, Embd<64>, Heads<4, 2>, Ctx<64>, Vocab<96>, Norm<rms>, Positions<rope>, Activation<swiglu>,
                   QkNorm, Head<untied>>;

/// Random tokens; each batch another, or always the same one.
struct Noise {
  int vocab;
  enum class Batches { fresh, same } batches = Batches::fresh;

  void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int time, std::uint64_t seed,
            Purpose purpose, std::uint64_t number) const {
    const auto T = static_cast<std::size_t>(time);
    const auto id = [&](std::size_t b, std::size_t t) {
      const std::uint64_t from = batches == Batches::same ? 0 : number;
      return static_cast<std::int32_t>(random_bits(seed, purpose, from, b << 32 | t)[0] %
                                       static_cast<std::uint64_t>(vocab));
    };
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = id(i / T, i % T);
      targets[i] = id(i / T, i % T + 1);
    }
  }
};

/// A model on the cpu, in float32 or bf16.
template <class M, class E> struct In {
  using Model = M;
  using Element = E;
  using Context = cpu::BasicContext<E>;
};
using ClassicFloat = In<Classic, float>;
using ClassicHalf = In<Classic, bfloat16>;
using ModernFloat = In<Modern, float>;
using ModernHalf = In<Modern, bfloat16>;

template <class M, class Context> std::vector<float> weights_after(int steps, int threads) {
  Context ctx(threads);
  Trainer<M, Context> trainer(ctx, {.max_iters = steps, .batch_size = 3, .warmup_iters = 5, .dropout = 0.1});
  for (int i = 0; i < steps; ++i) trainer.step(Noise{M::config.vocab});
  return {trainer.weights().begin(), trainer.weights().end()};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("a batch of 4 x 64 is learned by heart in 200 steps", "", ClassicFloat, ModernFloat, ClassicHalf,
                   ModernHalf) {
  using M = typename TestType::Model;
  using Context = typename TestType::Context;
  Context ctx(2);
  Trainer<M, Context> trainer(
      ctx, {.max_iters = 200, .batch_size = 4, .learning_rate = 3e-3, .warmup_iters = 10, .weight_decay = 0});
  double loss = 0;
  for (int i = 0; i < 200; ++i) loss = trainer.step(Noise{M::config.vocab, Noise::Batches::same}).loss;
  CHECK(loss < 0.05);
}

TEMPLATE_TEST_CASE("one seed gives the same bits twice, and with 1, 2 and 4 threads", "[own]", ClassicFloat,
                   ModernFloat, ClassicHalf, ModernHalf) {
  using M = typename TestType::Model;
  using Context = typename TestType::Context;
  const auto once = weights_after<M, Context>(50, 1);
  CHECK(same_bits(once, weights_after<M, Context>(50, 1)));
  CHECK(same_bits(once, weights_after<M, Context>(50, 2)));
  CHECK(same_bits(once, weights_after<M, Context>(50, 4)));
}

TEST_CASE("another seed gives other weights") {
  cpu::Context ctx(1);
  Trainer<Classic, cpu::Context> a(ctx, {.batch_size = 1, .seed = 1}), b(ctx, {.batch_size = 1, .seed = 2});
  CHECK(std::memcmp(a.weights().data(), b.weights().data(), a.weights().size_bytes()) != 0);
}

TEMPLATE_TEST_CASE("a trainer restored in the middle ends with the same bits", "", ClassicFloat, ModernFloat,
                   ClassicHalf, ModernHalf) {
  using M = typename TestType::Model;
  using Context = typename TestType::Context;
  Context ctx(2);
  const TrainOptions options{
      .max_iters = 20, .batch_size = 2, .grad_accum_steps = GENERATE(1, 3), .warmup_iters = 4, .dropout = 0.1};
  const Noise data{M::config.vocab};
  Trainer<M, Context> straight(ctx, options), first(ctx, options), second(ctx, options);
  for (int i = 0; i < 20; ++i) straight.step(data);
  for (int i = 0; i < 7; ++i) first.step(data);
  std::ranges::copy(first.weights(), second.weights().begin());
  std::ranges::copy(first.first_moments(), second.first_moments().begin());
  std::ranges::copy(first.second_moments(), second.second_moments().begin());
  second.resume_at(first.iteration(), first.updates(), first.skipped());
  for (int i = 7; i < 20; ++i) second.step(data);
  CHECK(std::memcmp(straight.weights().data(), second.weights().data(), straight.weights().size_bytes()) == 0);
}

namespace {

/// Two trainers, one of which is always a step ahead: the same reports and the same bits.
template <class M, class Context> void ahead_is_the_same(Context& ctx, int micro_batches) {
  const TrainOptions options{
      .max_iters = 9, .batch_size = 2, .grad_accum_steps = micro_batches, .warmup_iters = 3, .dropout = 0.1};
  const Noise data{M::config.vocab};
  Trainer<M, Context> by_one(ctx, options), ahead(ctx, options);
  ahead.submit(data);
  for (int i = 1; i <= 5; ++i) {
    if (i < 5) ahead.submit(data);
    CHECK(ahead.in_flight() == (i < 5 ? 2 : 1));
    CHECK(ahead.iteration() == i - 1);
    const StepReport a = ahead.report(), b = by_one.step(data);
    CHECK(a.iteration == i);
    CHECK(std::tie(a.iteration, a.loss, a.grad_norm, a.learning_rate, a.skipped) ==
          std::tie(b.iteration, b.loss, b.grad_norm, b.learning_rate, b.skipped));
  }
  CHECK(std::ranges::equal(ahead.weights(), by_one.weights()));
  CHECK(std::ranges::equal(ahead.second_moments(), by_one.second_moments()));
  CHECK(ahead.evaluate(data) == by_one.evaluate(data));
}

}  // namespace

TEMPLATE_TEST_CASE("steps submitted one ahead are steps one by one", "", Classic, Modern) {
  cpu::Context ctx(2);
  reference::Context<float> exact;
  for (const int micro_batches : {1, 3}) {
    ahead_is_the_same<TestType>(ctx, micro_batches);
    ahead_is_the_same<TestType>(exact, micro_batches);
  }
}

TEST_CASE("while a step is in flight, its memory is nobody else's, and there are two at most") {
  cpu::Context ctx(1);
  const Noise data{96};
  Trainer<Classic, cpu::Context> trainer(ctx, {.batch_size = 1});
  CHECK_THROWS_WITH(trainer.report(), Catch::Contains("with no step in flight: call submit() before"));
  trainer.submit(data);
  const auto refused = Catch::Contains("was called with a step in flight: call report() for it before");
  CHECK_THROWS_WITH(trainer.step(data), refused);
  CHECK_THROWS_WITH(trainer.evaluate(data), refused);
  CHECK_THROWS_WITH(trainer.weights(), refused);
  CHECK_THROWS_WITH(trainer.gradients(), refused);
  CHECK_THROWS_WITH(trainer.first_moments(), refused);
  CHECK_THROWS_WITH(trainer.second_moments(), refused);
  CHECK_THROWS_WITH(trainer.resume_at(0, 0, 0), refused);
  trainer.submit(data);
  CHECK_THROWS_WITH(trainer.submit(data), Catch::Contains("with 2 steps in flight"));
  CHECK(trainer.report().iteration == 1);
  CHECK(trainer.report().iteration == 2);
  CHECK(trainer.step(data).iteration == 3);
}

TEST_CASE("a batch that cannot be drawn leaves the trainer as it was") {
  struct Broken {
    void draw(std::span<std::int32_t>, std::span<std::int32_t>, int, std::uint64_t, Purpose, std::uint64_t) const {
      throw Error("the disk is gone");
    }
  };
  cpu::Context ctx(1);
  const Noise data{96};
  Trainer<Classic, cpu::Context> whole(ctx, {.batch_size = 1}), broken(ctx, {.batch_size = 1});
  whole.step(data);
  broken.step(data);
  CHECK_THROWS_WITH(broken.step(Broken{}), "the disk is gone");
  CHECK(broken.in_flight() == 0);
  CHECK(broken.iteration() == 1);
  whole.step(data);
  broken.step(data);
  CHECK(std::ranges::equal(whole.weights(), broken.weights()));
}

TEST_CASE("a step that is skipped counts for no moment's bias, and one resumed after it is the same") {
  cpu::Context ctx(1);
  const Noise data{96};
  const TrainOptions options{.batch_size = 1, .warmup_iters = 1};
  Trainer<Classic, cpu::Context> trainer(ctx, options), resumed(ctx, options);
  trainer.step(data);
  const float kept = trainer.weights()[0];
  trainer.weights()[0] = std::numeric_limits<float>::infinity();
  CHECK(trainer.step(data).skipped);
  trainer.weights()[0] = kept;
  CHECK(trainer.updates() == 1);
  std::ranges::copy(trainer.weights(), resumed.weights().begin());
  std::ranges::copy(trainer.first_moments(), resumed.first_moments().begin());
  std::ranges::copy(trainer.second_moments(), resumed.second_moments().begin());
  resumed.resume_at(trainer.iteration(), trainer.updates(), trainer.skipped());
  CHECK_FALSE(trainer.step(data).skipped);
  resumed.step(data);
  CHECK(std::ranges::equal(trainer.weights(), resumed.weights()));
  CHECK(trainer.updates() == 2);
  CHECK(trainer.skipped() == 1);
}

#ifdef TINYGPT_TEST_COUNTS_ALLOCATIONS
TEMPLATE_TEST_CASE("four accumulated batches of 1 give the step of one batch of 4", "", Classic, Modern) {
  // The windows of one batch, whichever way they are drawn: batch `number` holds the rows that follow those before it.
  struct Rows {
    void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int time, std::uint64_t seed,
              Purpose purpose, std::uint64_t number) const {
      const auto T = static_cast<std::size_t>(time), rows = tokens.size() / T;
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        const std::size_t row = (number - 1) * rows + i / T;
        const auto id = [&](std::size_t t) {
          return static_cast<std::int32_t>(random_bits(seed, purpose, row, t)[0] % 96);
        };
        tokens[i] = id(i % T);
        targets[i] = id(i % T + 1);
      }
    }
  };
  cpu::Context ctx(2);
  const int steps = 3;
  Trainer<TestType, cpu::Context> whole(ctx, {.max_iters = 9, .batch_size = 4, .warmup_iters = 1});
  Trainer<TestType, cpu::Context> parts(ctx,
                                        {.max_iters = 9, .batch_size = 1, .grad_accum_steps = 4, .warmup_iters = 1});
  for (int i = 0; i < steps; ++i) {
    const StepReport a = whole.step(Rows{}), b = parts.step(Rows{});
    CHECK(b.loss == Approx(a.loss).epsilon(1e-5));
    CHECK(b.grad_norm == Approx(a.grad_norm).epsilon(1e-5));
    double difference = 0, size = 0;
    for (std::size_t j = 0; j < whole.gradients().size(); ++j) {
      difference += std::pow(static_cast<double>(whole.gradients()[j]) - parts.gradients()[j], 2);
      size += std::pow(static_cast<double>(whole.gradients()[j]), 2);
    }
    CHECK(std::sqrt(difference / size) < 1e-5);
    // AdamW divides by the gradient's own size, so one that is all roundoff may move its weight either way: both begin
    // the next step from the same weights.
    std::ranges::copy(whole.weights(), parts.weights().begin());
    std::ranges::copy(whole.first_moments(), parts.first_moments().begin());
    std::ranges::copy(whole.second_moments(), parts.second_moments().begin());
  }
}

TEST_CASE("no two micro-batches of a run draw the same windows or drop the same activations") {
  // Records the numbers that it is asked for; the dropout masks have the same ones.
  struct Recorder {
    std::vector<std::uint64_t>* numbers;
    void draw(std::span<std::int32_t> tokens, std::span<std::int32_t> targets, int, std::uint64_t, Purpose,
              std::uint64_t number) const {
      numbers->push_back(number);
      std::ranges::fill(tokens, 1);
      std::ranges::fill(targets, 2);
    }
  };
  cpu::Context ctx(1);
  std::vector<std::uint64_t> numbers;
  Trainer<Classic, cpu::Context> trainer(ctx, {.batch_size = 1, .grad_accum_steps = 3, .dropout = 0.1});
  for (int i = 0; i < 2; ++i) trainer.step(Recorder{&numbers});
  trainer.resume_at(5, 5, 0);
  trainer.step(Recorder{&numbers});
  CHECK(numbers == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 16, 17, 18});

  // One window four times with four masks is not one mask four times.
  const auto gradient_norm = [&](int accumulate, double dropout) {
    Trainer<Classic, cpu::Context> model(
        ctx, {.batch_size = 1, .grad_accum_steps = accumulate, .dropout = dropout, .seed = 3});
    return model.step(Recorder{&numbers}).grad_norm;
  };
  CHECK(gradient_norm(4, 0) == Approx(gradient_norm(1, 0)).epsilon(1e-5));
  CHECK(gradient_norm(4, 0.2) != Approx(gradient_norm(1, 0.2)).epsilon(1e-3));
}

TEMPLATE_TEST_CASE("a training step allocates nothing after the first", "[own]", Classic, Modern) {
  cpu::Context ctx(2);
  Trainer<TestType, cpu::Context> trainer(ctx, {.batch_size = 3, .dropout = 0.1});
  const Noise data{TestType::config.vocab};
  const long at_construction = allocations;
  CHECK(at_construction > 0);  // the counter counts
  trainer.step(data);
  const long before = allocations;
  for (int i = 0; i < 3; ++i) trainer.step(data);
  CHECK(allocations == before);
}
#endif

TEMPLATE_TEST_CASE("a gradient that is not finite leaves weights and moments as they were, and is counted", "", Classic,
                   Modern) {
  cpu::Context ctx(2);
  Trainer<TestType, cpu::Context> trainer(ctx, {.batch_size = 2, .warmup_iters = 1});
  const Noise data{TestType::config.vocab};
  trainer.step(data);
  const float poison = GENERATE(std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN());
  const std::int64_t at = TestType::params[Param::ffn_in_weight].offset + 5;
  trainer.weights()[static_cast<std::size_t>(at)] = poison;
  const std::vector<float> w(trainer.weights().begin(), trainer.weights().end());
  const std::vector<float> m(trainer.first_moments().begin(), trainer.first_moments().end());
  const std::vector<float> v(trainer.second_moments().begin(), trainer.second_moments().end());
  const StepReport report = trainer.step(data);
  CHECK(report.skipped);
  CHECK(trainer.skipped_in_a_row() == 1);
  CHECK(trainer.updates() == 1);
  CHECK(std::memcmp(w.data(), trainer.weights().data(), w.size() * sizeof(float)) == 0);
  CHECK(std::memcmp(m.data(), trainer.first_moments().data(), m.size() * sizeof(float)) == 0);
  CHECK(std::memcmp(v.data(), trainer.second_moments().data(), v.size() * sizeof(float)) == 0);
}

TEMPLATE_TEST_CASE("logits of decoding token by token are those of the whole context, bit for bit", "[own]",
                   ClassicFloat, ModernFloat, ClassicHalf, ModernHalf) {
  using M = typename TestType::Model;
  using Context = typename TestType::Context;
  Context ctx(2);
  using E = typename TestType::Element;
  std::vector<E> weights;
  for (const float w : test::random_weights<M, float>(11)) weights.push_back(E(w));
  std::vector<std::int32_t> tokens(M::config.ctx);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 37 % M::config.vocab);

  Generator<M, Context> one(ctx, weights), few(ctx, weights);
  test::Step<M, Context> whole(ctx, weights, 1, M::config.ctx);
  whole.tokens = tokens;
  whole.run_forward();
  std::vector<E> expected(M::config.vocab);
  const auto w = whole.weights();
  const auto normed = whole.act.normed(2 * M::config.layers);
  using Axes = AxesOf<M>;

  int differing = 0;
  std::size_t read_by_few = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    linear(ctx, Tensor<E, Batch<dyn>, Time<dyn>, typename Axes::V>(expected.data(), 1, 1),
           Tensor<const E, Batch<dyn>, Time<dyn>, typename Axes::C>(
               normed.data() + static_cast<std::int64_t>(i) * M::config.embd, 1, 1),
           w.head_weight(), w.head_bias());
    const auto logits = one.decode(std::span(tokens).subspan(i, 1), static_cast<int>(i));
    differing += std::memcmp(logits.data(), expected.data(), logits.size_bytes()) != 0;
    if (i % 5 == 3 || i + 1 == tokens.size()) {  // several at once, as a prompt is read
      const auto part =
          few.decode(std::span(tokens).subspan(read_by_few, i + 1 - read_by_few), static_cast<int>(read_by_few));
      differing += std::memcmp(part.data(), expected.data(), part.size_bytes()) != 0;
      read_by_few = i + 1;
    }
  }
  CHECK(differing == 0);
}

TEMPLATE_TEST_CASE("prompts that are gone on from at once get the texts that each gets alone", "", ClassicFloat,
                   ModernFloat, ClassicHalf, ModernHalf) {
  using M = typename TestType::Model;
  using Context = typename TestType::Context;
  using Ids = std::vector<std::int32_t>;
  Context ctx(2);
  std::vector<typename TestType::Element> weights;
  for (const float w : test::random_weights<M, float>(17)) weights.push_back(typename TestType::Element(w));

  // Of every length, one of them longer than the context; the third of each four stops early.
  std::vector<Ids> prompts;
  for (std::size_t i = 0; i < 14; ++i) {
    prompts.emplace_back(i % 5 == 4 ? 3 * i + 30 : i % 3 + 1);
    for (std::size_t t = 0; t < prompts[i].size(); ++t) {
      prompts[i][t] = static_cast<std::int32_t>((7 * i + 31 * t) % M::config.vocab);
    }
  }
  const SampleOptions options{.temperature = 1.3, .seed = 5};
  const int longest = 80;  // past the context
  const auto wanted = [](std::size_t i) { return i % 4 == 2 ? std::size_t{9} : std::size_t{longest}; };

  std::vector<Ids> alone(prompts.size());
  Generator<M, Context> one(ctx, weights);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    SampleOptions own = options;
    own.seed += i;
    one.generate(prompts[i], longest, own, [&](std::int32_t id) {
      alone[i].push_back(id);
      return alone[i].size() < wanted(i);
    });
    CHECK(alone[i].size() == wanted(i));
  }
  for (const int batch : {1, 3, 8, 14, 20}) {
    std::vector<Ids> together(prompts.size());
    Generator<M, Context> many(ctx, weights, Batch{batch});
    many.generate(prompts, longest, options, [&](std::size_t i, std::int32_t id) {
      together[i].push_back(id);
      return together[i].size() < wanted(i);
    });
    INFO("batch " << batch);
    CHECK(together == alone);
  }
}

TEST_CASE("generation goes on past the context, and stops when told") {
  cpu::Context ctx(1);
  const auto weights = test::random_weights<Modern, float>(3);
  Generator<Modern, cpu::Context> generator(ctx, weights);
  const std::vector<std::int32_t> prompt(100, 5);  // longer than the context
  int count = 0;
  generator.generate(prompt, 150, {}, [&](std::int32_t id) {
    CHECK((id >= 0 && id < Modern::config.vocab));
    return ++count < 140;
  });
  CHECK(count == 140);
}
