"""Queries: whatever container, matrix, order and naming, a cell's embedding is the same."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

ALL = ("joint", "rna", "atac")


def embeddings(model, data, **kwargs) -> np.ndarray:
    """Joint and single embeddings side by side, ``(n_cells, 3 * n_latent)``."""
    parts = [model.get_latent_representation(data, modality=m, **kwargs) for m in ALL]
    return np.concatenate(parts, 1)


def same(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.fixture(params=["rna", "atac"])
def query(request, make_unseen) -> AnnData:
    """Cells that training never saw, of one modality and without annotation."""
    return bare(make_unseen()[request.param])


def bare(adata: AnnData) -> AnnData:
    """Counts and names alone."""
    index = {"obs": pd.DataFrame(index=adata.obs_names), "var": pd.DataFrame(index=adata.var_names)}
    return AnnData(adata.X.copy(), **index)


# -- nothing but counts is needed


def test_no_set_up_no_labels_no_batch(trained, query, unchanged):
    with unchanged(query):
        found = embeddings(trained, query)
    assert found.shape == (120, 24) and np.isfinite(found).all()
    assert not query.uns and not query.obsm and query.obs.shape[1] == 0


def test_annotation_does_not_matter(trained, make_unseen):
    mdata = make_unseen()
    plain = MuData({name: bare(adata) for name, adata in mdata.mod.items()})
    expected = embeddings(trained, plain)
    same(embeddings(trained, mdata), expected)
    mdata.obs["batch"] = "never seen"
    mdata.obs["cell_type"] = np.nan
    same(embeddings(trained, mdata), expected)
    translated = trained.get_translated(mdata)
    same(translated, trained.get_translated(plain))


@pytest.mark.parametrize("value", ["never seen", 3, None], ids=["text", "number", "missing"])
def test_an_unknown_batch_is_accepted(trained, query, value):
    known = embeddings(trained, query)
    query.obs["batch"] = [value] * query.n_obs
    same(embeddings(trained, query), known)


# -- matrices and containers


def test_matrix_types_give_the_same(trained, query, as_matrix, unchanged):
    query.X = query.X.astype(bool).astype(np.float32)
    expected = embeddings(trained, query)
    query.X = as_matrix(query.X)
    with unchanged(query):
        found = embeddings(trained, query)
    assert np.array_equal(found, expected)


def test_matrix_types_in_a_mudata_give_the_same(trained, mdata, as_matrix):
    for adata in mdata.mod.values():
        adata.X = adata.X.astype(bool).astype(np.float32)
    expected = embeddings(trained, mdata)
    for adata in mdata.mod.values():
        adata.X = as_matrix(adata.X)
    assert np.array_equal(embeddings(trained, mdata), expected)


def test_views_and_backed_files_give_the_same(trained, query, as_container):
    assert np.array_equal(embeddings(trained, as_container(query)), embeddings(trained, query))


def test_views_of_a_mudata_give_the_same(trained, mdata):
    expected = embeddings(trained, mdata)
    picked = np.array([5, 0, 77, 3])
    view = mdata[picked]
    assert view.is_view
    same(embeddings(trained, view), expected[picked])
    genes = mdata["rna"].var_names[:40]
    same(
        embeddings(trained, mdata["rna"][:9, genes]),
        embeddings(trained, mdata["rna"][:, genes].copy())[:9],
    )


def test_a_backed_mudata_gives_the_same(trained, mdata, tmp_path):
    import mudata

    mdata.write(tmp_path / "cells.h5mu")
    backed = mudata.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    assert backed.isbacked
    assert np.array_equal(embeddings(trained, backed), embeddings(trained, mdata))


def test_layers_are_read_where_training_read_them(make_mdata, make_model, train, caplog):
    mdata = make_mdata()
    counts = mdata["rna"].X.copy()
    mdata["rna"].layers["counts"] = counts
    mdata["rna"].X = counts / 2
    model = make_model(mdata, {"rna_layer": "counts"})
    train(model)
    expected = model.get_latent_representation()
    same(model.get_latent_representation(mdata), expected)
    # A query without the layer is read from X, which is logged
    plain = make_mdata()
    with caplog.at_level(logging.INFO, "scmomer"):
        same(model.get_latent_representation(plain), expected)
    assert "mdata['rna'] has no layer 'counts': reading counts from X" in caplog.text
    with pytest.raises(ValueError, match="non-integer"):
        del mdata["rna"].layers["counts"]
        model.get_latent_representation(mdata)


# -- bad values


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0.5, "non-integer"), (-2, "negative"), (np.nan, "NaN or infinite"), (-np.inf, "NaN or inf")],
    ids=["fraction", "negative", "nan", "inf"],
)
@pytest.mark.parametrize("container", ["AnnData", "MuData"])
def test_values_that_are_no_counts_are_refused(trained, query, refuses, value, kind, container):
    query.X[3, 7] = value
    place, data = "adata.X", query
    if container == "MuData":
        name = "atac" if query.n_vars == 200 else "rna"
        place, data = f"mdata['{name}'].X", MuData({name: query})
    cell, feature = repr(query.obs_names[3]), repr(query.var_names[7])
    with refuses(ValueError, place, kind, f"{value:g} at cell {cell}, feature {feature}"):
        trained.get_latent_representation(data)


def test_other_containers_are_refused(trained, refuses):
    with refuses(TypeError, "an AnnData or a MuData", "ndarray"):
        trained.get_latent_representation(np.ones((3, 60)))


@pytest.mark.parametrize("what", ["cells", "features", "everything"])
def test_empty_cells_and_features_have_finite_embeddings(trained, query, what):
    expected = embeddings(trained, query)
    dense = query.X.toarray()
    dense[{"cells": np.s_[:5], "features": np.s_[:, :9], "everything": np.s_[:]}[what]] = 0
    query.X = sp.csr_matrix(dense)
    found = embeddings(trained, query)
    translated = trained.get_translated(query, "atac" if query.n_vars == 60 else "rna")
    assert np.isfinite(found).all() and np.isfinite(translated).all()
    if what == "cells":
        same(found[5:], expected[5:])
        same(found[:5], found[:1].repeat(5, 0))  # no information distinguishes them


# -- names


@pytest.mark.parametrize("container", ["AnnData", "MuData"])
def test_features_are_aligned_by_name(trained, query, caplog, container):
    """Another order, some missing, some extra: as if those missing had no counts."""
    rng = np.random.default_rng(0)
    n = query.n_vars
    lost, kept = np.arange(0, n, 5), rng.permutation(np.setdiff1d(np.arange(n), np.arange(0, n, 5)))
    dense = query.X.toarray()
    dense[:, lost] = 0
    aligned = bare(query)
    aligned.X = sp.csr_matrix(dense)
    extra = sp.csr_matrix(rng.poisson(3, (120, 11)).astype(np.float32))
    names = [*query.var_names[kept], *(f"chrZ:{i}-{i + 1}" for i in range(11))]
    other = AnnData(sp.hstack([query.X[:, kept], extra], format="csr"))
    other.obs_names, other.var_names = query.obs_names, names
    shuffled = rng.permutation(len(names))
    other = other[:, shuffled].copy()
    name, what = ("rna", "genes") if n == 60 else ("atac", "peaks")
    data = other if container == "AnnData" else MuData({name: other})
    with caplog.at_level(logging.INFO, "scmomer"):
        found = trained.get_latent_representation(data)
    assert np.array_equal(found, trained.get_latent_representation(aligned))
    (record,) = caplog.records
    text = f"{len(kept)} of the model's {n} {what} found in the query (80%); {len(lost)} missing"
    assert text in record.getMessage() and "11 more in the query are ignored" in record.getMessage()


def test_another_order_of_features_changes_nothing(trained, query):
    backwards = query[:, ::-1].copy()
    assert np.array_equal(embeddings(trained, backwards), embeddings(trained, query))


def test_one_feature_in_five_is_enough(trained, query, recwarn):
    n = query.n_vars // 5
    assert np.isfinite(trained.get_latent_representation(query[:, :n].copy())).all()
    assert not [w for w in recwarn if "of the model's" in str(w.message)]


def test_fewer_than_one_feature_in_five_warns_with_counts(trained, query):
    total, n = query.n_vars, query.n_vars // 5 - 1
    text = f"Only {n} of the model's {total}"
    with pytest.warns(UserWarning, match=text) as caught:
        found = trained.get_latent_representation(query[:, :n].copy())
    assert f"{total - n} missing" in str(caught[0].message)
    assert np.isfinite(found).all()


def test_no_feature_in_common_is_an_error(trained, query, refuses):
    expected = query.var_names[0]
    if query.n_vars == 60:
        query.var_names = [f"ENSMUSG{i:011}" for i in range(60)]
    else:
        query.var_names = [f"chr9:{i}-{i + 1}" for i in range(200)]
    parts = (f"none of its {query.n_vars}", expected, query.var_names[0], "species")
    with refuses(ValueError, *parts):
        trained.get_latent_representation(query)


def test_peaks_are_no_query_for_genes(trained_rna, mdata, refuses):
    with refuses(ValueError, "['rna']", "looks like 'atac'", mdata["atac"].var_names[0]):
        trained_rna.get_latent_representation(mdata["atac"])


def test_repeated_features_are_refused(trained, query, refuses):
    twice = query[:, [0, 0, 1, 2]].copy()
    remedy = "duplicated()" if query.var_names[0].startswith("chr") else "_make_unique()"
    with refuses(ValueError, "adata.var_names", "found 1", query.var_names[0], remedy):
        trained.get_latent_representation(twice)


def test_repeated_cells_of_one_modality_are_accepted(trained, query):
    """Nothing has to be matched by the names of cells, as in concatenated samples."""
    expected = trained.get_latent_representation(query)
    query.obs_names = ["cell"] * query.n_obs
    assert np.array_equal(trained.get_latent_representation(query), expected)


# -- modalities


def test_a_mudata_without_any_known_modality_is_refused(trained, mdata, refuses):
    for name, adata in mdata.mod.items():
        adata.var_names = [f"{name}_{i}" for i in range(adata.n_vars)]
    other = MuData({"one": mdata["rna"], "two": mdata["atac"]})
    with refuses(KeyError, "['rna', 'atac']", "['one', 'two']"):
        trained.get_latent_representation(other)


def test_a_mudata_of_one_modality_is_that_modality(trained, query):
    name = "rna" if query.n_vars == 60 else "atac"
    found = embeddings(trained, MuData({name: query}))
    assert np.array_equal(found, embeddings(trained, query))


def test_modalities_have_the_names_of_training_or_the_usual_ones(make_mdata, make_model, train):
    mdata = make_mdata()
    renamed = MuData({"gex": mdata["rna"].copy(), "peaks": mdata["atac"].copy()})
    model = make_model(renamed, {"modalities": {"rna": "gex", "atac": "peaks"}})
    train(model)
    expected = model.get_latent_representation()
    same(model.get_latent_representation(renamed), expected)
    same(model.get_latent_representation(mdata), expected)


def test_other_modalities_are_left_alone(trained, mdata):
    protein = AnnData(np.full((120, 3), 0.5, np.float32))
    protein.obs_names = mdata.obs_names
    more = MuData({"adt": protein, "atac": mdata["atac"], "rna": mdata["rna"]})
    same(embeddings(trained, more), embeddings(trained, mdata))


@pytest.mark.parametrize("missing", [{"rna": 0.3}, {"atac": 0.3}, {"rna": 0.3, "atac": 0.3}])
def test_a_cell_of_a_mosaic_is_embedded_by_what_it_has(trained, make_unseen, missing, unchanged):
    mosaic = make_unseen(missing=missing)
    with unchanged(mosaic):
        found = embeddings(trained, mosaic)
    has = {name: mosaic.obs_names.isin(adata.obs_names) for name, adata in mosaic.mod.items()}
    patterns = {"both": has["rna"] & has["atac"]}
    patterns |= {"rna": has["rna"] & ~has["atac"], "atac": has["atac"] & ~has["rna"]}
    assert (patterns["rna"].any(), patterns["atac"].any()) == ("atac" in missing, "rna" in missing)
    for name, mask in patterns.items():
        for cell in np.flatnonzero(mask)[[0, -1] if mask.any() else []]:
            label = mosaic.obs_names[[cell]]
            names = mosaic.mod if name == "both" else [name]
            alone = {m: mosaic[m][label].copy() for m in names}
            alone = MuData(alone) if name == "both" else alone[name]
            same(embeddings(trained, alone), found[[cell]])


def test_cells_of_a_mosaic_may_be_in_any_order(trained, make_unseen):
    mosaic = make_unseen(missing={"rna": 0.3, "atac": 0.3})
    expected = pd.DataFrame(embeddings(trained, mosaic), mosaic.obs_names)
    order = {name: adata[::-1].copy() for name, adata in mosaic.mod.items()}
    other = MuData(order)
    assert not other.obs_names.equals(mosaic.obs_names)
    same(embeddings(trained, other), expected.loc[other.obs_names].to_numpy())


def test_measured_atac_counts_in_the_joint_embedding(trained, mdata):
    """Guards the tests above: with and without ATAC are not the same."""
    both = trained.get_latent_representation(mdata)
    alone = trained.get_latent_representation(mdata["rna"])
    assert np.abs(both - alone).max() > 1e-3


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_model_of_one_modality_reads_it_from_any_container(
    trained_rna, trained_atac, mdata, name, refuses
):
    model = {"rna": trained_rna, "atac": trained_atac}[name]
    found = model.get_latent_representation(mdata[name])
    assert found.shape == (120, 8) and np.isfinite(found).all()
    assert np.array_equal(model.get_latent_representation(mdata), found)
    assert np.array_equal(model.get_latent_representation(mdata, modality=name), found)
    assert np.array_equal(model.get_latent_representation(), found)
    other = "atac" if name == "rna" else "rna"
    with refuses(ValueError, f"'{other}'", f"['{name}']"):
        model.get_latent_representation(mdata, modality=other)


@pytest.mark.filterwarnings("ignore:Duplicated obs_names:UserWarning")
def test_repeated_cells_cannot_be_matched_between_modalities(trained, mdata, refuses):
    rna = mdata["rna"][:15].copy()
    rna.obs_names = [rna.obs_names[0], *rna.obs_names[:14]]
    with refuses(ValueError, "mdata['rna'].obs_names", "found 1", rna.obs_names[0], "_make_unique"):
        trained.get_latent_representation(MuData({"rna": rna, "atac": mdata["atac"]}))
