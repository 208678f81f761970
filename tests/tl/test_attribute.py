"""``tl.attribute``: targets, groups, what is written, and its errors."""

from __future__ import annotations

import logging
import sys

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

import scmomer
from scmomer import CellTypeClassifier
from scmomer._compat import keep_obs
from scmomer.tl import attribute

KEY = "attributions"
PEAK = ("atac", 7)


@pytest.fixture
def peaks(trained) -> list[str]:
    return trained.spec.features["atac"][[7, 30]].tolist()


def test_a_translated_peak_is_attributed_to_genes(trained, mdata, peaks, unchanged):
    rna = mdata["rna"].copy()
    with unchanged(rna):
        assert attribute(rna, trained, target=("atac", peaks[0]), n_steps=20) is None
    table, found = rna.varm[KEY], rna.uns[KEY]
    assert table.shape == (60, 1) and table.dtype == np.float32
    assert (rna.varm[f"{KEY}_absolute"] >= np.abs(table) - 1e-7).all()
    p = trained.get_translated(rna, "atac", features=peaks[:1], depth_share=0.0)
    np.testing.assert_allclose(found["value"], [[np.log(p / (1 - p)).mean()]], rtol=1e-5)
    change = found["value"] - found["baseline_value"]
    np.testing.assert_allclose(table.sum(0), change[0], atol=0.05 * np.abs(change).max() + 1e-4)
    assert found["error"][0] < 0.05 and found["n_cells"].tolist() == [120]
    assert found["groups"].tolist() == ["all"] and found["targets"].tolist() == peaks[:1]
    assert rna.uns["scmomer"]["attribute"]["model_id"] == trained.id


def test_tokens_are_an_option(trained, mdata, peaks, make_model, train):
    rna, target = mdata["rna"].copy(), ("atac", peaks[0])
    tables = []
    for tokens in (None, False, True):
        attribute(rna, trained, target=target, n_steps=20, tokens=tokens)
        assert rna.uns[KEY]["params"]["tokens"] == bool(tokens) and rna.uns[KEY]["error"][0] < 0.05
        tables.append(rna.varm[KEY])
    assert np.array_equal(tables[0], tables[1]) and not np.allclose(tables[1], tables[2], rtol=1e-3)
    alone = make_model(mdata["rna"].copy(), rna_value_skip=False)
    train(alone)
    attribute(rna, alone, target=("rna", rna.var_names[0]), n_steps=20)
    assert rna.uns[KEY]["params"]["tokens"] and rna.varm[KEY].any()


def test_genes_are_attributed_to_peaks_or_to_genes(trained, mdata):
    genes = trained.spec.features["rna"][:2].tolist()
    attribute(mdata, trained, target=("rna", genes), n_steps=8)
    assert mdata["atac"].varm[KEY].shape == (200, 1, 2) and KEY not in mdata["rna"].varm
    expression = trained.get_translated(mdata["atac"].copy(), "rna", features=genes)
    value = mdata["atac"].uns[KEY]["value"][0]
    np.testing.assert_allclose(value, expression.mean(0), atol=1e-4)
    attribute(mdata, trained, target=("rna", genes[0]), n_steps=8, source="rna")
    assert mdata["rna"].varm[KEY].shape == (60, 1)
    assert mdata["rna"].uns[KEY]["params"]["source"] == "rna"


def test_proteins_are_attributed_to_genes(trained_protein):
    mdata = scmomer.datasets.synthetic(n_cells=40, n_genes=60, n_peaks=200, n_proteins=10)
    name = trained_protein.spec.features["protein"][3]
    rna = mdata["rna"].copy()
    attribute(rna, trained_protein, target=("protein", name), n_steps=20)
    counts = trained_protein.get_translated(rna, "protein", features=[name], depth_share=0.0)
    shift = float(trained_protein.module.modality("protein").log_shift[3])  # to typical counts
    value = np.log(counts).mean() - shift
    np.testing.assert_allclose(rna.uns[KEY]["value"], [[value]], rtol=1e-4, atol=1e-5)
    assert rna.uns[KEY]["error"][0] < 0.05 and rna.varm[KEY].any()
    with keep_obs():
        attribute(mdata, trained_protein, target=("rna", rna.var_names[0]), n_steps=8)
    assert mdata["protein"].varm[KEY].shape == (10, 1)


def test_markers_of_a_label_are_attributed_to_it(trained, mdata):
    """Log odds of a label rise with its marker genes, in its cells."""
    attribute(mdata, trained, target=("obs", "type2"), groupby="cell_type", n_steps=20)
    rna = mdata["rna"]
    place = rna.uns[KEY]["groups"].tolist().index("type2")
    value = rna.uns[KEY]["value"][:, 0]
    assert value.argmax() == place and value[place] > 0
    table, marks = rna.varm[KEY][:, place], rna.var["marker_of"].astype(str) == "type2"
    assert (table[marks] > 0).mean() > 0.8 and table[marks].mean() > 3 * abs(table[~marks].mean())
    other = ("obs", ["type1", "type2"])
    attribute(mdata, trained, target=other, labels_key="cell_type", n_steps=8, tokens=False)
    assert rna.varm[KEY].shape == (60, 1, 2)


def test_a_classifier_that_reads_the_embedding(trained, mdata, seed, refuses):
    options = {"n_members": 2, "hidden": 16, "max_epochs": 8}
    with seed(0):
        classifier = CellTypeClassifier(trained, inputs="embedding", **options)
        classifier.fit(mdata["rna"].copy(), "cell_type")
    rna = mdata["rna"].copy()
    attribute(rna, classifier, target=("obs", "type2"), groupby="cell_type", n_steps=20)
    p = classifier.predict_proba(rna)["type2"]
    expected = np.log(p / (1 - p)).groupby(rna.obs["cell_type"].to_numpy(), observed=True).mean()
    np.testing.assert_allclose(rna.uns[KEY]["value"][:, 0], expected, rtol=1e-3, atol=1e-4)
    with refuses(ValueError, "('obs', label)", "classifier.model"):
        attribute(rna, classifier, target=("rna", "Gene0001"))
    with refuses(ValueError, "['type1'", "['type9']"):
        attribute(rna, classifier, target=("obs", "type9"))
    with refuses(ValueError, "['rna']", "'atac'"):
        attribute(mdata, classifier, target=("obs", "type2"), source="atac")
    with seed(0):
        whole = CellTypeClassifier(trained, **options).fit(rna, "cell_type")
    with refuses(ValueError, "inputs='embedding'", "inputs='all'"):
        attribute(rna, whole, target=("obs", "type2"))


def test_groups_are_averaged_apart_and_files_hold_them(trained, mdata, peaks, tmp_path, caplog):
    rna = mdata["rna"].copy()
    names = np.array(["L2/3", "L6"])[np.arange(120) % 2].astype(object)
    names[:10] = None
    rna.obs["layer"] = names
    with caplog.at_level(logging.INFO):
        attribute(rna, trained, target=("atac", peaks), groupby="layer", tokens=False)
    assert "10 of 120 cells" in caplog.text
    assert rna.varm[KEY].shape == (60, 2, 2)
    assert rna.uns[KEY]["groups"].tolist() == ["L2/3", "L6"]
    assert rna.uns[KEY]["n_cells"].tolist() == [55, 55]
    rna.write_h5ad(tmp_path / "out.h5ad")
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert np.array_equal(read.varm[KEY], rna.varm[KEY])
    alone = np.flatnonzero(rna.obs["layer"].to_numpy() == "L6")
    attribute(rna, trained, target=("atac", peaks[1]), indices=alone, tokens=False, key_added="one")
    np.testing.assert_allclose(rna.varm["one"][:, 0], read.varm[KEY][:, 1, 1], rtol=1e-3, atol=1e-6)


def test_against_the_average_group(trained, mdata, peaks):
    rna = mdata["rna"].copy()
    options = {"target": ("atac", peaks[0]), "groupby": "cell_type", "tokens": False}
    attribute(rna, trained, **options, baseline="group_mean", n_steps=20)
    found = rna.uns[KEY]
    assert np.ptp(found["baseline_value"]) < 0.5 * np.ptp(found["value"])
    mean = rna.varm[KEY].mean(1)
    attribute(rna, trained, **options, n_steps=20)
    assert np.abs(mean).mean() < 0.5 * np.abs(rna.varm[KEY]).mean()


def test_features_match_by_name_and_unknown_ones_are_nan(trained, mdata, peaks):
    rna = mdata["rna"][:, ::-1].copy()
    rna.var_names = ["new", *rna.var_names[1:]]  # the model's last gene is gone
    attribute(rna, trained, target=("atac", peaks[0]), n_steps=8)
    assert np.isnan(rna.varm[KEY][0]).all() and np.isfinite(rna.varm[KEY][1:]).all()
    plain = mdata["rna"].copy()
    plain.X = sp.csr_matrix(plain.X @ sp.diags((np.arange(60) < 59).astype(np.float32)))
    attribute(plain, trained, target=("atac", peaks[0]), n_steps=8)
    np.testing.assert_allclose(rna.varm[KEY][:0:-1], plain.varm[KEY][:-1], atol=1e-6)


def test_a_copy_leaves_the_data_alone(trained, mdata, peaks):
    copied = attribute(mdata, trained, target=("atac", peaks[0]), n_steps=4, copy=True)
    assert KEY in copied["rna"].varm and KEY not in mdata["rna"].varm
    assert "scmomer" not in mdata.uns


def test_only_the_source_is_read(trained, make_unseen, peaks, caplog):
    mosaic = make_unseen(missing={"rna": 0.3, "atac": 0.3})
    with caplog.at_level(logging.INFO):
        attribute(mosaic, trained, target=("atac", peaks[0]), n_steps=4)
    n = mosaic["rna"].n_obs
    assert mosaic["rna"].uns[KEY]["n_cells"].tolist() == [n] and f"{120 - n} of 120" in caplog.text
    rna = mosaic["rna"].copy()
    attribute(rna, trained, target=("atac", peaks[0]), n_steps=4)
    np.testing.assert_allclose(rna.varm[KEY], mosaic["rna"].varm[KEY], rtol=1e-3, atol=1e-6)


def test_it_warns_if_sums_are_off(trained, mdata, peaks, monkeypatch):
    monkeypatch.setattr("scmomer.tl._attribute.MAX_ERROR", 1e-12)
    with pytest.warns(UserWarning, match=r"miss the change.*Pass n_steps=\d+"):
        attribute(mdata, trained, target=("atac", peaks[0]), n_steps=4)


def test_without_captum_it_says_how_to_install_it(trained, mdata, monkeypatch, refuses):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with refuses(ImportError, "needed for tl.attribute", "pip install 'scmomer[interpret]'"):
        attribute(mdata, trained, target=("atac", "anything"))


def test_it_says_what_is_wrong(trained, trained_rna, mdata, peaks, refuses):
    rna, good = mdata["rna"].copy(), ("atac", peaks[0])
    for bad in (
        peaks[0],
        ("atac", []),
        ("genes", "a"),
        ("atac",),
        ("atac", None),
        ("rna", {"a"}),
        None,
    ):
        with refuses(ValueError, "('rna', gene)", repr(bad)):
            attribute(rna, trained, target=bad)
    with refuses(ValueError, "'zero' or 'group_mean'", "'mean'"):
        attribute(rna, trained, target=good, baseline="mean")
    with refuses(ValueError, "groupby=", "None"):
        attribute(rna, trained, target=good, baseline="group_mean")
    with refuses(ValueError, "n_steps", "0"):
        attribute(rna, trained, target=good, n_steps=0)
    with refuses(ValueError, "source=", "['rna']", "'atac'"):
        attribute(rna, trained, target=good, source="atac")
    with refuses(KeyError, "spec.features['atac']", "chr9:1-2", "such as 'chr1:"):
        attribute(rna, trained, target=("atac", "chr9:1-2"))
    with refuses(KeyError, "'nothing'", "groupby="):
        attribute(rna, trained, target=good, groupby="nothing")
    with refuses(ValueError, "['rna']", "'atac'", "To predict peaks"):
        attribute(rna, trained_rna, target=good)
    with refuses(ValueError, "labels_key="):
        attribute(rna, trained_rna, target=("obs", "type1"))
    with refuses(ValueError, "['type1'", "['type9']"):
        attribute(rna, trained, target=("obs", "type9"))
    rna.obs["one"] = "same"
    with refuses(ValueError, "at least 2 labels", "['same']"):
        attribute(rna, trained, target=("obs", "same"), labels_key="one")
    rna.obs["none"] = np.full(120, None)
    with refuses(ValueError, "cells with rna and a group"):
        attribute(rna, trained, target=good, groupby="none")
    assert KEY not in rna.varm


def test_the_bar_can_be_hidden(trained, mdata, peaks, capsys):
    options = {"target": ("atac", peaks[0]), "n_steps": 5, "batch_size": 40}
    attribute(mdata["rna"].copy(), trained, **options)
    assert "Attributing" in capsys.readouterr().err
    attribute(mdata["rna"].copy(), trained, **options, enable_progress_bar=False)
    assert not capsys.readouterr().err
