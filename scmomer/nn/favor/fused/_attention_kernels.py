"""Triton kernels of FAVOR+ on packed tokens; feature maps never leave the chip.

Three kernels are enough, because keys and queries are symmetric:

- ``sum_kernel`` adds ``features(x)^T [u, w]`` over the tokens of a cell: keys with ``u = v``,
  ``w = 1`` in the forward pass, queries with the gradients of numerator and denominator in the
  backward pass;
- ``read_kernel`` lets queries read these sums;
- ``gradient_kernel`` gives the gradients of queries, or of keys and values.

Features are the rows of a matrix and tokens its columns, or the other way round, as in flash
attention with the random projections in the place of keys. Exponents are in base 2, sums in float32.
Cells are packed one behind the other; cell ``c`` has the tokens ``starts[c]`` to ``starts[c + 1]``.
"""

from __future__ import annotations

import triton
import triton.language as tl

EPS = tl.constexpr(1e-4)  # as scmomer.nn.favor.EPS
_LOWEST = tl.constexpr(-1e30)  # minus infinity would give NaN in differences


@triton.jit
def _half_norm(x, half_norm: tl.constexpr, axis: tl.constexpr):
    """Half the squared norm of scaled queries or keys, in base 2."""
    x = x.to(tl.float32)
    return tl.sum(x * x, axis) * half_norm


@triton.jit
def sum_kernel(
    x_ptr,
    u_ptr,
    attended_ptr,
    top_ptr,
    denominator_ptr,
    starts_ptr,
    features_ptr,
    out_ptr,
    out_w_ptr,
    out_top_ptr,
    plain_ptr,
    plain_w_ptr,
    n_heads,
    n_chunks,
    chunk,
    x_stride,
    u_stride,
    attended_stride,
    half_norm: tl.constexpr,
    M: tl.constexpr,
    ROWS: tl.constexpr,
    D: tl.constexpr,
    GRADIENT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Sum some features over a chunk of the tokens of a cell, for one head.

    Writes the sums with ``u``, ``(cell, chunk, head, ROWS, D)``, those with ``w``, ``(cell, chunk,
    head, ROWS)``, and the sums of ``u`` and ``w`` alone. Without `GRADIENT` features are relative
    to their maximum in the chunk, which goes to ``out_top``, ``(cell, chunk, head, ROWS)``.
    """
    n_blocks = tl.cdiv(M, BLOCK_M)
    block, rest = tl.program_id(0) % n_blocks, tl.program_id(0) // n_blocks
    head, rest = rest % n_heads, rest // n_heads
    place, cell = rest % n_chunks, rest // n_chunks
    start = tl.load(starts_ptr + cell).to(tl.int64)
    length = (tl.load(starts_ptr + cell + 1) - start).to(tl.int32)
    m = block * BLOCK_M + tl.arange(0, BLOCK_M)
    d = tl.arange(0, BLOCK_D)
    t = tl.arange(0, BLOCK_T)
    features = tl.load(features_ptr + m[:, None] * D + d[None, :], mask=d[None, :] < D, other=0.0)
    columns = head * D + d
    total = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    total_w = tl.zeros([BLOCK_M], tl.float32)
    plain = tl.zeros([BLOCK_D], tl.float32)
    plain_w = 0.0
    top = tl.full([BLOCK_M], _LOWEST, tl.float32)
    end = tl.minimum(place * chunk + chunk, length)
    for first in range(place * chunk, end, BLOCK_T):
        there = first + t < end
        token = start + first + t
        x = tl.load(
            x_ptr + token[None, :] * x_stride + columns[:, None],
            mask=there[None, :] & (d[:, None] < D),
            other=0.0,
        )
        u = tl.load(
            u_ptr + token[:, None] * u_stride + columns[None, :],
            mask=there[:, None] & (d[None, :] < D),
            other=0.0,
        )
        projected = tl.dot(features, x, input_precision=PRECISION)  # (BLOCK_M, BLOCK_T)
        projected += tl.where(there, 0.0, _LOWEST)[None, :]
        norm = _half_norm(x, half_norm, 0)
        if GRADIENT:
            shift = tl.load(top_ptr + token * n_heads + head, mask=there, other=0.0)
            below = tl.load(denominator_ptr + token * n_heads + head, mask=there, other=1.0)
            attended = tl.load(
                attended_ptr + token[:, None] * attended_stride + columns[None, :],
                mask=there[:, None] & (d[None, :] < D),
                other=0.0,
            )
            wide = u.to(tl.float32) / below[:, None]
            w = -tl.sum(wide * attended.to(tl.float32), 1)
            u = wide.to(x.dtype)
            values = tl.exp2(projected - (norm + shift)[None, :])
            total_w += tl.sum(values * w[None, :], 1)
        else:
            w = tl.where(there, 1.0, 0.0)
            new = tl.maximum(top, tl.max(projected, 1))
            shrink = tl.exp2(top - new)
            values = tl.exp2(projected - norm[None, :] - new[:, None])
            total, top = total * shrink[:, None], new
            total_w = total_w * shrink + tl.sum(values, 1)
        total = tl.dot(values.to(u.dtype), u, total, input_precision=PRECISION)
        if block == 0:
            plain += tl.sum(u.to(tl.float32), 0)
            plain_w += tl.sum(w, 0)
    where = ((cell * n_chunks + place) * n_heads + head).to(tl.int64)
    row = where * ROWS + m
    tl.store(out_ptr + row[:, None] * D + d[None, :], total, mask=d[None, :] < D)
    tl.store(out_w_ptr + row, total_w)
    if block == 0:
        tl.store(plain_ptr + where * D + d, plain, mask=d < D)
        tl.store(plain_w_ptr + where, plain_w)
    if not GRADIENT:
        tl.store(out_top_ptr + row, top)


@triton.jit
def read_kernel(
    q_ptr,
    sums_ptr,
    sums_w_ptr,
    plain_ptr,
    plain_w_ptr,
    starts_ptr,
    features_ptr,
    out_ptr,
    top_ptr,
    denominator_ptr,
    n_heads,
    n_tiles,
    q_stride,
    out_stride,
    half_norm: tl.constexpr,
    M: tl.constexpr,
    ROWS: tl.constexpr,
    D: tl.constexpr,
    SAVE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Read the sums over keys, ``(cell, head, ROWS, D)``, by some queries of a cell and head.

    With `SAVE`, write the largest projection and the denominator too, ``(token, head)``.
    """
    head, rest = tl.program_id(0) % n_heads, tl.program_id(0) // n_heads
    tile, cell = rest % n_tiles, rest // n_tiles
    start = tl.load(starts_ptr + cell).to(tl.int64)
    length = (tl.load(starts_ptr + cell + 1) - start).to(tl.int32)
    if tile * BLOCK_T < length:
        d = tl.arange(0, BLOCK_D)
        t = tile * BLOCK_T + tl.arange(0, BLOCK_T)
        there = t < length
        token = start + t
        columns = head * D + d
        q = tl.load(
            q_ptr + token[:, None] * q_stride + columns[None, :],
            mask=there[:, None] & (d[None, :] < D),
            other=0.0,
        )
        where = (cell * n_heads + head).to(tl.int64)
        total = tl.zeros([BLOCK_T, BLOCK_D], tl.float32)
        below = tl.zeros([BLOCK_T], tl.float32)
        top = tl.full([BLOCK_T], _LOWEST, tl.float32)
        for first in range(0, M, BLOCK_M):
            m = first + tl.arange(0, BLOCK_M)
            features = tl.load(
                features_ptr + m[None, :] * D + d[:, None], mask=d[:, None] < D, other=0.0
            )
            sums = tl.load(
                sums_ptr + (where * ROWS + m)[:, None] * D + d[None, :],
                mask=d[None, :] < D,
                other=0.0,
            )
            weight = tl.load(sums_w_ptr + where * ROWS + m)
            projected = tl.dot(q, features, input_precision=PRECISION)  # (BLOCK_T, BLOCK_M)
            projected += tl.where(m < M, 0.0, _LOWEST)[None, :]
            new = tl.maximum(top, tl.max(projected, 1))
            shrink = tl.exp2(top - new)
            values = tl.exp2(projected - new[:, None])
            total = total * shrink[:, None]
            total = tl.dot(values.to(q.dtype), sums, total, input_precision=PRECISION)
            below = below * shrink + tl.sum(values * weight[None, :], 1)
            top = new
        scale = tl.exp2(-_half_norm(q, half_norm, 1))
        plain = tl.load(plain_ptr + where * D + d, mask=d < D, other=0.0)
        below = tl.maximum(below * scale + EPS * tl.load(plain_w_ptr + where), 1e-30)
        total = (total * scale[:, None] + EPS * plain[None, :]) / below[:, None]
        tl.store(
            out_ptr + token[:, None] * out_stride + columns[None, :],
            total.to(out_ptr.dtype.element_ty),
            mask=there[:, None] & (d[None, :] < D),
        )
        if SAVE:
            tl.store(top_ptr + token * n_heads + head, top, mask=there)
            tl.store(denominator_ptr + token * n_heads + head, below, mask=there)


@triton.jit
def gradient_kernel(
    x_ptr,
    u_ptr,
    attended_ptr,
    top_ptr,
    denominator_ptr,
    sums_ptr,
    sums_w_ptr,
    plain_ptr,
    starts_ptr,
    features_ptr,
    dx_ptr,
    du_ptr,
    n_heads,
    n_tiles,
    x_stride,
    u_stride,
    attended_stride,
    dx_stride,
    half_norm: tl.constexpr,
    log2e: tl.constexpr,
    M: tl.constexpr,
    ROWS: tl.constexpr,
    D: tl.constexpr,
    QUERIES: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    """Gradients of some queries; or of some keys, and of their values.

    `sums` are those over keys for queries, and their gradients for keys, ``(cell, head, ROWS, D)``.
    ``u`` is the gradient of the attention for queries, and the values for keys.
    """
    head, rest = tl.program_id(0) % n_heads, tl.program_id(0) // n_heads
    tile, cell = rest % n_tiles, rest // n_tiles
    start = tl.load(starts_ptr + cell).to(tl.int64)
    length = (tl.load(starts_ptr + cell + 1) - start).to(tl.int32)
    if tile * BLOCK_T < length:
        d = tl.arange(0, BLOCK_D)
        t = tile * BLOCK_T + tl.arange(0, BLOCK_T)
        there = t < length
        inside = there[:, None] & (d[None, :] < D)
        token = start + t
        columns = head * D + d
        x = tl.load(x_ptr + token[:, None] * x_stride + columns[None, :], mask=inside, other=0.0)
        u = tl.load(u_ptr + token[:, None] * u_stride + columns[None, :], mask=inside, other=0.0)
        if QUERIES:
            shift = tl.load(top_ptr + token * n_heads + head, mask=there, other=0.0)
            below = tl.load(denominator_ptr + token * n_heads + head, mask=there, other=1.0)
            attended = tl.load(
                attended_ptr + token[:, None] * attended_stride + columns[None, :],
                mask=inside,
                other=0.0,
            )
            wide = u.to(tl.float32) / below[:, None]
            w = -tl.sum(wide * attended.to(tl.float32), 1)
            u = wide.to(x.dtype)
        else:
            w = tl.full([BLOCK_T], 1.0, tl.float32)
            shift = tl.load(top_ptr + cell * n_heads + head) + tl.zeros([BLOCK_T], tl.float32)
        shift += _half_norm(x, half_norm, 1)
        where = (cell * n_heads + head).to(tl.int64)
        dx = tl.zeros([BLOCK_T, BLOCK_D], tl.float32)
        du = tl.zeros([BLOCK_T, BLOCK_D], tl.float32)
        slope = tl.zeros([BLOCK_T], tl.float32)
        for first in range(0, M, BLOCK_M):
            m = first + tl.arange(0, BLOCK_M)
            features = tl.load(
                features_ptr + m[:, None] * D + d[None, :], mask=d[None, :] < D, other=0.0
            )
            sums = tl.load(
                sums_ptr + (where * ROWS + m)[:, None] * D + d[None, :],
                mask=d[None, :] < D,
                other=0.0,
            )
            weight = tl.load(sums_w_ptr + where * ROWS + m)
            projected = tl.dot(x, tl.trans(features), input_precision=PRECISION)
            projected += tl.where(m < M, 0.0, _LOWEST)[None, :]
            values = tl.exp2(projected - shift[:, None])  # (BLOCK_T, BLOCK_M)
            dvalues = tl.dot(u, tl.trans(sums), input_precision=PRECISION)
            dprojected = (dvalues + w[:, None] * weight[None, :]) * values
            slope += tl.sum(dprojected, 1)
            dx = tl.dot(dprojected.to(x.dtype), features, dx, input_precision=PRECISION)
            if not QUERIES:
                du = tl.dot(values.to(x.dtype), sums, du, input_precision=PRECISION)
        # features hold log2(e), and half_norm holds it too: the exponents are in base 2.
        dx = dx / log2e - x.to(tl.float32) * slope[:, None] * (2 * half_norm / log2e)
        tl.store(
            dx_ptr + token[:, None] * dx_stride + columns[None, :],
            dx.to(dx_ptr.dtype.element_ty),
            mask=inside,
        )
        if not QUERIES:
            plain = tl.load(plain_ptr + where * D + d, mask=d < D, other=0.0)
            du += EPS * plain[None, :]
            tl.store(
                du_ptr + token[:, None] * dx_stride + columns[None, :],
                du.to(du_ptr.dtype.element_ty),
                mask=inside,
            )
