"""Finding modalities and columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scmomer.data._containers import (
    check_container,
    codes,
    find_column,
    get_categories,
    read_column,
    resolve_modalities,
)

KEYS = {"rna": "rna", "atac": "atac"}


def test_only_anndata_and_mudata_are_containers(mdata, refuses):
    check_container(mdata)
    check_container(mdata["rna"])
    with refuses(TypeError, "an AnnData or a MuData", "DataFrame"):
        check_container(pd.DataFrame())


def test_modalities_are_found_by_default(mdata):
    assert resolve_modalities(mdata, None) == KEYS


def test_multivi_arguments_may_name_the_place_of_columns(mdata):
    given = {"rna_layer": "rna", "atac_layer": "atac", "batch_key": "rna"}
    assert resolve_modalities(mdata, given) == KEYS


def test_modalities_that_are_absent_are_listed(mdata, refuses):
    with refuses(KeyError, "['atac', 'gex']", "found ['atac', 'rna']", "modalities="):
        resolve_modalities(mdata, {"rna": "gex"})


@pytest.mark.parametrize(
    ("key", "place"),
    [("batch", None), ("lane", "rna"), ("run", "atac")],
    ids=["obs", "rna", "atac"],
)
def test_columns_are_found_in_order(mdata, key, place):
    mdata["rna"].obs["lane"] = mdata["atac"].obs["lane"] = mdata["atac"].obs["run"] = "1"
    assert find_column(mdata, key, KEYS) == place


def test_a_column_of_a_modality_is_missing_where_it_has_no_cell(make_mdata):
    mdata = make_mdata(missing={"atac": 0.25})
    mdata["atac"].obs["lane"] = np.arange(90)
    column = read_column(mdata, "lane", "atac")
    has = mdata.obs_names.isin(mdata["atac"].obs_names)
    assert column.index.equals(mdata.obs_names)
    assert column.isna().to_numpy().tolist() == (~has).tolist()
    assert column[mdata["atac"].obs_names].tolist() == list(range(90))


@pytest.mark.parametrize("kind", ["category", "object", "string"])
def test_codes_follow_the_given_categories(kind):
    column = pd.Series(["b", "a", None, "c", "b"], dtype=kind)
    assert get_categories(column) == ["a", "b", "c"]
    found = codes(column, ["a", "b"])
    assert found.dtype == np.int64 and found.tolist() == [1, 0, -1, -1, 1]


def test_numbers_are_categories_by_their_text():
    column = pd.Series([10, 2, 2])
    assert get_categories(column) == ["10", "2"]
    assert codes(column, ["10", "2"]).tolist() == [0, 1, 1]


def test_unused_categories_do_not_count():
    column = pd.Series(pd.Categorical(["a", "a"], categories=["a", "b"]))
    assert get_categories(column) == ["a"]
