"""``tl.annotate``: results and errors."""

from __future__ import annotations

from contextlib import nullcontext

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import entropy

from scmomer import CellTypeClassifier
from scmomer._compat import keep_obs
from scmomer.tl import annotate

COLUMNS = ["scmomer_label", "scmomer_label_entropy", "scmomer_label_novelty"]


@pytest.fixture(autouse=True)
def quick(monkeypatch, seed):
    """Small heads, few epochs."""
    from scmomer.tasks.annotation import _model
    from scmomer.tasks.annotation._module import ClassifierConfig

    small = lambda: ClassifierConfig(n_members=2, hidden=16, max_epochs=20)
    monkeypatch.setattr(_model, "ClassifierConfig", small)
    with seed(0):
        yield


def probabilities(data) -> pd.DataFrame:
    """Cells x types, with the recorded names."""
    names = data.uns["scmomer"]["annotate"]["params"]["classes"]
    return pd.DataFrame(
        data.obsm["scmomer_label_probability"], index=data.obs_names, columns=[*map(str, names)]
    )


def test_labels_are_written(trained, mdata, data, unchanged):
    before = set(data.obsm), list(data.obs.columns)
    types = mdata.obs["cell_type"].astype(str)
    assert annotate(data, mdata, labels_key="cell_type", model=trained) is None
    assert set(data.obsm) - before[0] == {"scmomer_label_probability"}
    assert [c for c in data.obs if c not in before[1]] == COLUMNS
    labels = data.obs["scmomer_label"]
    assert isinstance(labels.dtype, pd.CategoricalDtype)
    assert labels.cat.categories.tolist() == sorted(set(types))
    assert data.obsm["scmomer_label_probability"].dtype == np.float32
    probability = probabilities(data)
    assert probability.columns.tolist() == labels.cat.categories.tolist()
    assert np.array_equal(labels.astype(str), probability.idxmax(axis=1))
    expected = entropy(probability.to_numpy(), axis=1)
    np.testing.assert_allclose(data.obs["scmomer_label_entropy"], expected, atol=1e-5)
    assert (data.obs["scmomer_label_novelty"] >= 0).all()
    record = data.uns["scmomer"]["annotate"]
    assert record["model_id"] == trained.id and "threshold" not in record["params"]


def test_counts_and_reference_stay_as_they_were(trained, mdata, data, unchanged):
    reference = list(mdata.obs.columns), set(mdata.obsm), set(mdata.uns)
    query = data.obs.copy()
    with unchanged(mdata), unchanged(data) if isinstance(data, mudata.MuData) else nullcontext():
        before = data.X.copy() if isinstance(data, AnnData) else None
        annotate(data, mdata, labels_key="cell_type", model=trained)
    assert before is None or (data.X != before).nnz == 0
    assert data.obs[query.columns].equals(query)
    assert (list(mdata.obs.columns), set(mdata.obsm), set(mdata.uns)) == reference


def test_labels_of_the_query_are_never_read(trained, mdata, data):
    copied = annotate(data, mdata, labels_key="cell_type", model=trained, copy=True)
    assert not set(COLUMNS) & set(data.obs)
    parts = data.mod.values() if isinstance(data, mudata.MuData) else ()
    for part in (data, *parts):
        part.obs = part.obs.drop(columns=[c for c in part.obs if c.endswith("cell_type")])
    annotate(data, mdata, labels_key="cell_type", model=trained)
    assert data.obs["scmomer_label"].equals(copied.obs["scmomer_label"])


def test_types_are_right_more_often_than_by_chance(trained, mdata):
    query, reference = mdata[:40].copy(), mdata[40:].copy()
    annotate(query, reference, labels_key="cell_type", model=trained)
    truth = query.obs["cell_type"].astype(str)
    assert (query.obs["scmomer_label"].astype(str) == truth).mean() > 2 / truth.nunique()


def test_unknown_cells_and_keys(trained, mdata, data):
    annotate(
        data, mdata, labels_key="cell_type", model=trained, unknown_threshold=1.0, key_added="type"
    )
    assert set(data.obs["type"]) == {"unknown"}
    assert data.uns["scmomer"]["annotate"]["params"]["threshold"] == 1.0
    assert "type_probability" in data.obsm
    assert "unknown" not in data.uns["scmomer"]["annotate"]["params"]["classes"]
    annotate(data, mdata, labels_key="cell_type", model=trained, unknown_threshold="auto")
    threshold = data.uns["scmomer"]["annotate"]["params"]["threshold"]
    unsure = probabilities(data).max(axis=1) < threshold
    unknown = data.obs["scmomer_label"] == "unknown"
    assert unknown[unsure].all()
    if (~unsure & unknown).any():
        novelty = data.obs["scmomer_label_novelty"]
        assert novelty[~unsure & unknown].min() > novelty[~unsure & ~unknown].max()


def test_a_classifier_can_take_the_place_of_the_reference(trained, trained_rna, mdata, refuses):
    classifier = CellTypeClassifier(trained).fit(mdata, "cell_type")
    first, second = mdata["rna"].copy(), mdata.copy()
    annotate(first, classifier)
    assert np.array_equal(first.obs["scmomer_label"], classifier.predict(first))
    annotate(second, classifier, model=trained)
    with refuses(ValueError, trained.id, trained_rna.id):
        annotate(first, classifier, model=trained_rna)


def test_reference_is_read_as_the_query_can_be(trained, mdata):
    few = mdata["rna"][:, ::3].copy()
    annotate(few, mdata, labels_key="cell_type", model=trained)
    same = CellTypeClassifier(trained).fit(
        mdata, "cell_type", modalities=["rna"], genes=few.var_names
    )
    np.testing.assert_allclose(
        few.obsm["scmomer_label_probability"], same.predict_proba(few), atol=1e-6
    )


def test_fine_tuning_annotates(trained, mdata):
    query = mdata["rna"].copy()
    annotate(query, mdata["rna"], labels_key="cell_type", model=trained, mode="finetune")
    assert query.uns["scmomer"]["annotate"]["params"]["mode"] == "finetune"
    assert query.obs["scmomer_label"].notna().all()


def test_results_survive_a_file(trained, mdata, tmp_path):
    annotate(mdata, mdata, labels_key="cell_type", model=trained, unknown_threshold=0.5)
    mdata.write(tmp_path / "cells.h5mu")
    with keep_obs():
        read = mudata.read_h5mu(tmp_path / "cells.h5mu")
    assert read.obs["scmomer_label"].astype(str).equals(mdata.obs["scmomer_label"].astype(str))
    pd.testing.assert_frame_equal(probabilities(read), probabilities(mdata), check_names=False)


def test_bad_references_are_refused_and_write_nothing(trained, mdata, refuses):
    query, rna = mdata["rna"].copy(), mdata["rna"].copy()
    go = lambda reference, **kw: annotate(
        query, reference, **{"labels_key": "cell_type", "model": trained, **kw}
    )
    with refuses(KeyError, "'nope'", "cell_type"):
        go(rna, labels_key="nope")
    with refuses(ValueError, "labels_key=", "None"):
        go(rna, labels_key=None)
    one = rna.copy()
    one.obs["cell_type"] = "a"
    with refuses(ValueError, "two classes"):
        go(one)
    missing = rna.copy()
    missing.obs["cell_type"] = [None, *missing.obs["cell_type"].astype(str)[1:]]
    with refuses(ValueError, "1 of 120 missing"):
        go(missing)
    with refuses(TypeError, "AnnData or a MuData", "list"):
        go([1])
    assert not set(query.obs) & set(COLUMNS) and not query.obsm


def test_classes_of_a_single_cell_are_left_out(trained, mdata):
    query, lonely = mdata["rna"].copy(), mdata["rna"].copy()
    lonely.obs["cell_type"] = ["alone", *lonely.obs["cell_type"].astype(str)[1:]]
    with pytest.warns(UserWarning, match="such as 'alone'"):
        annotate(query, lonely, labels_key="cell_type", model=trained)
    assert "alone" not in query.obs["scmomer_label"].cat.categories


def test_data_without_a_common_gene_are_refused(trained, mdata, refuses):
    rna = mdata["rna"]
    with refuses(ValueError, "share no gene of the model", "align_genes"):
        annotate(rna[:, :30].copy(), rna[:, 30:].copy(), labels_key="cell_type", model=trained)


def test_an_untrained_model_is_refused(mdata, make_model, refuses):
    with refuses(RuntimeError, "never trained"):
        annotate(mdata, mdata, labels_key="cell_type", model=make_model(mdata))
