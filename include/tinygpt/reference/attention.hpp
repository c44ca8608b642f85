// Causal grouped-query attention, every matrix of scores materialised.
#pragma once

#include <cmath>

#include <tinygpt/reference/context.hpp>

namespace tinygpt::reference {

/// One head's queries, keys or values of one sequence as a T x D matrix inside the joined projection.
template <class E, int Q, int KV, int D>
auto head(const Tensor<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>>& qkv, std::int64_t b, int head) {
  const int T = qkv.template extent<Time>();
  return Eigen::Map<std::conditional_t<std::is_const_v<E>, const Matrix<E>, Matrix<E>>, 0, Eigen::OuterStride<>>(
      qkv.data() + b * T * qkv.width() + std::int64_t{head} * D, T, D, Eigen::OuterStride<>(qkv.width()));
}

/// One query head's output of one sequence as a T x D matrix.
template <class E, int Q, int D>
auto head(const Tensor<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>>& y, std::int64_t b, int head) {
  const int T = y.template extent<Time>();
  return Eigen::Map<std::conditional_t<std::is_const_v<E>, const Matrix<E>, Matrix<E>>, 0, Eigen::OuterStride<>>(
      y.data() + b * T * y.width() + std::int64_t{head} * D, T, D, Eigen::OuterStride<>(y.width()));
}

/// Weights before dropout: softmax over keys j <= i of scale * q_i . k_j. Writes lse (log-sum-exp) of each query.
template <class E, class Queries, class Keys>
Matrix<E> causal_weights(const Queries& q, const Keys& k, E scale, E* lse, int lse_stride, int first_position = 0) {
  using std::exp;
  using std::log;
  Matrix<E> P = q * k.transpose() * scale;
  for (Eigen::Index i = 0; i < P.rows(); ++i) {
    const Eigen::Index seen = first_position + i + 1;
    E top = P(i, 0);
    for (Eigen::Index j = 1; j < seen; ++j) top = P(i, j) > top ? P(i, j) : top;
    E sum(0);
    for (Eigen::Index j = 0; j < P.cols(); ++j) {
      P(i, j) = j < seen ? E(exp(P(i, j) - top)) : E(0);
      sum += P(i, j);
    }
    P.row(i) /= sum;
    if (lse != nullptr) lse[i * lse_stride] = top + log(sum);
  }
  return P;
}

/// The mask of the attention weights of one head, T x T.
template <class E> Matrix<E> weights_mask(const Dropout& dropout, std::int64_t head_row, int T) {
  Matrix<E> m = Matrix<E>::Ones(T, T);
  if (!dropout) return m;
  for (int i = 0; i < T; ++i) {
    for (int j = 0; j <= i; ++j) m(i, j) = mask<E>(dropout, head_row * dropout.ctx + i, j, dropout.ctx);
  }
  return m;
}

/// y_i = sum_j dropout(softmax_j(q_i . k_j / sqrt(D))) v_j over j <= i, query head h reading key/value head h / (Q /
/// KV). Source: Vaswani et al. 2017 (arXiv:1706.03762) eq. 1; Ainslie et al. 2023 (arXiv:2305.13245).
template <class E, int Q, int KV, int D>
void attention(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
               Out<E, Batch<dyn>, Time<dyn>, PerHead<Q>> lse, Tensor<const E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv,
               Dropout dropout) {
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  const E scale = E(1 / std::sqrt(static_cast<double>(D)));
  for (std::int64_t b = 0; b < B; ++b) {
    for (int h = 0; h < Q; ++h) {
      const int kv = h / (Q / KV);
      const Matrix<E> P =
          causal_weights<E>(head(qkv, b, h), head(qkv, b, Q + kv), scale, lse.data() + b * T * Q + h, Q);
      const Matrix<E> M = weights_mask<E>(dropout, b * Q + h, T);
      head(y, b, h) = P.cwiseProduct(M) * head(qkv, b, Q + KV + kv);
    }
  }
}

/// d_qkv = (whole). With P the weights and M their mask: dV = (P M)^T dY;  dP = (dY V^T) M;
/// dS = P (dP - rowsum(dP P));  dQ = scale dS K;  dK = scale dS^T Q.
template <class E, int Q, int KV, int D>
void attention_backward(Context<E>&, Tensor<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> d_qkv,
                        In<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> d_y,
                        In<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>>, In<E, Batch<dyn>, Time<dyn>, PerHead<Q>>,
                        In<E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, Dropout dropout) {
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  const E scale = E(1 / std::sqrt(static_cast<double>(D)));
  matrix(d_qkv).setZero();
  for (std::int64_t b = 0; b < B; ++b) {
    for (int h = 0; h < Q; ++h) {
      const int kv = h / (Q / KV);
      const auto q = head(qkv, b, h), k = head(qkv, b, Q + kv), v = head(qkv, b, Q + KV + kv), dY = head(d_y, b, h);
      const Matrix<E> P = causal_weights<E>(q, k, scale, nullptr, 0);
      const Matrix<E> M = weights_mask<E>(dropout, b * Q + h, T);
      head(d_qkv, b, Q + KV + kv) += P.cwiseProduct(M).transpose() * dY;
      const Matrix<E> dP = (dY * v.transpose()).cwiseProduct(M);
      Matrix<E> dS = P.cwiseProduct(dP);
      for (int i = 0; i < T; ++i) dS.row(i) -= P.row(i) * dS.row(i).sum();
      head(d_qkv, b, h) = dS * k * scale;
      head(d_qkv, b, Q + kv) += dS.transpose() * q * scale;
    }
  }
}

/// Appends the keys and values of the new positions [first_position(b), first_position(b) + T) of each sequence to its
/// cache, then attends over positions [0, first_position(b) + T).
template <class E, int Q, int KV, int D, int N>
void decode_attention(Context<E>&, Out<E, Batch<dyn>, Time<dyn>, QueryHeads<Q, D>> y,
                      Tensor<E, Batch<dyn>, Ctx<N>, KvHeads<KV, D>> keys,
                      Out<E, Batch<dyn>, Ctx<N>, KvHeads<KV, D>> values,
                      Tensor<const E, Batch<dyn>, Time<dyn>, Qkv<Q, KV, D>> qkv, FirstPosition first_position) {
  const int B = qkv.template extent<Batch>(), T = qkv.template extent<Time>();
  const E scale = E(1 / std::sqrt(static_cast<double>(D)));
  for (int b = 0; b < B; ++b) {
    const int first = first_position(b), seen = first + T;
    const Tensor<E, Ctx<N>, KvHeads<KV, D>> own_keys(keys.data() + std::int64_t{b} * N * KV * D),
        own_values(values.data() + std::int64_t{b} * N * KV * D);
    for (int t = 0; t < T; ++t) {
      const E* const key = qkv.data() + (std::int64_t{b} * T + t) * qkv.width() + Q * D;
      for (int i = 0; i < KV * D; ++i) {
        own_keys.data()[(first + t) * KV * D + i] = key[i];
        own_values.data()[(first + t) * KV * D + i] = key[KV * D + i];
      }
    }
    for (int h = 0; h < Q; ++h) {
      const std::int64_t column = std::int64_t{h / (Q / KV)} * D;
      const auto k = matrix(own_keys).block(0, column, seen, D), v = matrix(own_values).block(0, column, seen, D);
      head(y, b, h) = causal_weights<E>(head(qkv, b, h), k, scale, nullptr, 0, first) * v;
    }
  }
}

}  // namespace tinygpt::reference
