// The gradient of a whole model three ways: by the library's backward pass, by dual numbers, by differences.
#pragma once

#include <sstream>
#include <string>

#include <tinygpt/reference/reference.hpp>
#include <tinygpt/train/step.hpp>

#include "catch.hpp"
#include "dual.hpp"
#include "numbers.hpp"

namespace tinygpt::test {

/// What one run of a model is about, beside its type.
struct Circumstances {
  int batch, time;
  double dropout;
  bool ignored;  ///< every third target does not count
};

inline constexpr Circumstances circumstances[] = {
    {2, 5, 0.0, false}, {1, 7, 0.2, true}, {3, 1, 0.2, false}, {2, 6, 0.0, true}};

inline std::string describe(const Config& c, const Circumstances& now) {
  std::ostringstream out;
  out << "layers " << c.layers << ", embd " << c.embd << ", heads " << c.query_heads << '/' << c.kv_heads << " of "
      << c.head_dim << ", ffn " << c.ffn << ", activation " << static_cast<int>(c.activation) << ", norm "
      << static_cast<int>(c.norm) << ", positions " << static_cast<int>(c.positions) << ", QK-norm " << c.qk_norm
      << ", biases " << static_cast<unsigned>(c.bias) << ", head " << static_cast<int>(c.head) << "; batch "
      << now.batch << " x " << now.time << ", dropout " << now.dropout << ", ignored targets " << now.ignored;
  return out.str();
}

/// A model with weights of ordinary size, tokens and targets.
template <class M>
class Problem {
 public:
  explicit Problem(const Circumstances& now)
      : now_(now),
        weights_(static_cast<std::size_t>(M::params.arena_size())),
        tokens_(whole(static_cast<std::size_t>(now.batch * now.time), M::config.vocab, 2)),
        targets_(whole(tokens_.size(), M::config.vocab, 3)),
        dropout_(DropoutPlan::at_rate(now.dropout, 7, 3, M::config.ctx)) {
    for (const ParamRow& row : M::params) {
      // Norm weights around 1, so that nothing vanishes.
      const auto values = normal(static_cast<std::size_t>(row.size()), 1 + static_cast<unsigned>(row.id), 0.3,
                                 row.init == Init::ones ? 1.0 : 0.0);
      each(row, [&, next = std::size_t{0}](std::size_t i) mutable { weights_[i] = values[next++]; });
    }
    for (std::size_t i = 0; now.ignored && i < targets_.size(); i += 3) targets_[i] = ignored_target;
    int counted = 0;
    for (std::int32_t target : targets_) counted += target != ignored_target;
    scale_ = 1.0 / counted;
  }

  /// Calls f with the place of each parameter of a tensor, padding left out.
  template <class F>
  static void each(const ParamRow& row, F f) {
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) f(static_cast<std::size_t>(row.offset + l * row.stride + i));
    }
  }
  /// The same for every parameter of the model.
  template <class F>
  static void each(F f) {
    for (const ParamRow& row : M::params) each(row, f);
  }

  std::vector<double> by_backward(int times = 1) const {
    Run<double> run(*this);
    std::vector<double> gradient(weights_.size());
    for (int i = 0; i < times; ++i) {
      double loss = 0;
      forward<M>(run.ctx, Params<M, const double>(weights_.data()), run.act, tokens(), dropout_);
      backward<M>(run.ctx, &loss, Params<M, double>(gradient.data()), Params<M, const double>(weights_.data()), run.act,
                  tokens(), targets(), scale_, dropout_);
    }
    return gradient;
  }

  std::vector<double> by_duals() const {
    Run<Dual> run(*this);
    std::vector<Dual> weights(weights_.begin(), weights_.end());
    std::vector<double> gradient(weights_.size());
    std::vector<std::size_t> places;
    each([&](std::size_t i) { places.push_back(i); });
    for (std::size_t first = 0; first < places.size(); first += Dual::lanes) {
      const std::size_t lanes = std::min<std::size_t>(Dual::lanes, places.size() - first);
      for (std::size_t k = 0; k < lanes; ++k) weights[places[first + k]].d[k] = 1;
      const Dual loss = run.loss(weights);
      for (std::size_t k = 0; k < lanes; ++k) {
        gradient[places[first + k]] = loss.d[k];
        weights[places[first + k]].d[k] = 0;
      }
    }
    return gradient;
  }

  /// f'(x) ~ (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h, with an error of order h^4.
  std::vector<double> by_differences(double h) const {
    Run<double> run(*this);
    std::vector<double> weights = weights_, gradient(weights_.size());
    each([&](std::size_t i) {
      const auto at = [&](double step) {
        weights[i] = weights_[i] + step;
        return run.loss(weights);
      };
      gradient[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      weights[i] = weights_[i];
    });
    return gradient;
  }

 private:
  /// Memory for one scalar type.
  template <class S>
  struct Run {
    explicit Run(const Problem& p)
        : problem(p),
          plan(Activations<M, S>::plan(p.now_.batch, p.now_.time)),
          arena(plan.bytes()),
          act(arena.data(), plan, p.now_.batch, p.now_.time) {
      if (act.rope_table()) fill_rope(ctx, act.rope_table(), M::config.rope_base);
    }
    S loss(const std::vector<S>& weights) {
      const Params<M, const S> w(weights.data());
      S sum(0);
      forward<M>(ctx, w, act, problem.tokens(), problem.dropout_);
      evaluate<M>(ctx, &sum, w, act, problem.targets(), problem.scale_);
      return sum;
    }
    const Problem& problem;
    ActivationPlan plan;
    Arena<std::byte> arena;
    Activations<M, S> act;
    reference::Context<S> ctx;
  };

  TokenIds tokens() const { return TokenIds(tokens_.data(), now_.batch, now_.time); }
  TokenIds targets() const { return TokenIds(targets_.data(), now_.batch, now_.time); }

  Circumstances now_;
  std::vector<double> weights_;
  std::vector<std::int32_t> tokens_, targets_;
  DropoutPlan dropout_;
  double scale_ = 1;
};

/// Both ways round off: some 1e3 operations of 1.1e-16 each lie between a weight and the loss, and errors add up like
/// their square root at best, like their number at worst: 1e-13. The bound leaves a factor of 10 to conditioning.
inline constexpr double exact = 1e-12;

/// Every parameter of M, in all circumstances.
template <class M>
void agrees_with_duals() {
  static_assert(M::param_count <= 3000, "small enough to differentiate by every parameter");
  for (const Circumstances& now : circumstances) {
    INFO(describe(M::config, now));
    const Problem<M> problem(now);
    const std::vector<double> actual = problem.by_backward(), expected = problem.by_duals();
    CHECK(relative_error(actual, expected) <= exact);
    for (const ParamRow& row : M::params) {
      // One position attends to itself alone, and what only changes the scores has no gradient.
      if (now.time == 1 && (row.id == Param::q_norm_weight || row.id == Param::k_norm_weight)) continue;
      INFO(row.name);
      double sum = 0;
      problem.each(row, [&](std::size_t i) { sum += std::abs(expected[i]); });
      CHECK(sum > 0);
    }
  }
}

}  // namespace tinygpt::test
