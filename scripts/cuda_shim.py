#!/usr/bin/env python3
"""Static libraries in place of CUDA's (libcuda, libnvrtc, libcurand, libcublas, libcublasLt), whose functions look for the
real ones when they are first called and return an error where there are none: a program that is linked with them starts
on any machine. x86-64 Linux alone.

    python3 scripts/cuda_shim.py FOLDER RLIB...      for the functions that these Rust libraries call
"""

import re
import subprocess
import sys
from pathlib import Path

# The files of each library, by what its functions are called, and the error that says that there is none:
# CUDA_ERROR_NO_DEVICE, NVRTC_ERROR_INTERNAL_ERROR, CURAND_STATUS_INITIALIZATION_FAILED, CUBLAS_STATUS_NOT_INITIALIZED.
LIBRARIES = {
    "cublasLt": (["libcublasLt.so.13", "libcublasLt.so.12"], 1),
    "cublas": (["libcublas.so.13", "libcublas.so.12"], 1),
    "curand": (["libcurand.so.10"], 203),
    "nvrtc": (["libnvrtc.so.13", "libnvrtc.so.12"], 11),
    "cuda": (["libcuda.so.1"], 100),
}
WHOLE = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r10"]

RESOLVE = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static const char *names[] = {{{names}, 0}};
static const char *symbols[] = {{{symbols}, 0}};
void *shim_{library}_table[{count}];
static void *handle;
static int tried;
static int missing(void) {{ return {error}; }}
__attribute__((visibility("hidden"))) void *shim_{library}_resolve(long i) {{
    if (!tried) {{
        for (int k = 0; names[k] && !handle; k++) handle = dlopen(names[k], RTLD_NOW | RTLD_GLOBAL);
        tried = 1;
    }}
    void *found = handle ? dlsym(handle, symbols[i]) : NULL;
    if (!found) found = (void *)missing;
    shim_{library}_table[i] = found;
    return found;
}}
"""


def trampolines(library, symbols):
    """Each function jumps to where the table says; the first time it is looked up, with all arguments kept."""
    lines = [".text"]
    for i, symbol in enumerate(symbols):
        lines += [f".globl {symbol}", f".type {symbol},@function", ".p2align 4", f"{symbol}:"]
        lines += [f" movq shim_{library}_table+{8 * i}(%rip),%r11", " testq %r11,%r11", " je 1f", " jmp *%r11"]
        lines += [f"1: movl ${i},%r11d", f" jmp shim_{library}_slow"]
    lines += [f".hidden shim_{library}_resolve", f"shim_{library}_slow:"]
    lines += [f" pushq %{register}" for register in WHOLE] + [" subq $136,%rsp"]
    lines += [f" movups %xmm{k},{16 * k}(%rsp)" for k in range(8)]
    lines += [" movq %r11,%rdi", f" call shim_{library}_resolve", " movq %rax,%r11"]
    lines += [f" movups {16 * k}(%rsp),%xmm{k}" for k in range(8)] + [" addq $136,%rsp"]
    lines += [f" popq %{register}" for register in reversed(WHOLE)] + [" jmp *%r11"]
    return "\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""])


def undefined(rlib):
    """What a Rust library calls of CUDA."""
    listed = subprocess.run(["nm", "--undefined-only", rlib], capture_output=True, text=True, check=False).stdout
    names = {line.split()[-1] for line in listed.splitlines() if line.strip()}
    return {name for name in names if re.match(r"cu[A-Z]|nvrtc|cublas|curand", name)}


def main():
    folder, called = Path(sys.argv[1]), set().union(*(undefined(rlib) for rlib in sys.argv[2:]))
    folder.mkdir(parents=True, exist_ok=True)
    if not called:
        sys.exit("These libraries call nothing of CUDA.")
    for library, (files, error) in LIBRARIES.items():
        # "cublasLt..." is also "cublas...": the first one that fits has it; what is left is the driver's.
        symbols = sorted(name for name in called if library == "cuda" or name.startswith(library))
        called -= set(symbols)
        quoted = lambda names: ", ".join(f'"{name}"' for name in names)
        code = RESOLVE.format(
            library=library, names=quoted(files), symbols=quoted(symbols), count=len(symbols) + 1, error=error
        )
        sources = {f"{library}.c": code, f"{library}_calls.s": trampolines(library, symbols)}
        for name, text in sources.items():
            (folder / name).write_text(text)
            subprocess.check_call(["cc", "-O2", "-fPIC", "-c", folder / name, "-o", folder / f"{name}.o"])
        archive = folder / f"lib{library}.a"
        archive.unlink(missing_ok=True)
        subprocess.check_call(["ar", "rcs", archive, *(folder / f"{name}.o" for name in sources)])


if __name__ == "__main__":
    main()
