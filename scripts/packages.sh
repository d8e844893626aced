# SPDX-License-Identifier: Apache-2.0
# Sourced by the other scripts: Debian packages, installed only when they are missing.

say() { printf '%s\n' "$*" >&2; }

# need_packages NAME...: returns at once, without network, when all are installed.
need_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed$' ||
            missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    local root=()
    if [[ $(id -u) != 0 ]]; then
        if ! command -v sudo >/dev/null; then
            say "error: packages are missing: ${missing[*]}: install them as root, or install sudo"
            return 1
        fi
        root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || {
        say "error: apt-get could not install: ${missing[*]}: check the network and the sources of apt"
        return 1
    }
}

build_packages=(
    cmake ninja-build g++ dpkg-dev file pkg-config  # the last three: tests of packages
    libfaiss-dev libopenblas-dev liblapacke-dev libeigen3-dev libdnnl-dev
    libhdf5-dev libpcre2-dev libsentencepiece-dev libutf8proc-dev libxxhash-dev libyaml-cpp-dev libjs-chart.js
    libcli11-dev nlohmann-json3-dev libfmt-dev
    libgtest-dev libgmock-dev libbenchmark-dev
    python3 python3-h5py python3-numpy)  # the decoder in docs/store-format.md, as a test
