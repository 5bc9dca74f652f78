#!/usr/bin/env bash
# Installs what is missing, configures and builds. Quiet where everything is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Usage: scripts/bootstrap.sh [release|dev|asan] [options]

Installs missing system packages (Debian 12, Ubuntu 24.04; as root or with sudo), makes .venv with
the versions of scripts/requirements.txt, configures the preset (default: release) and builds it.
Without a network it builds with what the machine has.

  --configure-only   stop before the build
  --deps-only        stop before configure
  --tools-only       build the tools, not the tests
  --cpu              build without CUDA even where a CUDA compiler is
  --help             this text
TEXT
}

preset=release
stop_after=build
targets=()
cpu=OFF
for argument in "$@"; do
  case "$argument" in
    release | dev | asan) preset=$argument ;;
    --configure-only) stop_after=configure ;;
    --deps-only) stop_after=deps ;;
    --tools-only) targets=(--target lococo-tools) ;;
    --cpu) cpu=ON ;;
    -h | --help) usage; exit 0 ;;
    *) echo "bootstrap: unknown argument '$argument'; see --help" >&2; exit 2 ;;
  esac
done

say() { echo "bootstrap: $*"; }

packages=(
  build-essential cmake ninja-build ccache pkg-config git
  python3 python3-venv
  libopenmpi-dev openmpi-bin
  libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev
  libsentencepiece-dev sentencepiece catch2 libzstd-dev libxxhash-dev libutfcpp-dev
  libpcre2-dev
  libprotobuf-dev  # Ubuntu's sentencepiece asks for it, and its package does not
)

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian or Ubuntu system: install the equivalents of: ${packages[*]}"
    return
  fi
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      say "missing packages, and no root rights to install them; run:"
      say "  sudo apt-get install ${missing[*]}"
      return
    fi
  fi
  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 5 "$log"
    say "could not install them (no network?); going on with what is there"
  fi
  rm -f "$log"
}

# pip, silent unless it fails.
pip_install() {
  local log code=0
  log=$(mktemp)
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-input "$@" >"$log" 2>&1 ||
    code=$?
  [ $code -eq 0 ] || tail -n 2 "$log"
  rm -f "$log"
  return $code
}

# A .venv that the stamp says is complete is left alone. One that pip could not fill is removed:
# configure then finds the torch of python3, if that has one.
make_venv() {
  local stamp=.venv/lococo-requirements
  if cmp -s scripts/requirements.txt "$stamp" 2>/dev/null; then
    return
  fi
  if [ ! -x .venv/bin/python ] && ! python3 -m venv .venv 2>/dev/null; then
    say "python3 cannot make a virtual environment (package python3-venv missing?)"
    rm -rf .venv
    return
  fi
  say "installing torch and the Python side of the tests into .venv (several GB, some minutes)"
  if pip_install -r scripts/requirements.txt; then
    cp scripts/requirements.txt "$stamp"
  elif .venv/bin/python -c 'import torch' 2>/dev/null; then
    say "pip could not install everything; going on with what .venv holds"
  else
    rm -rf .venv
    if python3 -c 'import torch' 2>/dev/null; then
      say "pip could not install torch (no network?); using the torch of $(command -v python3)"
    else
      say "pip could not install torch, and python3 has none: configure needs -DLC_TORCH_ROOT=..."
    fi
  fi
}

nvcc_works() { "$1" --version 2>/dev/null | grep -q 'release 13\.'; }

# A CUDA compiler from pip, where the machine has none of CUDA 13. The pip tree is made to look like
# a toolkit.
install_nvcc() {
  [ "$cpu" = ON ] && return
  [ "$preset" = asan ] && return
  nvcc_works nvcc || nvcc_works /usr/local/cuda/bin/nvcc && return
  [ -x .venv/bin/python ] || return 0
  local toolkit
  toolkit=$(.venv/bin/python -c \
    'import sysconfig; print(sysconfig.get_path("purelib") + "/nvidia/cu13")')
  [ -d "$toolkit" ] || return 0  # a CPU build of torch
  if [ ! -x "$toolkit/bin/nvcc" ]; then
    say "no CUDA 13 compiler on this machine: installing one into .venv"
    if ! pip_install nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
      nvidia-cuda-cccl==13.0.85; then
      say "could not install it; building for CPU only"
      return
    fi
  fi
  [ -e "$toolkit/lib64" ] || ln -s lib "$toolkit/lib64"
  local library
  for library in "$toolkit"/lib/lib*.so.*; do
    [ -e "${library%%.so.*}.so" ] || ln -s "$(basename "$library")" "${library%%.so.*}.so"
  done
}

install_packages
make_venv
install_nvcc
[ "$stop_after" = deps ] && exit 0

# Configure again only when asked for something new: ninja notices changed CMake files itself.
build=build/$preset
wanted="LC_WITH_CUDA:BOOL=$([ "$cpu" = ON ] || [ "$preset" = asan ] && echo OFF || echo ON)"
if [ ! -f "$build/build.ninja" ] || ! grep -qxF "$wanted" "$build/CMakeCache.txt"; then
  log=$(mktemp)
  if ! cmake --preset "$preset" "-D$wanted" >"$log" 2>&1; then
    cat "$log"
    say "configure failed"
    exit 1
  fi
  grep -- '-- LoCoCo' "$log" || true
  rm -f "$log"
fi
[ "$stop_after" = configure ] && exit 0

# A file with the torch headers takes up to 2 GB to compile.
memory_gb=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 8)
jobs=$(nproc)
[ $((memory_gb / 2)) -lt "$jobs" ] && jobs=$((memory_gb / 2))
[ "$jobs" -lt 1 ] && jobs=1
cmake --build --preset "$preset" -j "$jobs" ${targets[@]+"${targets[@]}"}
