"""Pairing with all methods: results, unchanged inputs, errors."""

from __future__ import annotations

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scmomer
from scmomer._compat import keep_obs
from scmomer.pp import pair_cells

WAYS = {
    "labels": {"on": "labels", "labels_key": "cell_type"},
    "embedding": {"on": "embedding"},
    "ot": {"on": "ot"},
}


@pytest.fixture(params=WAYS)
def way(request):
    """Arguments of each pairing method."""
    if request.param == "ot":
        pytest.importorskip("ot")
    return WAYS[request.param]


def test_pairs_are_named_as_rna_with_their_atac_cell(sides, way, unchanged):
    rna, atac = sides
    with unchanged(rna), unchanged(atac):
        paired = pair_cells(rna, atac, **way)
    assert list(paired.mod) == ["rna", "atac"]
    for names in (paired.obs_names, paired["rna"].obs_names, paired["atac"].obs_names):
        assert names.equals(rna.obs_names)
    source = atac[paired.obs["atac_cell"].tolist()]
    assert (paired["rna"].X != rna.X).nnz == 0
    assert (paired["atac"].X != source.X).nnz == 0
    for adata in paired.mod.values():
        assert isinstance(adata.X, sp.csr_matrix) and adata.X.dtype == np.float32
    assert paired["rna"].obs.equals(rna.obs)
    assert np.array_equal(paired["atac"].obs["true_cell"], source.obs["true_cell"])
    assert paired["atac"].var.equals(atac.var)
    confidence = paired.obs["pair_confidence"]
    assert confidence.dtype == np.float64 and confidence.between(0, 1).all()
    assert list(paired.obs.columns) == ["atac_cell", "pair_confidence"]


def test_a_seed_gives_the_same_pairs_again(sides, way):
    first, again, other = (pair_cells(*sides, **way, random_state=seed) for seed in (1, 1, 2))
    assert first.obs.equals(again.obs)
    if way["on"] == "labels":
        assert not first.obs["atac_cell"].equals(other.obs["atac_cell"])


def test_parameters_are_recorded_and_survive_a_file(sides, way, tmp_path):
    paired = pair_cells(*sides, **way, random_state=5)
    params = paired.uns["scmomer"]["pair_cells"]["params"]
    assert {"random_state": 5, **way}.items() <= params.items()
    assert None not in params.values()
    paired.write_h5mu(tmp_path / "paired.h5mu")
    with keep_obs():
        read = mudata.read_h5mu(tmp_path / "paired.h5mu")
    for key in paired.obs:  # mudata reads text as categories, and ones as integers
        assert np.array_equal(read.obs[key], paired.obs[key])
    assert read.uns["scmomer"]["pair_cells"]["params"] == params


def test_matrix_types_give_the_same_pairs_and_stay(sides, as_matrix, way):
    rna, atac = sides
    for adata in sides:
        adata.X = adata.X.astype(bool).astype(np.float32)
    expected = pair_cells(rna, atac, **way)
    for adata in sides:
        adata.X = as_matrix(adata.X)
    found = pair_cells(rna, atac, **way)
    assert found.obs["atac_cell"].equals(expected.obs["atac_cell"])
    for name, adata in found.mod.items():
        assert type(adata.X) is type(rna.X) and adata.X.dtype == rna.X.dtype
        dense = adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray()
        assert np.array_equal(dense, expected[name].X.toarray())


@pytest.mark.parametrize("side", ["rna", "atac"])
def test_views_and_backed_data_give_the_same_pairs(sides, as_container, way, side):
    data = dict(zip(("rna", "atac"), sides, strict=True))
    expected = pair_cells(**data, **way)
    data[side] = as_container(data[side])
    found = pair_cells(**data, **way)
    for name in ("rna", "atac"):
        assert (found[name].X != expected[name].X).sum() == 0
    assert np.array_equal(found["atac"].obs["true_cell"], expected["atac"].obs["true_cell"])


def test_everything_per_cell_comes_along_but_graphs(sides, way):
    rna, atac = sides
    atac.layers["twice"] = atac.X * 2
    atac.obsm["X"] = np.arange(atac.n_obs)[:, None]
    atac.obsm["frame"] = pd.DataFrame({"i": np.arange(atac.n_obs)}, index=atac.obs_names)
    atac.varm["V"] = np.ones((atac.n_vars, 2))
    atac.obsp["graph"] = sp.eye(atac.n_obs, format="csr")
    atac.uns["note"] = {"a": 1}
    found = pair_cells(rna, atac, **way)["atac"]
    assert (found.layers["twice"] != found.X * 2).nnz == 0
    row = found.obsm["X"].ravel()
    assert np.array_equal(row, found.obsm["frame"]["i"])
    assert np.array_equal(atac.obs["true_cell"].to_numpy()[row], found.obs["true_cell"])
    assert not found.obsp and found.varm["V"].shape == (200, 2)
    found.uns["note"]["a"] = 2
    assert atac.uns["note"]["a"] == 1


def test_counts_may_be_in_a_layer(sides, way, refuses):
    rna, atac = sides
    expected = pair_cells(rna, atac, **way)
    for adata in sides:
        adata.layers["counts"] = adata.X.copy()
        adata.X = adata.X / 3
    found = pair_cells(rna, atac, **way, rna_layer="counts", atac_layer="counts")
    assert found.obs.equals(expected.obs)
    if way["on"] != "labels":
        with refuses(ValueError, "raw counts in rna.X", "non-integer", "rna_layer="):
            pair_cells(rna, atac, **way)
        with refuses(KeyError, "'spliced'", "atac.layers", "['counts']"):
            pair_cells(rna, atac, **way, rna_layer="counts", atac_layer="spliced")


def test_a_model_trains_on_the_pairs(sides, way, make_model, train):
    paired = pair_cells(*sides, **way)
    model = make_model(paired, {"batch_key": "batch", "labels_key": "cell_type"})
    train(model)
    assert model.get_latent_representation(paired).shape == (120, 8)
    assert model.get_translated(paired["rna"]).shape == (120, 200)


# -- errors


def test_unknown_options_are_refused(sides, refuses):
    with refuses(ValueError, "['labels', 'embedding', 'ot']", "'label'"):
        pair_cells(*sides, on="label")
    with refuses(ValueError, "['nearest', 'drop']", "'keep'"):
        pair_cells(*sides, on="embedding", unmatched="keep")
    with refuses(ValueError, "on='labels'", "'cell_type'", "on='embedding'"):
        pair_cells(*sides, on="embedding", labels_key="cell_type")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upstream", -5),
        ("n_top_genes", 0),
        ("n_comps", 0),
        ("n_neighbors", 0),
        ("block_size", 0),
        ("epsilon", 0),
        ("epsilon", float("nan")),
    ],
)
def test_numbers_out_of_range_are_refused(sides, refuses, name, value):
    with refuses(ValueError, name, str(value)):
        pair_cells(*sides, on="embedding", **{name: value})


def test_containers_other_than_anndata_are_refused(mdata, sides, way, refuses):
    with refuses(TypeError, "rna to be an AnnData", "MuData", "mdata['rna']"):
        pair_cells(mdata, sides[1], **way)
    with refuses(TypeError, "atac to be an AnnData", "ndarray"):
        pair_cells(sides[0], np.ones((3, 3)), **way)


@pytest.mark.parametrize("side", ["rna", "atac"])
def test_empty_sides_are_refused(sides, way, refuses, side):
    data = dict(zip(("rna", "atac"), sides, strict=True))
    for empty in (data[side][:0].copy(), data[side][:, :0].copy()):
        with refuses(ValueError, f"features in {side}", str(empty.shape)):
            pair_cells(**{**data, side: empty}, **way)


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_names_that_occur_twice_are_refused(sides, way, refuses, axis):
    names = getattr(sides[1], f"{axis}_names").tolist()
    names[1] = names[0]
    setattr(sides[1], f"{axis}_names", names)
    with refuses(ValueError, f"unique names in atac.{axis}_names", names[0]):
        pair_cells(*sides, **way)


def test_registered_data_can_be_paired(sides, way):
    for adata in sides:
        scmomer.pp.setup_anndata(adata)
    paired = pair_cells(*sides, **way)
    scmomer.pp.setup_mudata(paired)
    assert isinstance(paired["atac"], anndata.AnnData)
