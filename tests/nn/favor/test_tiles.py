"""Tiles cover every token once; products of narrow tensors are wide."""

from __future__ import annotations

import pytest
import torch

from scmomer.nn.favor._tiles import (
    Workspace,
    add_product,
    narrow_product,
    tile_tokens,
    tiles,
    wide_product,
)


@pytest.mark.parametrize("size", [1, 7, 24, 100, 240, 10_000])
@pytest.mark.parametrize(("n", "length"), [(1, 1), (1, 500), (5, 61), (7, 240), (3, 1), (0, 5)])
def test_every_token_is_in_one_tile(n, length, size):
    seen = torch.zeros(n, length, 1)
    found = list(tiles(n, length, size))
    for tile in found:
        part = tile_tokens(seen, tile)
        part += 1  # a view, or nothing would be counted
        cells, tokens = tile
        whole = tokens.stop - tokens.start == length
        assert whole or cells.stop - cells.start == 1
        assert len(part) <= max(size + 24, length if whole and size < length else 0)
    assert (seen == 1).all()


def test_tiles_of_a_cell_fit_matrix_kernels():
    sizes = [t.stop - t.start for _, t in tiles(1, 16906, 788)]
    assert len(sizes) == -(-16906 // 788)
    assert len({*sizes[:-1]}) == 1
    assert sizes[0] % 24 == 0


@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5))])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_products(shapes, dtype):
    torch.manual_seed(0)
    a, b = (torch.randn(shape).to(dtype) for shape in shapes)
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    expected = a.to(wide) @ b.to(wide)
    out = torch.empty_like(expected)
    found = wide_product(a, b, out=out)
    assert found.dtype == wide
    torch.testing.assert_close(found, expected)
    narrow = narrow_product(a, b)
    assert narrow.dtype == dtype
    torch.testing.assert_close(narrow, expected.to(dtype))
    total = torch.ones_like(expected)
    add_product(total, a, b)
    torch.testing.assert_close(total, 1 + expected)


def test_a_workspace_gives_the_same_memory_again():
    work = Workspace(torch.empty(1, dtype=torch.float64))
    first = work.take("a", 4, 5)
    assert first.dtype == torch.float64
    assert work.take("a", 2, 3).data_ptr() == first.data_ptr()
    assert work.take("b", 2, 3).data_ptr() != first.data_ptr()
    assert work.take("a", 40, 5).shape == (40, 5)
    assert work.take("c", 2, dtype=torch.bfloat16).dtype == torch.bfloat16
