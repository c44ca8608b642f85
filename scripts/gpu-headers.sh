#!/usr/bin/env bash
# Packs the headers that the GPU programs and their tests need into one folder, for a machine with a GPU that has a
# compiler and CMake, and can install nothing: scripts/test-gpu.sh and scripts/bench-gpu.sh take it as --headers DIR.
#
#   scripts/gpu-headers.sh DIR       Eigen, Catch2, nlohmann-json and CLI11, in 9 MB; DIR.tar.gz takes 1.3
set -euo pipefail

case "${1-}" in
  "" | -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
out=${1%/}

# header_folder FILE...: the folder of the compiler's search path that has the first of the files that is there.
header_folder() {
  local file folder
  for file in "$@"; do
    while read -r folder; do
      if [ -e "$folder/$file" ]; then
        echo "$folder"
        return
      fi
    done < <(printf '%s\n' /usr/include/eigen3 /usr/local/include/eigen3
             echo | "${CXX:-c++}" -E -v -x c++ - 2>&1 | sed -n '/#include </,/End of search/s/^ //p')
  done
  return 1
}

# pack CONFIG TARGET SUBFOLDER PACKAGE HEADER...: copies the folders of a library's headers and says to CMake where
# they are; SUBFOLDER is where they lie under include/.
pack() {
  local config=$1 target=$2 sub=$3 package=$4 from header
  shift 4
  if ! from=$(header_folder "$@"); then
    echo "gpu-headers: ${*: -1} was not found: apt-get install $package" >&2
    exit 1
  fi
  mkdir -p "$out/include/$sub"
  for header in "$@"; do
    if [ -e "$from/$header" ]; then
      cp -rL "$from/${header%%/*}" "$out/include/$sub"
    fi
  done
  mkdir -p "$out/share/cmake/$config"
  cat > "$out/share/cmake/$config/${config}Config.cmake" << CMAKE
# $config's headers, packed by tinygpt's scripts/gpu-headers.sh.
if(NOT TARGET $target)
  add_library($target INTERFACE IMPORTED)
  set_target_properties($target PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "\${CMAKE_CURRENT_LIST_DIR}/../../../include/$sub")
endif()
CMAKE
  # Which version it is was asked of the machine that packed it.
  cat > "$out/share/cmake/$config/${config}ConfigVersion.cmake" << 'CMAKE'
set(PACKAGE_VERSION_COMPATIBLE TRUE)
CMAKE
}

if [ -e "$out" ] && [ ! -e "$out/share/cmake/Eigen3" ]; then
  echo "gpu-headers: $out is there and was not made by this script: give a folder that is not there" >&2
  exit 1
fi
rm -rf "$out"
pack Eigen3 Eigen3::Eigen eigen3 libeigen3-dev Eigen/Dense
pack Catch2 Catch2::Catch2 . catch2 catch2/catch.hpp
pack nlohmann_json nlohmann_json::nlohmann_json . nlohmann-json3-dev nlohmann/json.hpp
pack CLI11 CLI11::CLI11 . libcli11-dev CLI/CLI.hpp
tar -C "$(dirname "$out")" -czf "$out.tar.gz" "$(basename "$out")"
echo "$out: $(du -sm "$out" | cut -f1) MB; $out.tar.gz: $(du -sk "$out.tar.gz" | cut -f1) kB"
