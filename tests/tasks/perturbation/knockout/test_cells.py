"""Expression by gene and group, and the cells in which a gene is set."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from scmomer.tasks.perturbation.knockout import make_cells
from scmomer.tasks.perturbation.knockout._cells import dose, draw_cells, top_bin


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.6, (200, 12)), dtype=np.float32)
    return make_cells(counts, 10.0, np.arange(200) % 3, 3, 5)


def test_means_and_detection_by_group(cells):
    dense = cells.expression.toarray()
    for group in range(3):
        mine = dense[cells.groups == group]
        np.testing.assert_allclose(cells.mean[group], mine.mean(0), rtol=1e-5)
        np.testing.assert_allclose(cells.detection[group], (mine > 0).mean(0))
    found, level = cells.column(4)
    np.testing.assert_array_equal(found, np.flatnonzero(dense[:, 4]))
    np.testing.assert_allclose(level, dense[found, 4])


def test_the_top_bin_is_the_highest_share_of_a_row():
    dense = np.zeros((3, 12), np.float32)
    dense[0, :10] = np.arange(1, 11)  # highest fifth: 9 and 10
    dense[1, 3] = 7
    np.testing.assert_allclose(top_bin(sp.csr_matrix(dense), 5), [9.5, 7, 0])


@pytest.mark.parametrize("max_cells", [None, 10])
def test_drawn_cells_stand_for_all_that_express_the_gene(cells, max_cells):
    draw = draw_cells(cells, 2, "zero", max_cells, np.random.default_rng(0))
    group = cells.groups[draw.cells]
    np.testing.assert_allclose(np.bincount(group, draw.weight), cells.detection[:, 2])
    assert np.bincount(group).max() <= (max_cells or 200)
    assert (cells.expression[draw.cells, 2].toarray() > 0).all()
    np.testing.assert_allclose(dose(cells, 2, draw), cells.mean[:, 2])


@pytest.mark.parametrize("max_cells", [None, 10])
def test_a_high_gene_rises_to_the_top_bin_of_each_cell(cells, max_cells):
    draw = draw_cells(cells, 2, "top_bin", max_cells, np.random.default_rng(0))
    before = cells.expression[draw.cells, 2].toarray().ravel()
    assert (draw.value > before).all()
    np.testing.assert_allclose(draw.value, np.maximum(before, cells.top[draw.cells]))
    change = np.bincount(cells.groups[draw.cells], draw.weight * (draw.value - before), 3)
    np.testing.assert_allclose(dose(cells, 2, draw), change)
    if max_cells is None:
        every = np.maximum(cells.top - cells.expression[:, [2]].toarray().ravel(), 0)
        expected = [every[cells.groups == g].mean() for g in range(3)]
        np.testing.assert_allclose(change, expected, rtol=1e-5)
