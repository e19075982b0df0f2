#!/usr/bin/env bash
# Builds the program for NVIDIA cards, as one binary that starts without a driver as well and uses the processor there:
#
#   scripts/build_cuda.sh          makes target/release/counterpart; more arguments go to cargo
#
# Needs the CUDA toolkit (nvcc in PATH, or CUDA_HOME), neither card nor driver; x86-64 Linux. CUDA_COMPUTE_CAP: for which
# cards (80, unless said otherwise: Ampere and later). On the machine with the card, CUDA's libraries (libcublas,
# libcurand, libnvrtc) must be found by the loader: LD_LIBRARY_PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

real=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
real=${real:-$(command -v nvcc || true)}
if [ ! -x "$real" ]; then
    echo "There is no nvcc: install the CUDA toolkit and set CUDA_HOME to its folder." >&2
    exit 1
fi
CUDA_HOME=${CUDA_HOME:-$(dirname "$(dirname "$(readlink -f "$real")")")}
export CUDA_HOME CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
made=$target/cuda
mkdir -p "$made/bin" "$made/lib"

# candle's kernels of quantised networks take half an hour to compile and are never called here: they stay empty.
: >"$made/empty.cu"
cat >"$made/bin/nvcc" <<WRAPPER
#!/usr/bin/env bash
arguments=()
for argument in "\$@"; do
    case \$argument in
    */moe/*.cu | */mmvq_gguf.cu | */mmq_gguf/*.cu) argument=$made/empty.cu ;;
    esac
    arguments+=("\$argument")
done
exec "$real" "\${arguments[@]}"
WRAPPER
chmod +x "$made/bin/nvcc"
export NVCC=$made/bin/nvcc PATH=$made/bin:$(dirname "$real"):$PATH

# candle links with the driver's libraries, without which the program would not even start. The library needs no linking
# yet; what it calls of CUDA is then linked with functions that look for CUDA when they are called.
rlibs=$(cargo build --release --features cuda --lib --message-format=json "$@" |
    grep -oE '"[^"]*/lib(cudarc|candle_core)-[0-9a-f]+\.rlib"' | tr -d '"' | sort -u)
python3 scripts/cuda_shim.py "$made/lib" $rlibs
static=$(find "$CUDA_HOME/" -name libcudart_static.a | head -n 1)
if [ -z "$static" ]; then
    echo "There is no libcudart_static.a below $CUDA_HOME: install the toolkit's runtime library." >&2
    exit 1
fi
cp "$static" "$made/lib/libcudart.a"
cargo rustc --release --features cuda --bin counterpart "$@" -- -L native="$made/lib"

if ldd "$target/release/counterpart" | grep -E 'lib(cuda|cublas|curand|nvrtc)'; then
    echo "The program was linked with these libraries: it starts only where they are." >&2
    exit 1
fi
