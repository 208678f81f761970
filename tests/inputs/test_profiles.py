"""RNA that is not counts in every function that reads cells; set-up, training and files."""

from __future__ import annotations

import logging
import re
from typing import Any

import anndata
import numpy as np
import pytest
import scanpy as sc
from mudata import MuData
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import scmomer
from scmomer._compat import keep_obs

CLASSIFIER = {"n_members": 1, "max_epochs": 5}


def logged(adata, base: float | None = None):
    """Log-normalized expression in X, and nothing else."""
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata, base=base)
    return adata


def scaled(adata):
    """Z-scores in X."""
    adata = logged(adata)
    adata.X = adata.X.toarray()
    sc.pp.scale(adata)
    return adata


def corrected(adata, seed: int = 0):
    """Log-normalized expression from which counts cannot be recovered."""
    adata = logged(adata)
    rng = np.random.default_rng(seed)
    adata.X.data *= rng.uniform(0.9, 1.1, len(adata.X.data)).astype(np.float32)
    return adata


def with_rna(mdata: MuData, change) -> MuData:
    with keep_obs():
        mdata = mdata.copy()
    mdata["rna"].X = change(mdata["rna"]).X
    return mdata


# -- verbs


def _written(function, data, *args, key: str, at: str = "obsm", **kwargs) -> Any:
    function(data, *args, **kwargs)
    return getattr(data, at)[key]


VERBS = {
    "embed": lambda d, m, ref, **k: _written(scmomer.tl.embed, d, m, key="X_scmomer", **k),
    "latent": lambda d, m, ref, **k: m.get_latent_representation(d, **k),
    "translated": lambda d, m, ref, **k: m.get_translated(d, **k),
    "translate_atac": lambda d, m, ref, **k: scmomer.tl.translate_atac(d, m, **k).X,
    "gene_embeddings": lambda d, m, ref, **k: m.get_gene_embeddings(d, **k).X,
    "tl_gene_embeddings": lambda d, m, ref, **k: _written(
        scmomer.tl.gene_embeddings, d, m, key="X_scmomer", at="varm", **k
    ),
    "annotate": lambda d, m, ref, **k: _written(
        scmomer.tl.annotate,
        d,
        ref,
        labels_key="cell_type",
        model=m,
        key="scmomer_label_probability",
        **k,
    ),
    "map": lambda d, m, ref, **k: _written(
        scmomer.tl.map_to_reference,
        d,
        ref,
        m,
        labels_key="cell_type",
        key="reference_probabilities",
        **k,
    ),
    "attribute": lambda d, m, ref, **k: _written(
        scmomer.tl.attribute,
        d,
        m,
        target=("atac", m.spec.features["atac"][0]),
        tokens=False,
        enable_progress_bar=False,
        key="attributions",
        at="varm",
        **k,
    ),
    "variability": lambda d, m, ref, **k: _written(
        scmomer.tl.gene_variability,
        d,
        "cell_type",
        m,
        enable_progress_bar=False,
        key="gene_variability",
        at="varm",
        **k,
    ),
    "links": lambda d, m, ref, **k: _written(
        scmomer.tl.peak_gene_links, d, m, min_cells=1, key="scmomer_links", at="uns", **k
    )[["score", "z"]],
    "load_query": lambda d, m, ref, **k: m.load_query_data(d, batch_key="new", **k).get_translated(
        ref["rna"], "rna", batch="b"
    ),
    "fit": lambda d, m, ref, **k: (
        scmomer.CellTypeClassifier(m, **CLASSIFIER)
        .fit(d, "cell_type", **k)
        .predict_proba(ref["rna"])
    ),
    "predict": lambda d, m, ref, **k: (
        scmomer.CellTypeClassifier(m, **CLASSIFIER).fit(ref, "cell_type").predict_proba(d, **k)
    ),
}
QUERY_OF_TWO = ("annotate", "map", "load_query", "predict")


def of_query(verb: str) -> str:
    return "query" if verb in QUERY_OF_TWO else "reference" if verb == "fit" else "adata"


@pytest.fixture
def query(make_unseen):
    """RNA of unseen cells."""
    query = make_unseen()["rna"].copy()
    query.obs["new"] = "b"
    return query


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("verb", VERBS)
def test_counts_that_were_normalized_give_what_counts_give(trained, mdata, query, refuses, verb):
    expected = VERBS[verb](query.copy(), trained, mdata)
    with refuses(
        ValueError, f"raw counts in {of_query(verb)}.X", "non-integer", " profile='normalized'"
    ):
        VERBS[verb](logged(query), trained, mdata)
    found = VERBS[verb](logged(query), trained, mdata, profile="normalized")
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-4)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("verb", VERBS)
def test_z_scores_are_read(trained, mdata, query, refuses, verb):
    with refuses(ValueError, f"raw counts in {of_query(verb)}.X", "negative", " profile='zscore'"):
        VERBS[verb](scaled(query), trained, mdata)
    found = np.asarray(VERBS[verb](scaled(query), trained, mdata, profile="zscore"), float)
    assert found.size and np.isfinite(found).any()


def test_z_scores_tell_types_apart(trained, query):
    z = trained.get_latent_representation(scaled(query), modality="rna", profile="zscore")
    types = query.obs["cell_type"].to_numpy()
    found = cross_val_score(LogisticRegression(max_iter=2000), z / z.std(0), types, cv=4)
    assert found.mean() > 0.6  # 0.25 by chance; counts reach 0.8


def test_genes_outside_the_model_change_nothing(trained, query):
    """Normalization by scanpy divides by all genes, the model's by its own."""
    more = query.copy()
    more.var_names = [f"other {i}" for i in range(more.n_vars)]
    both = anndata.concat([query, more], axis=1)
    expected = trained.get_latent_representation(query)
    found = trained.get_latent_representation(logged(both), profile="normalized")
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("verb", ["annotate", "map"])
def test_a_reference_has_its_own_profile(trained, mdata, query, refuses, verb):
    expected = VERBS[verb](query.copy(), trained, mdata["rna"])
    reference = logged(mdata["rna"])
    with refuses(ValueError, "raw counts in reference.X", "reference_profile='normalized'"):
        VERBS[verb](query.copy(), trained, reference)
    found = VERBS[verb](query.copy(), trained, reference, reference_profile="normalized")
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-4)


@pytest.mark.parametrize("profile", ["normalized", "zscore"])
def test_other_modalities_stay_counts(trained, make_unseen, profile):
    change = {"normalized": logged, "zscore": scaled}[profile]
    mdata = make_unseen(missing={"rna": 0.2, "atac": 0.2})
    data = with_rna(mdata, change)
    found = trained._read_cells(data, {"profile": profile})
    expected = trained._read_cells(mdata)
    assert (found.counts["atac"] != expected.counts["atac"]).nnz == 0
    assert np.array_equal(found.measured["rna"], expected.measured["rna"])
    same = (found.counts["rna"] != expected.counts["rna"]).nnz == 0
    assert same == found.has_depth == (profile == "normalized")


def test_one_matrix_of_two_modalities(trained, make_unseen):
    mdata = make_unseen()
    counts = anndata.concat([*mdata.mod.values()], axis=1)
    log = anndata.concat([logged(mdata["rna"]), mdata["atac"]], axis=1)
    found, expected = (
        trained._read_cells(log, {"profile": "normalized"}),
        trained._read_cells(counts),
    )
    for name, values in expected.counts.items():
        assert (found.counts[name] != values).nnz == 0


def test_a_profile_needs_rna(trained, make_unseen, refuses):
    with refuses(ValueError, "RNA with profile='zscore'", "['atac']", "Leave out profile="):
        trained.get_latent_representation(make_unseen()["atac"], profile="zscore")
    with refuses(ValueError, "RNA with profile='normalized'", "['atac']", "Leave out profile="):
        scmomer.pp.setup_anndata(make_unseen()["atac"].copy(), profile="normalized")


def test_registered_data_take_no_profile(make_model, train, mdata, refuses):
    model = make_model(mdata["rna"].copy())
    train(model)
    with refuses(TypeError, "data with profile=", "Leave out profile="):
        model.get_latent_representation(profile="normalized")


@pytest.mark.parametrize("depth", ["predicted", "mean"])
def test_without_library_sizes_translation_is_at_mean_depth(trained, query, caplog, depth):
    with caplog.at_level(logging.INFO, "scmomer"):
        found = trained.get_translated(scaled(query), profile="zscore", depth=depth)
    expected = trained.get_translated(scaled(query), profile="zscore", depth="mean")
    assert np.array_equal(found, expected)
    assert ("RNA has no library sizes" in caplog.text) == (depth == "predicted")


def test_a_panel_is_called_one(trained, query):
    panel = scaled(query)[:, :4].copy()
    with pytest.warns(UserWarning, match=r"a panel of 7% of the model's genes") as caught:
        trained.get_latent_representation(panel, profile="zscore")
    assert "align_genes" not in str(caught[0].message)


def test_the_line_for_other_spellings_names_the_profile(trained, query):
    z = scaled(query)
    z.var_names = z.var_names.str.lower()
    with pytest.raises(ValueError, match="found none of its 60") as caught:
        trained.get_latent_representation(z, profile="zscore")
    (line,) = re.findall(r"`(adata = .*?)`", str(caught.value))
    names = {"adata": z, "model": trained, "scmomer": scmomer}
    exec(line, names)
    expected = trained.get_latent_representation(scaled(query), profile="zscore")
    found = trained.get_latent_representation(names["adata"], profile="zscore")
    np.testing.assert_allclose(found, expected, atol=1e-6)


# -- set-up, training, files


@pytest.mark.filterwarnings("ignore:.*is read as log")
@pytest.mark.parametrize("change", [logged, corrected], ids=["log", "corrected"])
def test_models_train_on_normalized_rna(make_model, train, mdata, make_unseen, tmp_path, change):
    data = with_rna(mdata, change)
    model = make_model(data, {"profile": "normalized"})
    train(model)
    assert model.spec.profile == "normalized"
    losses = [table["validation_loss"].iloc[-1] for table in model.history.values()]
    assert np.isfinite(losses).all()
    registered = model.get_latent_representation()
    np.testing.assert_allclose(model.get_latent_representation(data), registered, atol=1e-6)
    unseen = change(make_unseen()["rna"])
    found = model.get_translated(unseen)
    assert np.isfinite(found).all()

    model.save(tmp_path / "model")
    loaded = scmomer.load(tmp_path / "model")
    assert np.array_equal(loaded.get_translated(unseen), found)
    again = scmomer.load(tmp_path / "model", with_rna(mdata, change))
    np.testing.assert_allclose(again.get_latent_representation(), registered, atol=1e-6)


def test_a_model_of_recovered_counts_is_that_of_counts(make_model, train, mdata, make_unseen, seed):
    found = []
    for change, setup in ((lambda x: x, {}), (logged, {"profile": "normalized"})):
        with seed(0):
            model = make_model(with_rna(mdata, change), setup)
            train(model)
        found.append(model.get_translated(make_unseen()["rna"]))
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*is read as log")
def test_a_model_trained_without_depth_reads_counts(make_model, train, mdata, make_unseen):
    model = make_model(with_rna(mdata, corrected), {"profile": "normalized"})
    train(model)
    counts = make_unseen()["rna"]
    at_mean = model.get_translated(counts, depth="mean")
    assert np.isfinite(at_mean).all()
    assert np.abs(model.get_translated(counts) - at_mean).max() < 0.2


def test_data_may_have_another_profile_than_the_model(trained, saved, mdata):
    expected = trained.get_latent_representation(mdata)
    data = with_rna(mdata, logged)
    setup = {"batch_key": "batch", "labels_key": "cell_type"}
    scmomer.pp.setup_mudata(data, profile="normalized", **setup)
    model = scmomer.load(saved, data)
    np.testing.assert_allclose(model.get_latent_representation(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["MuData", "AnnData"])
def test_set_up_names_the_profile(mdata, refuses, kind):
    log, z = (
        with_rna(mdata, change) if kind == "MuData" else change(mdata["rna"])
        for change in (logged, scaled)
    )
    verb = {"MuData": scmomer.pp.setup_mudata, "AnnData": scmomer.pp.setup_anndata}[kind]
    with refuses(ValueError, f"pass profile='normalized' to scmomer.pp.{verb.__name__}"):
        verb(log)
    with refuses(ValueError, "z-scores cannot be trained on", "profile='zscore'"):
        verb(z)
    with refuses(ValueError, "profile='counts' or 'normalized' to train", "'zscore'"):
        verb(z, profile="zscore")
    with refuses(ValueError, "['counts', 'normalized', 'zscore']", "'tpm'"):
        verb(log, profile="tpm")
    verb(log, profile="normalized")


def test_peaks_are_not_offered_a_profile(mdata):
    atac = mdata["atac"].copy()
    atac.X = atac.X / 3
    with pytest.raises(ValueError, match="non-integer") as caught:
        scmomer.pp.setup_anndata(atac)
    assert "profile" not in str(caught.value)


def test_pretraining_reads_a_profile(make_model, mdata, make_unseen, refuses):
    model = make_model(mdata)
    quiet = {"max_epochs": 1, "batch_size": 64, "enable_progress_bar": False}
    model.pretrain(logged(make_unseen()["rna"]), profile="normalized", **quiet)
    assert model.stages_ == ("rna",)
    with refuses(ValueError, "to train a model", "'zscore'"):
        model.pretrain(scaled(make_unseen()["rna"]), profile="zscore", **quiet)


@pytest.mark.parametrize("profile", ["normalized", "zscore"])
def test_genes_are_aligned_with_any_profile(mdata, refuses, profile):
    adata = {"normalized": logged, "zscore": scaled}[profile](mdata["rna"])
    names = [*adata.var_names[::-1], "absent"]
    with refuses(ValueError, "raw counts", f"profile={profile!r}"):
        scmomer.pp.align_genes(adata, names)
    found = scmomer.pp.align_genes(adata, names, profile=profile)
    dense = adata.X.toarray() if profile == "normalized" else adata.X
    np.testing.assert_allclose(found.X.toarray()[:, :-1], dense[:, ::-1], rtol=1e-6)
    assert not found.X[:, [-1]].nnz


def test_genes_of_one_entry_are_averaged(mdata):
    adata = logged(mdata["rna"])[:, :2].copy()
    adata.var_names = ["ENSG01.1", "ENSG01.2"]
    found = scmomer.pp.align_genes(adata, ["ENSG01"], profile="normalized")
    np.testing.assert_allclose(found.X.toarray(), adata.X.mean(1), rtol=1e-6)
