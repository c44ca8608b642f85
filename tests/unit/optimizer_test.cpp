// AdamW and clipping on numbers that were worked out by hand.
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <tinygpt/reference/optimizer.hpp>

#include "catch.hpp"

using namespace tinygpt;

namespace {

reference::Context<double> ctx;

struct State {
  std::vector<double> w, m, v;
  std::int64_t updates = 0;
  void update(const std::vector<double>& gradient, const AdamW& hyper, double loss = 1) {
    double norm = 0;
    reference::global_norm(ctx, &norm, gradient);
    reference::adamw(ctx, w, {}, m, v, &updates, gradient, &loss, &norm, &hyper);
  }
};

TEST_CASE("two AdamW updates are those worked by hand") {
  AdamW hyper;
  hyper.learning_rate = 0.1;
  hyper.beta1 = 0.9;
  hyper.beta2 = 0.99;
  hyper.epsilon = 0;
  hyper.weight_decay = 0.1;
  hyper.grad_clip = 0;
  hyper.decay_end = 1;  // the first weight decays, the second does not
  State s{{1, 1}, {0, 0}, {0, 0}};

  // m = 0.1 g = 0.05, v = 0.01 g^2 = 0.0025; corrected m / 0.1 = 0.5 and v / 0.01 = 0.25: a step of lr * 0.5 / 0.5 = 0.1,
  // after a decay of the first weight by lr * 0.1 = 1 %.
  s.update({0.5, 0.5}, hyper);
  CHECK(s.m[0] == Approx(0.05).epsilon(1e-14));
  CHECK(s.v[0] == Approx(0.0025).epsilon(1e-14));
  CHECK(s.w[0] == Approx(0.99 - 0.1).epsilon(1e-14));
  CHECK(s.w[1] == Approx(1 - 0.1).epsilon(1e-14));

  // m = 0.9 * 0.05 + 0.1 * 0.25 = 0.07, v = 0.99 * 0.0025 + 0.01 * 0.0625 = 0.0031; corrected by 1 - 0.9^2 = 0.19 and
  // 1 - 0.99^2 = 0.0199.
  s.update({0.25, 0.25}, hyper);
  const double step = 0.1 * (0.07 / 0.19) / std::sqrt(0.0031 / 0.0199);
  CHECK(s.m[1] == Approx(0.07).epsilon(1e-14));
  CHECK(s.v[1] == Approx(0.0031).epsilon(1e-14));
  CHECK(s.w[0] == Approx(0.89 * 0.99 - step).epsilon(1e-14));
  CHECK(s.w[1] == Approx(0.9 - step).epsilon(1e-14));
  CHECK(s.updates == 2);
}

TEST_CASE("a gradient of zero moves no weight, apart from decay") {
  AdamW hyper;
  hyper.decay_end = 1;
  State s{{2, 2}, {0, 0}, {0, 0}};
  s.update({0, 0}, hyper);
  CHECK(s.w[0] == Approx(2 * (1 - 1e-3 * 0.1)).epsilon(1e-15));
  CHECK(s.w[1] == 2);
}

TEST_CASE("gradients longer than the limit are scaled to it, shorter ones are left alone") {
  AdamW hyper;  // beta1 = 0.9: m after one update is a tenth of the clipped gradient
  hyper.grad_clip = 1;
  State clipped{{0, 0}, {0, 0}, {0, 0}};
  clipped.update({3, 4}, hyper);  // of norm 5
  CHECK(clipped.m[0] == Approx(0.06).epsilon(1e-14));
  CHECK(clipped.m[1] == Approx(0.08).epsilon(1e-14));

  State alone{{0, 0}, {0, 0}, {0, 0}};
  alone.update({0.3, 0.4}, hyper);
  CHECK(alone.m[0] == Approx(0.03).epsilon(1e-14));

  hyper.grad_clip = 0;
  State unlimited{{0, 0}, {0, 0}, {0, 0}};
  unlimited.update({3, 4}, hyper);
  CHECK(unlimited.m[0] == Approx(0.3).epsilon(1e-14));
}

TEST_CASE("the global norm is the 2-norm of all gradients") {
  double norm = 0;
  reference::global_norm(ctx, &norm, std::vector<double>{2, -3, 6});
  CHECK(norm == 7);
}

TEST_CASE("a loss or a gradient that is not finite changes nothing") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [gradient, loss] : {std::pair{nan, 1.0}, {inf, 1.0}, {1.0, nan}, {1.0, -inf}}) {
    State s{{2, 2}, {0.5, 0.5}, {0.25, 0.25}};
    s.update({gradient, 1}, AdamW{}, loss);
    CHECK(s.w == std::vector<double>{2, 2});
    CHECK(s.m == std::vector<double>{0.5, 0.5});
    CHECK(s.v == std::vector<double>{0.25, 0.25});
    CHECK(s.updates == 0);
  }
}

}  // namespace
