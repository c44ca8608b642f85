// The kernels of training and generation, as the presets instantiate them: the unit that scripts/kernel-resources.py
// compiles to see their registers, stack and shared memory. It never runs.
//
// A header of tinygpt/gpu with kernels is included here, and its kernels are named with the template arguments that
// models use, every one that differs in speed at least once:
//
//   #include <tinygpt/gpu/norm.cuh>
//   template struct compiled<gpu::norm_forward<float, 256>, gpu::norm_forward<__nv_bfloat16, 256>,
//                            gpu::norm_backward<float, 256>>;
//
// Then scripts/kernel-resources.py writes docs/reference/kernel_resources.md, which is committed with the kernel. A
// kernel that is not named here fails the test, and so does one that spills or has a stack.

#include <tinygpt/gpu/activation.cuh>
#include <tinygpt/gpu/attention.cuh>
#include <tinygpt/gpu/elementwise.cuh>
#include <tinygpt/gpu/embedding.cuh>
#include <tinygpt/gpu/norm.cuh>
#include <tinygpt/gpu/optimizer.cuh>
#include <tinygpt/gpu/qkv_rows.cuh>

namespace tinygpt {

/// Naming a kernel as an argument compiles it.
template <auto... Kernels> struct compiled {};

// Rows: norms of one warp a row, of two and of three; accesses of 16 bytes and of one element.
template struct compiled<
    gpu::norm_kernel<layer, bfloat16, 768>, gpu::norm_kernel<layer, bfloat16, 1024>,
    gpu::norm_kernel<layer, bfloat16, 1600>, gpu::norm_kernel<rms, bfloat16, 768>,
    gpu::norm_kernel<rms, bfloat16, 2048>, gpu::norm_kernel<layer, float, 768>,
    gpu::norm_backward_kernel<layer, bfloat16, 768>, gpu::norm_backward_kernel<layer, bfloat16, 1024>,
    gpu::norm_backward_kernel<layer, bfloat16, 1600>, gpu::norm_backward_kernel<rms, bfloat16, 768>,
    gpu::norm_backward_kernel<rms, bfloat16, 2048>, gpu::norm_backward_kernel<layer, float, 768>,
    gpu::add_partials_kernel<1>, gpu::add_partials_kernel<2>>;
template struct compiled<
    gpu::activation_kernel<relu, bfloat16, 3072>, gpu::activation_kernel<gelu, bfloat16, 3072>,
    gpu::activation_kernel<gelu_tanh, bfloat16, 3072>, gpu::activation_kernel<swiglu, bfloat16, 2048>,
    gpu::activation_kernel<swiglu, bfloat16, 2389>, gpu::activation_kernel<gelu_tanh, float, 3072>,
    gpu::activation_backward_kernel<relu, bfloat16, 3072>, gpu::activation_backward_kernel<gelu, bfloat16, 3072>,
    gpu::activation_backward_kernel<gelu_tanh, bfloat16, 3072>, gpu::activation_backward_kernel<swiglu, bfloat16, 2048>,
    gpu::activation_backward_kernel<swiglu, bfloat16, 2389>, gpu::activation_backward_kernel<gelu_tanh, float, 3072>>;
template struct compiled<
    gpu::qkv_rows_kernel<gpu::Raw::none, bfloat16, 12, 4, 64>,
    gpu::qkv_rows_kernel<gpu::Raw::kept, bfloat16, 12, 4, 64>,
    gpu::qkv_rows_kernel<gpu::Raw::kept, bfloat16, 16, 8, 128>, gpu::qkv_rows_kernel<gpu::Raw::kept, float, 12, 4, 64>,
    gpu::qk_norm_backward_kernel<bfloat16, 12, 4, 64>, gpu::qk_norm_backward_kernel<bfloat16, 16, 8, 128>,
    gpu::qk_norm_backward_kernel<float, 12, 4, 64>>;
template struct compiled<gpu::embed_kernel<bfloat16, 768>, gpu::embed_kernel<float, 768>, gpu::digit_count_kernel<8>,
                         gpu::digit_count_kernel<9>, gpu::place_kernel<8>, gpu::place_kernel<9>,
                         gpu::token_sum_kernel<bfloat16, 768>, gpu::token_sum_kernel<float, 768>,
                         gpu::token_edges_kernel<bfloat16, 768>, gpu::token_edges_kernel<float, 768>,
                         gpu::position_sum_kernel<bfloat16, 768>, gpu::position_sum_kernel<float, 768>>;
// Attention: the head sizes of the presets (48, 64, 80) and the largest on tensor cores; float32; one new position.
template struct compiled<
    gpu::flash_forward<48, gpu::Dropping::no>, gpu::flash_backward<48, gpu::Resident::keys, gpu::Dropping::no>,
    gpu::flash_backward<48, gpu::Resident::queries, gpu::Dropping::no>, gpu::flash_forward<48, gpu::Dropping::yes>,
    gpu::flash_backward<48, gpu::Resident::keys, gpu::Dropping::yes>,
    gpu::flash_backward<48, gpu::Resident::queries, gpu::Dropping::yes>>;
template struct compiled<
    gpu::flash_forward<64, gpu::Dropping::no>, gpu::flash_backward<64, gpu::Resident::keys, gpu::Dropping::no>,
    gpu::flash_backward<64, gpu::Resident::queries, gpu::Dropping::no>, gpu::flash_forward<64, gpu::Dropping::yes>,
    gpu::flash_backward<64, gpu::Resident::keys, gpu::Dropping::yes>,
    gpu::flash_backward<64, gpu::Resident::queries, gpu::Dropping::yes>>;
template struct compiled<
    gpu::flash_forward<80, gpu::Dropping::no>, gpu::flash_backward<80, gpu::Resident::keys, gpu::Dropping::no>,
    gpu::flash_backward<80, gpu::Resident::queries, gpu::Dropping::no>, gpu::flash_forward<80, gpu::Dropping::yes>,
    gpu::flash_backward<80, gpu::Resident::keys, gpu::Dropping::yes>,
    gpu::flash_backward<80, gpu::Resident::queries, gpu::Dropping::yes>>;
template struct compiled<
    gpu::flash_forward<128, gpu::Dropping::no>, gpu::flash_backward<128, gpu::Resident::keys, gpu::Dropping::no>,
    gpu::flash_backward<128, gpu::Resident::queries, gpu::Dropping::no>, gpu::flash_forward<128, gpu::Dropping::yes>,
    gpu::flash_backward<128, gpu::Resident::keys, gpu::Dropping::yes>,
    gpu::flash_backward<128, gpu::Resident::queries, gpu::Dropping::yes>>;
template struct compiled<gpu::plain_forward<float, 48, gpu::Dropping::no>,
                         gpu::plain_backward<float, 48, gpu::Resident::keys, gpu::Dropping::no>,
                         gpu::plain_backward<float, 48, gpu::Resident::queries, gpu::Dropping::no>,
                         gpu::plain_forward<float, 48, gpu::Dropping::yes>,
                         gpu::plain_backward<float, 48, gpu::Resident::keys, gpu::Dropping::yes>,
                         gpu::plain_backward<float, 48, gpu::Resident::queries, gpu::Dropping::yes>,
                         gpu::plain_forward<float, 64, gpu::Dropping::no>,
                         gpu::plain_backward<float, 64, gpu::Resident::keys, gpu::Dropping::no>,
                         gpu::plain_backward<float, 64, gpu::Resident::queries, gpu::Dropping::no>,
                         gpu::plain_forward<float, 64, gpu::Dropping::yes>,
                         gpu::plain_backward<float, 64, gpu::Resident::keys, gpu::Dropping::yes>,
                         gpu::plain_backward<float, 64, gpu::Resident::queries, gpu::Dropping::yes>,
                         gpu::plain_forward<float, 80, gpu::Dropping::no>,
                         gpu::plain_backward<float, 80, gpu::Resident::keys, gpu::Dropping::no>,
                         gpu::plain_backward<float, 80, gpu::Resident::queries, gpu::Dropping::no>,
                         gpu::plain_forward<float, 80, gpu::Dropping::yes>,
                         gpu::plain_backward<float, 80, gpu::Resident::keys, gpu::Dropping::yes>,
                         gpu::plain_backward<float, 80, gpu::Resident::queries, gpu::Dropping::yes>>;
template struct compiled<
    gpu::query_statistics<bfloat16, 64>, gpu::query_statistics<bfloat16, 80>, gpu::query_statistics<float, 64>,
    gpu::decode_split<bfloat16, 64, 1>, gpu::decode_split<bfloat16, 64, 3>, gpu::decode_split<bfloat16, 64, 4>,
    gpu::decode_split<bfloat16, 80, 1>, gpu::decode_combine<bfloat16, 64>, gpu::decode_split<float, 64, 1>,
    gpu::decode_split<float, 64, 3>, gpu::decode_split<float, 64, 4>, gpu::decode_split<float, 80, 1>,
    gpu::decode_combine<float, 64>, gpu::append_to_cache<bfloat16, 8>, gpu::append_to_cache<float, 4>>;
template struct compiled<gpu::norm_sum_kernel<gpu::norm_sum_threads>, gpu::norm_root_kernel<1024>,
                         gpu::adamw_now_kernel<AdamW>, gpu::adamw_kernel<bfloat16>, gpu::adamw_kernel<float>,
                         gpu::convert_kernel<bfloat16>, gpu::convert_kernel<float>>;

}  // namespace tinygpt

// ---- Matrix products, loss head, devices

#include <tinygpt/gpu/devices.cuh>
#include <tinygpt/gpu/linear.cuh>
#include <tinygpt/gpu/loss.cuh>

namespace tinygpt {

// Rows of a width or vocabulary that is a multiple of 16 bytes (every preset's, and GPT-2's 50257 by its stride), and
// of an odd one.
template struct compiled<gpu::column_sums_kernel<float, 4>, gpu::column_sums_kernel<bfloat16, 8>,
                         gpu::column_sums_kernel<float, 1>, gpu::column_sums_kernel<bfloat16, 1>,
                         gpu::add_partials_kernel<1>>;

// Characters (128 threads), 4096 to 32768 tokens (256), and more (512).
template struct compiled<gpu::softmax_loss_kernel<float, 4, 128, gpu::detail::Gradient::yes>,
                         gpu::softmax_loss_kernel<float, 4, 256, gpu::detail::Gradient::yes>,
                         gpu::softmax_loss_kernel<float, 4, 512, gpu::detail::Gradient::yes>,
                         gpu::softmax_loss_kernel<float, 4, 512, gpu::detail::Gradient::no>,
                         gpu::softmax_loss_kernel<bfloat16, 8, 128, gpu::detail::Gradient::yes>,
                         gpu::softmax_loss_kernel<bfloat16, 8, 256, gpu::detail::Gradient::yes>,
                         gpu::softmax_loss_kernel<bfloat16, 8, 512, gpu::detail::Gradient::yes>,
                         gpu::softmax_loss_kernel<bfloat16, 8, 512, gpu::detail::Gradient::no>,
                         gpu::add_losses_kernel<1024>, gpu::code_probe<0>>;

}  // namespace tinygpt
