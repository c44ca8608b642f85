# Sourced by the other scripts: asks apt for the Debian packages that are not there yet.

# install_packages NAME...: installs what is missing, with sudo where needed, and says what it does. A NAME of several
# packages, a|b, is there where one of them is; else the first is installed.
install_packages() {
  local name alternative found missing=()
  if ! command -v dpkg-query > /dev/null; then
    echo "This is not Debian or Ubuntu: see that these are installed: $*"
    return
  fi
  for name in "$@"; do
    found=
    for alternative in ${name//|/ }; do
      if [ "$(dpkg-query -W -f '${db:Status-Status}' "$alternative" 2> /dev/null || true)" = installed ]; then
        found=yes
      fi
    done
    if [ -z "$found" ]; then
      missing+=("${name%%|*}")
    fi
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return
  fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null; then
      echo "$0: these packages are missing: ${missing[*]}: ask an administrator to install them with apt-get install" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "Installing with apt: ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

BUILD_PACKAGES=(g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev libcli11-dev zlib1g-dev libzstd-dev libxxhash-dev)
# Debian 12 has two versions of Boost, of which only one can be installed.
TEST_PACKAGES=(clang catch2 libbenchmark-dev python3 unicode-data bible-kjv 'libboost-context-dev|libboost-context1.81-dev')
CUDA_PACKAGES=(g++ python3 python3-pip)  # for scripts/cuda-toolkit.sh
TEXT_PACKAGES=(bible-kjv)
