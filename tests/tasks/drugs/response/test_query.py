from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scmomer.tasks.drugs import DrugResponseModel
from scmomer.tasks.drugs._cell_profiles import within_query
from scmomer.tasks.drugs.response._query import known_lines, named_lines

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


def known(fitted, names: list[str], genes: np.ndarray) -> list[int]:
    return known_lines(fitted, named_lines(fitted, pd.Index(names)), [genes]).tolist()


def test_training_lines_have_the_name_and_the_profile(screen, fitted_response):
    fitted = fitted_response.fitted_
    genes = np.asarray(screen.cells.X, float)[:4].copy()
    names = ["line 0", "line 1", "line 5", "other"]
    genes[1] += 0.5
    assert known(fitted, names, genes) == [0, -1, -1, -1]
    genes[:, 3] = np.nan  # not measured in the query
    assert known(fitted, names, genes) == [0, -1, -1, -1]
    assert known(fitted, ["line 2", "line 2"], genes[[2, 2]]) == [2, 2]
    assert known(fitted, ["LINE-2", "Line_3"], genes[2:]) == [2, 3]


def test_names_that_differ_in_punctuation_match_only_as_they_are(fitted_response):
    fitted = replace(fitted_response.fitted_, lines=pd.Index(["TT", "T-T", "HT-29"]))
    assert named_lines(fitted, pd.Index(["T-T", "tt", "HT29", "A"])).tolist() == [1, -1, 2, -1]


def test_training_lines_without_a_gene(screen, few_epochs, caplog):
    counts = screen.cells.copy()
    counts.X = np.random.default_rng(0).poisson(np.exp(2 + counts.X / 2)).astype(np.float32)
    model = DrugResponseModel(n_members=2).fit(screen.of(slice(60)), counts, screen.drugs)
    whole = model.predict(counts[:60])
    caplog.clear()
    with caplog.at_level("INFO", logger="scmomer"):
        found = model.predict(counts[:70, 5:].copy())
    assert found.obs["is_training_line"].tolist() == [True] * 60 + [False] * 10
    np.testing.assert_array_equal(found.X[:60], whole.X)
    assert "60 of 70 rows are training lines." in caplog.text
    counts.X[:5] = counts.X[5:10]
    with caplog.at_level("INFO", logger="scmomer"):
        model.predict(counts[:60])
    assert "55 of 60 rows are training lines; 5 have the name of one with another" in caplog.text


def test_units_of_features(fitted_response, refuses):
    fitted = fitted_response.fitted_  # of z-scores
    assert not within_query(fitted.reader.profile, "zscore", None)
    assert not within_query(fitted.reader.profile, "zscore", "training")
    assert within_query(fitted.reader.profile, "zscore", "query")
    assert within_query(fitted.reader.profile, "counts", None)
    with refuses(ValueError, "profile='zscore', as in training", "'counts'", "standardize='query'"):
        within_query(fitted.reader.profile, "counts", "training")
    with refuses(ValueError, "standardize of 'training', 'query' or None", "'cells'"):
        within_query(fitted.reader.profile, "zscore", "cells")


def test_empty_queries(screen, fitted_response, refuses):
    with refuses(ValueError, "at least one cell", "none"):
        fitted_response.predict(screen.cells[:0])
    with refuses(TypeError, "AnnData", "DataFrame", "anndata.AnnData(table)"):
        fitted_response.predict(screen.cells.to_df())


def test_groups(screen, fitted_response, refuses, caplog):
    cells = screen.cells[60:].copy()
    cells.obs["state"] = pd.Categorical(["b", "a", None, "b"] * 10, categories=["b", "empty", "a"])
    with caplog.at_level("INFO", logger="scmomer"):
        found = fitted_response.predict(cells, groupby="state")
    assert "10 of 40 cells are in no group of 'state'" in caplog.text
    assert found.obs_names.tolist() == ["b", "a"]
    means = screen.cells[:2].copy()
    means.obs_names = ["b", "a"]
    means.X = np.stack([cells.X[(cells.obs["state"] == g).to_numpy()].mean(0) for g in "ba"])
    np.testing.assert_allclose(found.X, fitted_response.predict(means).X, rtol=1e-4)
    cells.obs["none"] = np.nan
    with refuses(ValueError, "groups in cells.obs['none']", "NaN", "groupby="):
        fitted_response.predict(cells, groupby="none")
    with refuses(KeyError, "absent"):
        fitted_response.predict(cells, groupby="absent")


def test_order_and_parts_do_not_matter(screen, fitted_response, monkeypatch):
    whole = fitted_response.predict(screen.cells)
    monkeypatch.setattr("scmomer.tasks.drugs.response._query._CELLS_AT_ONCE", 7)
    parts = fitted_response.predict(screen.cells)
    back = fitted_response.predict(screen.cells[::-1])[::-1]
    for other in (parts, back):
        assert other.obs_names.equals(whole.obs_names)
        np.testing.assert_allclose(other.X, whole.X, rtol=1e-4, atol=1e-5)
        for name in whole.layers:
            np.testing.assert_allclose(other.layers[name], whole.layers[name], rtol=1e-4, atol=1e-5)
        pd.testing.assert_frame_equal(other.obs, whole.obs)


def test_far_cells_and_strange_drugs_are_named(screen, fitted_response):
    strange = {"strange": "FC(F)(F)C(F)(F)S", "acid": "CCCCC(=O)O"}
    cells = screen.cells[60:].copy()
    cells.X = cells.X * 5
    with pytest.warns(UserWarning) as caught:
        found = fitted_response.predict(cells, strange)
    texts = [str(w.message) for w in caught]
    assert any("of 40 profiles are further from the training lines" in t for t in texts)
    assert any("1 of 2 drugs resemble no training drug ('strange')" in t for t in texts)
    # the line of the user (anndata's own warnings about pandas aside)
    ours = [w for w in caught if w.category is UserWarning]
    assert {w.filename for w in ours} == {__file__}
    assert found.var["distance"]["strange"] > 0.7
    assert found.var["is_training_drug"].tolist() == [False, True]
    near = fitted_response.predict(screen.cells[60:]).obs["distance"].to_numpy()
    assert (found.obs["distance"].to_numpy() > near).mean() > 0.9
