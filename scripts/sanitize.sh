#!/usr/bin/env bash
# Runs the tests of the kernels, which have all unsafe code of the computations (src/ops/simd), where mistakes show:
#
#   scripts/sanitize.sh address    under AddressSanitizer, every instruction set of this processor
#   scripts/sanitize.sh miri       under Miri, the portable kernels (needs a nightly toolchain with miri and rust-src; 20 minutes)
#   scripts/sanitize.sh arm        on 64-bit Arm, emulated (needs the target aarch64-unknown-linux-gnu, the packages
#                                  qemu-user-static, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross)
#   scripts/sanitize.sh            all three
#
# What else is said goes to the tests: scripts/sanitize.sh address convolutions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/kernels"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target}/kernels
which=${1:-all}
[ $# -gt 0 ] && shift

address() {
    # The sanitizer's library comes with the stable toolchain, its flag does not.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --lib --target x86_64-unknown-linux-gnu -- "$@"
}

miri() {
    # The team of threads never ends. Rayon's pool, which it replaced, needed tree borrows.
    MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks ${MIRIFLAGS:-}" \
        cargo +nightly miri test --lib -- "$@"
}

arm() {
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
        cargo test --lib --target aarch64-unknown-linux-gnu -- "$@"
}

case $which in
address | miri | arm) "$which" "$@" ;;
all)
    address "$@"
    miri "$@"
    arm "$@"
    ;;
*)
    echo "usage: $0 [address | miri | arm] [TEST ...]" >&2
    exit 2
    ;;
esac
