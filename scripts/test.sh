#!/usr/bin/env bash
# Installs what is needed, builds everything, runs every test.
#
#   scripts/test.sh [PRESET] [flags of ctest, such as -R cli]      PRESET: dev (the default), debug or asan
#
# With TINYGPT_GPU=ON in the environment it fails where there is no CUDA toolkit; else the tests that need one are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

preset=dev
case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/test.sh
    exit 0
    ;;
  dev | debug | asan)
    preset=$1
    shift
    ;;
esac

echo "== Packages"
install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
echo "== Build ($preset)"
cmake --preset "$preset" ${TINYGPT_GPU:+"-DTINYGPT_GPU=$TINYGPT_GPU"}
cmake --build --preset "$preset"
echo "== Test"
# As many at once as there are cores: alone, the slow ones leave half of the machine idle.
ctest --preset "$preset" -j "$(nproc)" "$@"
