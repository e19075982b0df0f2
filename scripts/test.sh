#!/usr/bin/env bash
# Runs the tests the way CI does: installs what they need, then `cargo test` with a software Vulkan driver, so that
# pictures come out the same on every machine. Arguments go to cargo: scripts/test.sh --lib nam
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_linux.sh tests

export WGPU_BACKEND=${WGPU_BACKEND:-vulkan}
if [ -z "${VK_DRIVER_FILES:-}" ]; then
    for driver in /usr/share/vulkan/icd.d/lvp_icd*.json; do
        [ -e "$driver" ] && export VK_DRIVER_FILES=$driver && break
    done
fi
export LP_NUM_THREADS=${LP_NUM_THREADS:-2}
export RUST_BACKTRACE=${RUST_BACKTRACE:-1}

exec cargo test "$@"
