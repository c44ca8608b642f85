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
