#!/usr/bin/env bash
# Makes a CUDA toolkit that compiles this project, from NVIDIA's wheels on PyPI; needs no root, no driver and no GPU.
#
#   scripts/cuda-toolkit.sh [DIR]      DIR: ~/.cache/tinygpt/cuda-13.0, where the build looks for it by itself
#
# It downloads 530 MB and keeps 211 MB: the wheel of cuBLAS is 423 MB, and only its headers are wanted, because cuBLASLt
# is opened when the program runs. What is there already is not made again. The versions, with their checksums, are in
# scripts/cuda-toolkit.txt.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
list=scripts/cuda-toolkit.txt

fail() {
  echo "cuda-toolkit.sh: $1" >&2
  exit 1
}

case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/cuda-toolkit.sh
    exit 0
    ;;
  -*) fail "there is no option $1: give a directory, or nothing" ;;
  '')
    [ -n "${XDG_CACHE_HOME-}${HOME-}" ] || fail "HOME is not set: give a directory"
    directory=${XDG_CACHE_HOME:-$HOME/.cache}/tinygpt/cuda-13.0
    ;;
  *) directory=$(cd "$called_from" && realpath -m -- "$1") ;;
esac
[ $# -le 1 ] || fail "$# arguments are too many: give one directory, or nothing"

say_how() { echo "Use it with: cmake --preset release -DCUDAToolkit_ROOT=$directory"; }

# The list lies in a finished toolkit, so one made from other versions is made anew.
if cmp -s "$list" "$directory/made-from.txt"; then
  echo "The CUDA toolkit is there already: $directory"
  say_how
  exit
fi
if [ -e "$directory" ] && [ ! -f "$directory/made-from.txt" ] && [ -n "$(ls -A -- "$directory")" ]; then
  fail "$directory is there and is no toolkit that this script made: give another directory"
fi

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
  fail "the list of wheels is for x86-64 Linux, not $(uname -s) on $(uname -m): install NVIDIA's own toolkit, 13.0 or newer"
python3 -m pip --version > /dev/null 2>&1 || fail "python3 has no pip here: apt-get install python3-pip"

mkdir -p "$(dirname "$directory")" 2> /dev/null || fail "cannot make $(dirname "$directory"): give a directory of your own"
work=$(mktemp -d "$directory.XXXXXX") || fail "cannot write beside $directory: give a directory of your own"
trap 'rm -rf "$work"' EXIT

# One wheel at a time, unpacked and removed, so that no more than the largest is on the disk.
mkdir "$work/wheels" "$work/toolkit"
while read -r line; do
  case $line in '' | '#'*) continue ;; esac
  name=${line%% *}
  echo "Downloading $name"
  echo "$line" > "$work/wheel.txt"
  python3 -m pip download --quiet --no-deps --no-cache-dir --only-binary :all: --require-hashes --progress-bar off \
    --requirement "$work/wheel.txt" --dest "$work/wheels" > "$work/pip.log" 2>&1 || {
    cat "$work/pip.log" >&2
    fail "pip could not download $name: see its words above; check the network, and that PyPI can be reached"
  }
  python3 - "$work/wheels"/*.whl "$work/toolkit" << 'PYTHON' || fail "could not unpack $name: is the disk full?"
import os, pathlib, re, sys, zipfile

# What a build reads: the programs, the headers, the code generator, the static runtime and the shared one, for which
# CMake's FindCUDAToolkit asks.
WANTED = re.compile(r"nvidia/cu13/((?:bin|include|nvvm)/.+|lib/libcuda(?:devrt|rt_static)\.a|lib/libcudart\.so\.\d+)")
LICENSE = re.compile(r"([^/]+)\.dist-info/licenses/.+")

with zipfile.ZipFile(sys.argv[1]) as wheel:
    for item in wheel.infolist():
        wanted, license = WANTED.fullmatch(item.filename), LICENSE.fullmatch(item.filename)
        if not (wanted or license) or item.is_dir():
            continue
        path = pathlib.Path(sys.argv[2], wanted[1] if wanted else f"licenses/{license[1]}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wheel.read(item))
        if path.parent.name == "bin" and path.suffix != ".profile":
            os.chmod(path, 0o755)
PYTHON
  rm -f "$work/wheels"/*.whl
done < "$list"

# nvcc looks in lib64, and linkers for names without a number.
ln -s lib "$work/toolkit/lib64"
ln -s libcudart.so.13 "$work/toolkit/lib/libcudart.so"
"$work/toolkit/bin/nvcc" --version > "$work/nvcc.log" 2>&1 || {
  cat "$work/nvcc.log" >&2
  fail "the nvcc that was unpacked does not run: see its words above"
}
cp "$list" "$work/toolkit/made-from.txt"
chmod 755 "$work/toolkit"
rm -rf "$directory"
mv "$work/toolkit" "$directory"
echo "The CUDA toolkit is ready: $directory, $(du -sh "$directory" | cut -f1)"
say_how
