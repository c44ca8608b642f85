// Matrix products by oneDNN, where the build asks for them (TINYGPT_ONEDNN): it knows AMX, which multiplies bf16 many
// times as fast as vectors do. Of versions 2 and 3, with OpenMP as its threads or none.
//
// gemm.hpp deals a product out to its own threads in tiles, as ever; each tile is then one matmul of oneDNN's, on the
// thread that has it. In which order oneDNN adds is its own affair: the same bits at any number of threads, and for a
// row alone, are promised by the own products only.
#pragma once

#include <cstdint>
#include <string>

#include <tinygpt/cpu/microkernel.hpp>

#if defined(TINYGPT_ONEDNN)
#  include <array>
#  include <cstdlib>
#  include <map>
#  include <memory>
#  include <new>
#  include <type_traits>

#  include <oneapi/dnnl/dnnl.hpp>

#  if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_TBB
#    error \
        "this oneDNN has TBB's threads, which tinygpt cannot hold back: take one built with OpenMP or without threads"
#  endif
#  if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);
#  endif
#endif

namespace tinygpt::cpu::onednn {

/// A matrix of E: element (i, j) is data[i * row + j * column], and one of the strides is 1.
template <class E> struct Matrix {
  const E* data;
  std::int64_t row, column;
};

#if !defined(TINYGPT_ONEDNN)

/// Of oneDNN, where the build has it.
inline std::string version() { return {}; }

template <class E> constexpr bool multiplies() { return false; }
template <class E>
void multiply(std::int64_t, std::int64_t, std::int64_t, const Matrix<E>&, const Matrix<E>&, float*, std::int64_t,
              Accumulate) {}

#else

inline std::string version() {
  const dnnl_version_t& v = *dnnl_version();
  return std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
}

namespace detail {

inline const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

/// One thread of oneDNN's for the calling thread, as long as it lives: ours are at work already.
class OneThread {
 public:
#  if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  const int before_ = omp_get_max_threads();
#  endif
};

/// m, n, k, strides of a, b and c, whether c is added to.
using Shape = std::array<std::int64_t, 9>;

/// A product of one shape, made once. To run it allocates nothing here, but oneDNN keeps its arguments in a map.
class Product {
 public:
  template <class E> Product(const Shape& s, std::type_identity<E>) {
    using Memory = dnnl::memory;
    constexpr auto type = sizeof(E) == 2 ? Memory::data_type::bf16 : Memory::data_type::f32;
    const Memory::desc a({s[0], s[2]}, type, Memory::dims{s[3], s[4]}), b({s[2], s[1]}, type, Memory::dims{s[5], s[6]}),
        c({s[0], s[1]}, Memory::data_type::f32, Memory::dims{s[7], 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s[8] != 0) {
      dnnl::post_ops add;
      add.append_sum(1.0f);
      attributes.set_post_ops(add);
    }
#  if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc plan(engine(), a, b, c, attributes);
#  else
    const dnnl::matmul::primitive_desc plan({a, b, c}, attributes, engine());
#  endif
    const Memory::desc room = plan.scratchpad_desc();
    scratch_.reset(std::aligned_alloc(64, (room.get_size() + 64) / 64 * 64));
    if (scratch_ == nullptr) throw std::bad_alloc();
    product_ = dnnl::matmul(plan);
    const auto nowhere = [](const Memory::desc& desc) { return Memory(desc, engine(), DNNL_MEMORY_NONE); };
    memories_ = {nowhere(a), nowhere(b), nowhere(c), Memory(room, engine(), scratch_.get())};
  }

  void run(const dnnl::stream& stream, const void* a, const void* b, float* c) {
    memories_[0].set_data_handle(const_cast<void*>(a));
    memories_[1].set_data_handle(const_cast<void*>(b));
    memories_[2].set_data_handle(c);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memories_[0].get()},
                                         {DNNL_ARG_WEIGHTS, memories_[1].get()},
                                         {DNNL_ARG_DST, memories_[2].get()},
                                         {DNNL_ARG_SCRATCHPAD, memories_[3].get()}};
    dnnl::error::wrap_c_api(dnnl_primitive_execute(product_.get(), stream.get(), 4, arguments),
                            "oneDNN's product failed");
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> scratch_;
  dnnl::matmul product_;
  std::array<dnnl::memory, 4> memories_;
};

}  // namespace detail

/// c (m, n), rows c_stride apart, = or += a (m, k) b (k, n), on the calling thread. The first product of a shape on a
/// thread is slow, as it is made then.
template <class E>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Matrix<E>& a, const Matrix<E>& b, float* c,
              std::int64_t c_stride, Accumulate accumulate) {
  constexpr std::size_t most = 512;  // prompts of all lengths have shapes of their own
  thread_local const dnnl::stream stream(detail::engine());
  thread_local std::map<detail::Shape, detail::Product> products;
  const detail::OneThread one;
  const detail::Shape shape{m, n, k, a.row, a.column, b.row, b.column, c_stride, accumulate == Accumulate::yes};
  auto found = products.find(shape);
  if (found == products.end()) {
    if (products.size() == most) products.clear();
    found = products.try_emplace(shape, shape, std::type_identity<E>{}).first;
  }
  found->second.run(stream, a.data, b.data, c);
}

/// Has oneDNN products of E on this processor? It has none of bf16 where there is no AVX-512.
template <class E> bool multiplies() {
  static const bool made = [] {
    try {
      detail::Product({16, 16, 16, 16, 1, 16, 1, 16, 0}, std::type_identity<E>{});
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return made;
}

#endif

}  // namespace tinygpt::cpu::onednn
