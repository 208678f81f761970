"""Pairs by label."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer.pp import pair_cells


def side(labels: list[object], prefix: str) -> AnnData:
    """Cells of given labels."""
    obs = pd.DataFrame({"type": labels}, index=[f"{prefix}{i}" for i in range(len(labels))])
    names = [f"{prefix}_feature{i}" for i in range(3)]
    return AnnData(np.ones((len(labels), 3)), obs=obs, var=pd.DataFrame(index=names))


def labels_of(paired) -> tuple[list[str], list[str]]:
    """Labels of both cells of each pair."""
    return paired["rna"].obs["type"].tolist(), paired["atac"].obs["type"].tolist()


def test_labels_always_agree(sides):
    paired = pair_cells(*sides, on="labels", labels_key="cell_type")
    assert paired["rna"].obs["cell_type"].equals(paired["atac"].obs["cell_type"])
    assert (paired.obs["pair_confidence"] == 1).all()
    assert paired.obs["atac_cell"].is_unique  # as many of each type on both sides
    assert "X_pairing" not in paired["rna"].obsm


def test_cells_are_drawn_again_only_once_all_are_used():
    rna, atac = side(["a"] * 7 + ["b"], "r"), side(["a"] * 3 + ["b"] * 5, "a")
    paired = pair_cells(rna, atac, on="labels", labels_key="type")
    used = paired.obs["atac_cell"].iloc[:7]
    assert sorted(used.value_counts()) == [2, 2, 3]
    assert sorted(used[:3]) == sorted(used[3:6]) == ["a0", "a1", "a2"]


def test_each_cell_of_a_label_is_drawn_about_as_often():
    rna, atac = side(["a"], "r"), side(["a"] * 4, "a")
    draws = [
        pair_cells(rna, atac, on="labels", labels_key="type", random_state=seed)
        .obs["atac_cell"]
        .iloc[0]
        for seed in range(40)
    ]
    counts = pd.Series(draws).value_counts()
    assert len(counts) == 4 and counts.max() < 20


def test_labels_of_one_side_are_left_out_and_named(caplog):
    rna, atac = side(list("abcab"), "r"), side(list("dabbe"), "a")
    with caplog.at_level(logging.INFO, "scmomer"):
        paired = pair_cells(rna, atac, on="labels", labels_key="type")
    assert paired.obs_names.tolist() == ["r0", "r1", "r3", "r4"]
    assert labels_of(paired) == (list("abab"), list("abab"))
    (line,) = caplog.messages
    assert "1 of rna with labels that atac lacks ('c')" in line
    assert "2 of atac with labels that rna lacks ('d', 'e')" in line


def test_nothing_is_logged_if_all_cells_find_a_partner(caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        pair_cells(side(["a"], "r"), side(["a"], "a"), on="labels", labels_key="type")
    assert not caplog.messages


def test_labels_are_compared_as_text():
    rna, atac = side([1, 2, 2], "r"), side(["2", "1"], "a")
    rna.obs["type"] = rna.obs["type"].astype("category")
    paired = pair_cells(rna, atac, on="labels", labels_key="type")
    assert paired.obs["atac_cell"].tolist() == ["a1", "a0", "a0"]


def test_labels_without_a_common_one_are_refused(refuses):
    with refuses(ValueError, "'type'", "rna has 'a', 'b'", "atac has 'c'", "same names"):
        pair_cells(side(["a", "b"], "r"), side(["c"], "a"), on="labels", labels_key="type")


def test_a_labels_key_is_needed(sides, refuses):
    with refuses(ValueError, "labels_key=", "None", "on='embedding'"):
        pair_cells(*sides, on="labels")


@pytest.mark.parametrize("absent", ["rna", "atac"])
def test_a_column_that_a_side_lacks_is_named(sides, refuses, absent):
    rna, atac = sides
    (atac if absent == "rna" else rna).obs["donor"] = "1"
    with refuses(KeyError, "'donor'", f"{absent}.obs", "'cell_type'"):
        pair_cells(rna, atac, on="labels", labels_key="donor")


@pytest.mark.parametrize("missing", ["rna", "atac"])
def test_missing_labels_are_refused(sides, refuses, missing):
    adata = sides[missing == "atac"]
    adata.obs.iloc[:4, adata.obs.columns.get_loc("cell_type")] = np.nan
    with refuses(ValueError, f"every cell of {missing}", "4 of 120 missing", "notna()"):
        pair_cells(*sides, on="labels", labels_key="cell_type")
