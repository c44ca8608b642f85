#!/usr/bin/env python3
"""Shows that scripts/kernel-resources.py finds what it is there to find, on toy kernels in a folder of their own.

    kernel_resources_test.py NVCC [FLAGS for nvcc, separated by ;]      NVCC is empty where there is none
"""
import importlib.util
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("kernel_resources", ROOT / "scripts/kernel-resources.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

NVCC = sys.argv[1]
FLAGS = [flag for flag in "".join(sys.argv[2:3]).split(";") if flag]
SCALE = """// __global__ void in_a_comment(
template <class E, int N> __global__ void __launch_bounds__((2 * N), 1) scale(E* y) {
  __shared__ float s[N];
  s[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[N - 1 - threadIdx.x];
}
"""
OTHER = "template <int N> __global__ void zero(float* y) { y[N * threadIdx.x] = 0; }\n"
INDEXED = """template <int N> __global__ void indexed(float* y, const int* at) {
  float a[N];
  for (int n = 0; n < N; ++n) a[n] = y[n];
  for (int n = 0; n < N; ++n) a[at[n]] += a[n];
  for (int n = 0; n < N; ++n) y[n] = a[n];
}
"""
CROWDED = """template <int N> __global__ void __launch_bounds__(1024) crowded(float* y) {
  float a[N];
  for (int n = 0; n < N; ++n) a[n] = y[n * 1024 + threadIdx.x];
  __syncthreads();
  for (int m = 0; m < N; ++m)
    for (int n = 0; n < N; ++n) a[n] = a[n] * a[(n * 7 + 3) % N] + a[m];
  for (int n = 0; n < N; ++n) y[n * 1024 + threadIdx.x] = a[n];
}
"""
CALLED = """__device__ __noinline__ float pick(float x, int at) {
  float a[32];
  for (int n = 0; n < 32; ++n) a[n] = x * n;
  return a[at];
}
template <int N> __global__ void caller(float* y) { y[N] = pick(y[0], int(y[1])); }
"""


class Toy:
    """A tree with one header and one unit, as the project has them."""

    def __init__(self, directory):
        self.root = pathlib.Path(directory)
        for folder in ("include/tinygpt/gpu", "tests/gpu_compile", "docs/reference"):
            (self.root / folder).mkdir(parents=True)

    def compile(self, header, *kernels):
        (self.root / "include/tinygpt/gpu/toy.cuh").write_text(
            f"#pragma once\nnamespace tinygpt::gpu {{\n{header}}}\n")
        (self.root / tool.UNIT).write_text(
            "#include <tinygpt/gpu/toy.cuh>\nnamespace tinygpt {\ntemplate <auto... Kernels> struct compiled {};\n"
            + (f"template struct compiled<{', '.join(kernels)}>;\n" if kernels else "") + "}\n")
        return tool.measured(NVCC, FLAGS, self.root)

    def complaints(self, rows, version):
        return tool.complaints_about(rows, version, self.root)


def expect(condition, sentence):
    if not condition:
        sys.exit(f"failed: {sentence}")


def expect_one(complaints, *words):
    expect(len(complaints) == 1 and all(w in complaints[0] for w in words), f"one complaint with {words}: {complaints}")


def main():
    if not NVCC:
        print("NOT TESTED: this build has no nvcc: see docs/how-to/build-with-cuda.md")
        return tool.SKIPPED
    version = tool.version_of(NVCC)
    with tempfile.TemporaryDirectory() as directory:
        toy = Toy(directory)
        rows = toy.compile(SCALE, "gpu::scale<float, 64>", "gpu::scale<float, 32>")
        expect([row[:2] for row in rows] == [(f"scale<float, {n}>", a) for n in (32, 64) for a in tool.ARCHITECTURES],
               f"two kernels for each GPU, with names as in the source: {rows}")
        expect(all(row[5] == (256 if "64" in row[0] else 128) and row[3:5] == (0, 0) and row[2] > 0 for row in rows),
               f"the shared memory of the source, registers, no spill and no stack: {rows}")

        expect(len(toy.complaints(rows, version)[0]) == 8, "without a page, each row is missing")
        page = toy.root / tool.PAGE
        page.write_text(tool.page_of(version, rows))
        expect(len({len(line) for line in page.read_text().splitlines() if line.startswith("|")}) == 1, "columns line up")
        expect(toy.complaints(rows, version) == ([], None), "a page that was just written is right")

        more = [(kernel, sm, registers + (kernel == "scale<float, 64>" and sm == "89"), *rest)
                for kernel, sm, registers, *rest in rows]
        expect_one(toy.complaints(more, version)[0], "scale<float, 64> for sm_89 has registers", "the table says")
        expect_one(toy.complaints(rows[1:], version)[0], "scale<float, 32> for sm_80 is in the table and not in")
        wrong, not_compared = toy.complaints(more, "99.1")
        expect(wrong == [] and "nvcc " + version in not_compared and "99.1" in not_compared,
               "another nvcc's registers are not compared, and that is said")

        rows = toy.compile(SCALE + OTHER, "gpu::scale<float, 64>", "gpu::scale<float, 32>")
        expect_one(toy.complaints(rows, version)[0], "the kernel zero of include/tinygpt/gpu/toy.cuh is not in")

        for name, source, kernel in (("stack", INDEXED, "indexed<16>"), ("spill", CROWDED, "crowded<96>"),
                                     ("callee's stack", CALLED, "caller<1>")):
            rows = toy.compile(source, f"gpu::{kernel}")
            wrong, _ = toy.complaints(rows, "99.1")
            expect(len(wrong) == len(tool.ARCHITECTURES) and all(kernel in w and "must have neither" in w for w in wrong),
                   f"a {name} is found with any nvcc: {rows}")
            expect(any(row[3] for row in rows) == (name == "spill"), f"spills are counted: {rows}")

        try:
            toy.compile(SCALE, "gpu::no_such_kernel")
            expect(False, "a unit that does not compile is said to")
        except tool.Mistake as mistake:
            expect("does not compile for sm_" in str(mistake), f"the reason is named: {mistake}")

    overloads = tool.readable({"_Z5scalePf", "_Z5scalePd", "_Z4zeroIiLi3EEvPT_"})
    expect(sorted(overloads.values()) == ["scale(double*)", "scale(float*)", "zero<int, 3>"],
           f"overloads keep their parameters: {overloads}")
    print("kernel-resources.py finds changed figures, spills, stacks and kernels that were forgotten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
