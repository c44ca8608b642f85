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

namespace tinygpt {

/// Naming a kernel as an argument compiles it.
template <auto... Kernels> struct compiled {};

}  // namespace tinygpt

// ---- Matrix products, loss head, devices

#include <tinygpt/gpu/devices.cuh>
#include <tinygpt/gpu/linear.cuh>
#include <tinygpt/gpu/loss.cuh>

namespace tinygpt {

// Rows of a width or vocabulary that is a multiple of 16 bytes (every preset's, and GPT-2's 50257 by its stride), and of
// an odd one.
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
