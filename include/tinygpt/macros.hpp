// The one place that looks at the compiler: host/device annotation and the version.
#pragma once

#if defined(__CUDACC__)
#  define TINYGPT_HD __host__ __device__
#else
#  define TINYGPT_HD
#endif

#define TINYGPT_VERSION "0.1.0"
