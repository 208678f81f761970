"""Triton kernels on the rows of the residual stream: layer norm, and the feed-forward layer.

The feed-forward layer keeps a tile of tokens on the chip while its weights stream by; its hidden
units never leave it in the forward pass. The backward pass writes them once, for the products that
give the gradients of weights.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _normed(x, inside, DIM: tl.constexpr, eps: tl.constexpr):
    """Return the normed rows, and one over their standard deviation."""
    mean = tl.sum(x, 1) / DIM
    centered = tl.where(inside, x - mean[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(centered * centered, 1) / DIM + eps)
    return centered * scale[:, None], scale


@triton.jit
def _norm_gradient(dh, normed, scale, weight, DIM: tl.constexpr):
    """Return the gradient of the rows before the norm."""
    d = dh * weight[None, :]
    along = tl.sum(d * normed, 1) / DIM
    return (d - tl.sum(d, 1)[:, None] / DIM - normed * along[:, None]) * scale[:, None]


@triton.jit
def norm_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    out_ptr,
    n_tokens,
    eps: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Layer norm of rows, in the type of the output."""
    t = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    c = tl.arange(0, BLOCK_DIM)
    inside = (t[:, None] < n_tokens) & (c[None, :] < DIM)
    x = tl.load(x_ptr + t[:, None] * DIM + c[None, :], mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + c, mask=c < DIM, other=0.0)
    bias = tl.load(bias_ptr + c, mask=c < DIM, other=0.0)
    normed, _ = _normed(x, c[None, :] < DIM, DIM, eps)
    h = normed * weight[None, :] + bias[None, :]
    tl.store(out_ptr + t[:, None] * DIM + c[None, :], h.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def norm_backward_kernel(
    x_ptr,
    dh_ptr,
    residual_ptr,
    weight_ptr,
    bias_ptr,
    dx_ptr,
    h_ptr,
    sums_ptr,
    n_tokens,
    tiles,
    eps: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Gradient of rows through a layer norm, plus that of the residual stream.

    Writes the normed rows again too. Each program takes `tiles` tiles and writes its sums for weight
    and bias, ``(program, 2 DIM)``.
    """
    c = tl.arange(0, BLOCK_DIM)
    weight = tl.load(weight_ptr + c, mask=c < DIM, other=0.0)
    bias = tl.load(bias_ptr + c, mask=c < DIM, other=0.0)
    dweight = tl.zeros([BLOCK_DIM], tl.float32)
    dbias = tl.zeros([BLOCK_DIM], tl.float32)
    for i in range(tiles):
        t = (tl.program_id(0) * tiles + i).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
        inside = (t[:, None] < n_tokens) & (c[None, :] < DIM)
        at = t[:, None] * DIM + c[None, :]
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
        dh = tl.load(dh_ptr + at, mask=inside, other=0.0).to(tl.float32)
        dx = tl.load(residual_ptr + at, mask=inside, other=0.0)
        normed, scale = _normed(x, c[None, :] < DIM, DIM, eps)
        dx += _norm_gradient(dh, normed, scale, weight, DIM)
        dweight += tl.sum(dh * normed, 0)
        dbias += tl.sum(dh, 0)
        tl.store(dx_ptr + at, dx, mask=inside)
        h = normed * weight[None, :] + bias[None, :]
        tl.store(h_ptr + at, h.to(h_ptr.dtype.element_ty), mask=inside)
    sums_ptr += tl.program_id(0) * (2 * DIM)
    tl.store(sums_ptr + c, dweight, mask=c < DIM)
    tl.store(sums_ptr + DIM + c, dbias, mask=c < DIM)


@triton.jit
def _normal_cdf(x, EXACT: tl.constexpr):
    """The normal distribution function; to 2e-7 if not `EXACT`, in a third of the instructions.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.28.
    """
    z = x * 0.7071067811865476
    if EXACT:
        return 0.5 + 0.5 * tl.erf(z)
    a = tl.abs(z)
    p = 0.0000430638 * a + 0.0002765672
    p = p * a + 0.0001520143
    p = p * a + 0.0092705272
    p = p * a + 0.0422820123
    p = p * a + 0.0705230784
    p = p * a + 1
    p = p * p
    p = p * p
    p = p * p
    tail = 0.5 / (p * p)
    return tl.where(x > 0, 1 - tail, tail)


@triton.jit
def _after_attention(x_ptr, added_ptr, added_bias_ptr, at, c, inside, DIM: tl.constexpr):
    """Return a tile of the stream after attention."""
    y = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    y += tl.load(added_ptr + at, mask=inside, other=0.0).to(tl.float32)
    return y + tl.load(added_bias_ptr + c, mask=c < DIM, other=0.0)[None, :]


@triton.jit
def feed_forward_kernel(
    x_ptr,
    added_ptr,
    added_bias_ptr,
    norm_ptr,
    norm_bias_ptr,
    w1_ptr,
    b1_ptr,
    w2_ptr,
    b2_ptr,
    out_ptr,
    n_tokens,
    eps: tl.constexpr,
    DIM: tl.constexpr,
    FF: tl.constexpr,
    PRECISION: tl.constexpr,
    EXACT: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_FF: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Return ``y + w2 gelu(w1 norm(y) + b1) + b2`` with ``y = x + added + added_bias``."""
    t = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    c = tl.arange(0, BLOCK_DIM)
    f = tl.arange(0, BLOCK_FF)
    at = t[:, None] * DIM + c[None, :]
    inside = (t[:, None] < n_tokens) & (c[None, :] < DIM)
    y = _after_attention(x_ptr, added_ptr, added_bias_ptr, at, c, inside, DIM)
    normed, _ = _normed(y, c[None, :] < DIM, DIM, eps)
    weight = tl.load(norm_ptr + c, mask=c < DIM, other=0.0)
    bias = tl.load(norm_bias_ptr + c, mask=c < DIM, other=0.0)
    h = (normed * weight[None, :] + bias[None, :]).to(w1_ptr.dtype.element_ty)
    y += tl.load(b2_ptr + c, mask=c < DIM, other=0.0)[None, :]
    for first in range(0, FF, BLOCK_FF):
        row = first + f
        w1 = tl.load(
            w1_ptr + row[None, :] * DIM + c[:, None],
            mask=(row[None, :] < FF) & (c[:, None] < DIM),
            other=0.0,
        )
        before = tl.dot(h, w1, input_precision=PRECISION)
        before += tl.load(b1_ptr + row, mask=row < FF, other=0.0)[None, :]
        w2 = tl.load(
            w2_ptr + c[None, :] * FF + row[:, None],
            mask=(row[:, None] < FF) & (c[None, :] < DIM),
            other=0.0,
        )
        hidden = before * _normal_cdf(before, EXACT)
        y = tl.dot(hidden.to(h.dtype), w2, y, input_precision=PRECISION)
    tl.store(out_ptr + at, y.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def feed_forward_backward_kernel(
    x_ptr,
    added_ptr,
    added_bias_ptr,
    norm_ptr,
    norm_bias_ptr,
    w1_ptr,
    b1_ptr,
    w2_ptr,
    dout_ptr,
    h_ptr,
    hidden_ptr,
    dbefore_ptr,
    narrow_dout_ptr,
    dy_ptr,
    narrow_dy_ptr,
    sums_ptr,
    n_tokens,
    eps: tl.constexpr,
    DIM: tl.constexpr,
    FF: tl.constexpr,
    PRECISION: tl.constexpr,
    EXACT: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_FF: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Gradient of the residual stream after attention.

    Writes what the products for the weights need: the normed rows, the hidden units, the gradient
    before the activation, and those of the output and of ``y`` in narrow types; and for each
    program the sums over tokens ``(program, 4 DIM + FF)``: for the norm, its bias, and for the biases
    of output, of attention and of the hidden units.
    """
    sums_ptr += tl.program_id(0) * (4 * DIM + FF)
    t = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    c = tl.arange(0, BLOCK_DIM)
    f = tl.arange(0, BLOCK_FF)
    at = t[:, None] * DIM + c[None, :]
    inside = (t[:, None] < n_tokens) & (c[None, :] < DIM)
    y = _after_attention(x_ptr, added_ptr, added_bias_ptr, at, c, inside, DIM)
    normed, _ = _normed(y, c[None, :] < DIM, DIM, eps)
    weight = tl.load(norm_ptr + c, mask=c < DIM, other=0.0)
    bias = tl.load(norm_bias_ptr + c, mask=c < DIM, other=0.0)
    narrow = w1_ptr.dtype.element_ty
    h = (normed * weight[None, :] + bias[None, :]).to(narrow)
    tl.store(h_ptr + at, h, mask=inside)
    dout = tl.load(dout_ptr + at, mask=inside, other=0.0).to(narrow)
    tl.store(narrow_dout_ptr + at, dout, mask=inside)
    dh = tl.zeros([BLOCK_T, BLOCK_DIM], tl.float32)
    for first in range(0, FF, BLOCK_FF):
        row = first + f
        some = (row[:, None] < FF) & (c[None, :] < DIM)
        w1 = tl.load(w1_ptr + row[:, None] * DIM + c[None, :], mask=some, other=0.0)
        before = tl.dot(h, tl.trans(w1), input_precision=PRECISION)
        before += tl.load(b1_ptr + row, mask=row < FF, other=0.0)[None, :]
        w2 = tl.load(
            w2_ptr + c[:, None] * FF + row[None, :],
            mask=(row[None, :] < FF) & (c[:, None] < DIM),
            other=0.0,
        )
        dhidden = tl.dot(dout, w2, input_precision=PRECISION)
        below = _normal_cdf(before, EXACT)
        density = 0.3989422804014327 * tl.exp2(before * before * -0.7213475204444817)
        wide = dhidden * (below + before * density)
        dbefore = wide.to(narrow)
        units = t[:, None] * FF + row[None, :]
        kept = (t[:, None] < n_tokens) & (row[None, :] < FF)
        tl.store(hidden_ptr + units, (before * below).to(narrow), mask=kept)
        tl.store(dbefore_ptr + units, dbefore, mask=kept)
        tl.store(sums_ptr + 4 * DIM + row, tl.sum(wide, 0), mask=row < FF)
        dh = tl.dot(dbefore, w1, dh, input_precision=PRECISION)
    # Read and normed again: the registers that would hold the rows are needed in the loop.
    y = _after_attention(x_ptr, added_ptr, added_bias_ptr, at, c, inside, DIM)
    normed, scale = _normed(y, c[None, :] < DIM, DIM, eps)
    tl.store(sums_ptr + c, tl.sum(dh * normed, 0), mask=c < DIM)
    tl.store(sums_ptr + DIM + c, tl.sum(dh, 0), mask=c < DIM)
    weight = tl.load(norm_ptr + c, mask=c < DIM, other=0.0)
    dy = _norm_gradient(dh, normed, scale, weight, DIM)
    wide = tl.load(dout_ptr + at, mask=inside, other=0.0)
    tl.store(sums_ptr + 2 * DIM + c, tl.sum(wide, 0), mask=c < DIM)
    dy += wide
    tl.store(sums_ptr + 3 * DIM + c, tl.sum(dy, 0), mask=c < DIM)
    tl.store(dy_ptr + at, dy, mask=inside)
    tl.store(narrow_dy_ptr + at, dy.to(narrow), mask=inside)
