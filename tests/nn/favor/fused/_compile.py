"""Compile all kernels for a card that need not be there; print their shared memory.

python _compile.py CAPABILITY DIM HEADS DIM_HEAD HIDDEN bf16|fp32
"""

from __future__ import annotations

import json
import math
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from scmomer.nn.favor.fused import _attention_kernels as attention
from scmomer.nn.favor.fused import _launch
from scmomer.nn.favor.fused import _row_kernels as rows

WIDE = "top denominator sums_w plain plain_w out_w out_top out_plain out_plain_w weights tops"
WIDE += " norm norm_bias added_bias b1 b2 weight bias dx dy dout residual"
INTEGERS = "n_heads n_tiles n_chunks chunk n_tokens tiles"
STRIDES = "x_stride u_stride attended_stride q_stride out_stride dx_stride"


def compile_kernel(kernel, capability, narrow, constants, blocks, **types):
    """Return the shared memory of a kernel in bytes."""
    signature, values, attributes = {}, {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name.endswith("_ptr"):
            base = name.removesuffix("_ptr")
            given = types.get(base, "fp32" if base in WIDE.split() else narrow)
            signature[name] = f"*{given}"
            attributes[place,] = [["tt.divisibility", 16]]
        elif name in (*INTEGERS.split(), *STRIDES.split()):
            signature[name] = "i32"
            if name in STRIDES.split():
                attributes[place,] = [["tt.divisibility", 16]]
        else:
            signature[name], values[place,] = "constexpr", constants[name]
    options = {"num_warps": blocks.warps, "num_stages": blocks.stages}
    source = ASTSource(kernel, signature, values, attributes)
    found = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return found.metadata.shared


def main(capability, dim, heads, d, hidden, narrow):
    """Compile forward and backward pass."""
    dtype = torch.bfloat16 if narrow == "bf16" else torch.float32
    of = _launch.settings(dim, d, dtype, capability >= 90)
    m = int(d * math.log(d))
    shared = {}

    def add(name, kernel, blocks, types, **constants):
        common = {"PRECISION": _launch._precision(dtype), "BLOCK_T": blocks.tokens}
        shared[name] = compile_kernel(
            kernel, capability, narrow, common | constants, blocks, **types
        )

    of_heads = {"M": m, "ROWS": math.ceil(m / 64) * 64, "D": d, "BLOCK_D": d}
    of_heads |= {"half_norm": 0.1, "log2e": 1.44}
    integers = {"starts": "i32"}
    for gradient in (False, True):
        blocks = of.sums
        sums = of_heads | {"BLOCK_M": blocks.inner, "GRADIENT": gradient}
        add(f"sum {gradient}", attention.sum_kernel, blocks, {"out": "fp32"} | integers, **sums)
    combine = of_heads | {"BLOCK_M": 64, "RESCALE": True, "OVER_HEADS": True}
    add("combine", attention.combine_kernel, of.sums, {"sums": "fp32"}, **combine)
    read = of_heads | {"BLOCK_M": of.read.inner, "SAVE": True}
    add("read", attention.read_kernel, of.read, integers, **read)
    for queries in (False, True):
        some = of_heads | {"BLOCK_M": of.gradient.inner, "QUERIES": queries}
        types = {"dx": narrow} | integers
        add(f"gradient {queries}", attention.gradient_kernel, of.gradient, types, **some)
    of_rows = {"eps": 1e-5, "DIM": dim, "FF": hidden, "EXACT": dtype == torch.float32}
    of_rows["BLOCK_DIM"] = _launch._power_of_two(dim)
    x = {"x": "fp32"}
    add("norm", rows.norm_kernel, of.norm, x, **of_rows)
    add("norm backward", rows.norm_backward_kernel, of.norm, x | {"sums": "fp32"}, **of_rows)
    forward = of_rows | {"BLOCK_FF": of.forward.inner}
    add("forward", rows.feed_forward_kernel, of.forward, x | {"out": "fp32"}, **forward)
    backward = of_rows | {"BLOCK_FF": of.backward.inner}
    types = x | {"sums": "fp32"}
    add("backward", rows.feed_forward_backward_kernel, of.backward, types, **backward)
    print(json.dumps(shared))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:6]), sys.argv[6])
