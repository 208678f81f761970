"""Checks of arguments that models of response and of synergy share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.tasks.drugs._checks import check_cells, check_seeds


def test_cells(refuses):
    check_cells(AnnData(np.ones((2, 3))))
    for other in (pd.DataFrame(), "lines.h5ad", None):
        with refuses(
            TypeError,
            "Expected cells as an AnnData",
            type(other).__name__,
            "anndata.AnnData(table)",
        ):
            check_cells(other)


@pytest.mark.parametrize("seeds", [[0], (0, 3), range(2), np.arange(2), pd.Index([1, 2])])
def test_seeds(seeds):
    check_seeds(seeds)


def test_wrong_seeds(refuses):
    for other in (3, "0", None):
        with refuses(TypeError, "seeds as a list", repr(other), "seeds=[0, 1, 2]"):
            check_seeds(other)
    for empty in ([], ()):
        with refuses(ValueError, "at least one seed", repr(empty), "seeds=[0]"):
            check_seeds(empty)
    for wrong in ("a", -1, 0.5, None):
        with refuses(ValueError, "0 or more, whole numbers", f"[{wrong!r}]", "seeds=[0, 1, 2]"):
            check_seeds([0, wrong])
