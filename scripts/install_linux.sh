#!/usr/bin/env bash
# Installs the system packages that Counterpart needs on Debian and its relatives.
#
#   scripts/install_linux.sh          what the program needs to build and run
#   scripts/install_linux.sh tests    also what its tests need (a display without a screen, a window manager, ...)
#
# Says nothing when everything is there. Elsewhere than Debian it lists what to install.
set -euo pipefail

build=(gcc libc6-dev)
run=(libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon-x11-0 libvulkan1 mesa-vulkan-drivers libegl1 libgl1-mesa-dri)
tests=(imagemagick openbox python3 python3-xlib x11-utils xdotool xvfb zenity)

wanted=("${build[@]}" "${run[@]}")
if [ "${1:-}" = tests ]; then
    wanted+=("${tests[@]}")
elif [ $# -gt 0 ]; then
    echo "usage: $0 [tests]" >&2
    exit 2
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This script knows Debian's packages only. Please install what your system calls these: ${wanted[*]}" >&2
    exit 1
fi

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Run this as root, or install by hand: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
