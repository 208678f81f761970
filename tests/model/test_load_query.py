"""``SCMOMER.load_query_data``: a query's batches are learned, everything else stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scmomer
from scmomer.datasets import synthetic
from scmomer.model import _current_model


@pytest.fixture
def query(make_unseen):
    """Unseen cells of a known batch and of two new ones."""
    cells = make_unseen(n_batches=3)
    names = {"batch1": "batch1", "batch2": "new A", "batch3": "new B"}
    cells.obs["batch"] = cells.obs["batch"].map(names).astype(str)
    for adata in cells.mod.values():
        adata.obs["batch"] = cells.obs["batch"].reindex(adata.obs_names)
    return cells


@pytest.fixture
def adapted(trained, query):
    return trained.load_query_data(query)


def test_new_batches_follow_those_of_training(trained, adapted, query):
    assert adapted.spec.all_batches == ["batch1", "batch2", "new A", "new B"]
    assert adapted.spec.batches == trained.spec.batches == ["batch1", "batch2"]
    assert adapted is not trained and adapted.id != trained.id and adapted.is_trained
    assert _current_model._current is adapted
    assert trained.spec.query_batches == []


def test_nothing_but_the_new_batches_changes(trained, adapted, query, mdata):
    before, after = trained.module.state_dict(), adapted.module.state_dict()
    new = after.keys() - before.keys()
    assert before.keys() < after.keys() and all(name.endswith(".query_bias") for name in new)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(after[f"modalities.{m}.decoder.query_bias"].any() for m in mdata.mod)
    for data in (mdata, query, mdata["rna"], query["atac"]):
        for modality in ("joint", "rna", "atac"):
            pair = (
                m.get_latent_representation(data, modality=modality) for m in (trained, adapted)
            )
            assert np.array_equal(*pair)


@pytest.mark.parametrize("to", ["rna", "atac"])
@pytest.mark.parametrize("batch", [None, "batch1", "batch2"])
def test_old_translations_stay_to_the_bit(trained, adapted, mdata, to, batch):
    pair = (m.get_translated(mdata, to, batch=batch, uncertainty=True) for m in (trained, adapted))
    before, after = pair
    assert all(np.array_equal(*values) for values in zip(before, after, strict=True))


def test_a_new_batch_is_spoken_in(adapted, query):
    for to in ("rna", "atac"):
        new, average = (adapted.get_translated(query, to, batch=b) for b in ("new A", None))
        assert not np.allclose(new, average, atol=1e-3)
        some = [5, 2, 17]
        chosen = adapted.get_translated(
            query, to, batch="new A", features=adapted.spec.features[to][some]
        )
        np.testing.assert_allclose(chosen, new[:, some], rtol=0, atol=1e-6)
    out = scmomer.tl.translate_atac(query["rna"], adapted, batch="new B")
    assert np.array_equal(out.X, adapted.get_translated(query["rna"], batch="new B"))


def test_it_learns_what_a_batch_is_like(make_model, train, seed):
    mdata = synthetic(900, 40, 80, n_batches=3, batch_effect=0.8, rna_depth=300, atac_depth=60)
    held = (mdata.obs["batch"] == "batch3").to_numpy()
    first, query = mdata[~held].copy(), mdata[held].copy()
    with seed(0):
        model = make_model(first, {"batch_key": "batch"})
        train(model, max_epochs=3)
    fitted, unseen = query[:150].copy(), query[150:].copy()
    adapted = model.load_query_data(fitted)
    truth = {"atac": unseen["atac"].X.toarray() > 0, "rna": _normalized(unseen["rna"].X, model)}
    for to, values in truth.items():
        new, average = (
            adapted.get_translated(unseen, to, batch=batch).mean(0) for batch in ("batch3", None)
        )
        error, before = (np.abs(values.mean(0) - found).mean() for found in (new, average))
        assert error < 0.5 * before, to


def _normalized(counts, model) -> np.ndarray:
    dense = counts.toarray()
    return np.log2(1 + dense / dense.sum(1, keepdims=True) * model.target_sum)


def test_of_rna_alone_accessibility_stays_the_average(trained, query):
    adapted = trained.load_query_data(query["rna"])
    average = trained.get_translated(query["rna"])
    assert np.array_equal(adapted.get_translated(query["rna"], batch="new A"), average)
    new, average = (adapted.get_translated(query, "rna", batch=b) for b in ("new A", None))
    assert not np.allclose(new, average, atol=1e-3)


def test_it_survives_a_folder(adapted, query, mdata, tmp_path):
    adapted.save(tmp_path / "adapted.scmomer")
    loaded = scmomer.load(tmp_path / "adapted.scmomer")
    assert loaded.spec.to_dict() == adapted.spec.to_dict()
    for batch in (None, "batch1", "new A", "new B"):
        pair = (m.get_translated(query, batch=batch) for m in (adapted, loaded))
        assert np.array_equal(*pair)
    again = loaded.load_query_data(_renamed(query, "third"))
    assert again.spec.all_batches == ["batch1", "batch2", "new A", "new B", "third"]
    pair = (m.get_translated(mdata, batch="new B") for m in (adapted, again))
    assert np.array_equal(*pair)


def _renamed(query, name):
    query = query.copy()
    query.obs["batch"] = name
    return query


def test_a_model_without_batches_can_get_some(make_model, train, mdata, query):
    model = make_model(mdata)
    train(model)
    adapted = model.load_query_data(query, batch_key="batch")
    assert adapted.spec.all_batches == ["batch1", "new A", "new B"]
    pair = (m.get_translated(query) for m in (model, adapted))
    assert np.array_equal(*pair)
    new, average = (adapted.get_translated(query, batch=b) for b in ("new A", None))
    assert not np.allclose(new, average, atol=1e-3)


@pytest.mark.parametrize("options", [{"rna_scale_genes": False}, {"bridge_n_heads": 0}])
def test_other_decoders_are_fitted_too(make_model, train, mdata, query, options):
    mdata.obs["batch"] = "only"
    model = make_model(mdata, {"batch_key": "batch"}, **options)
    train(model)
    adapted = model.load_query_data(query)
    assert adapted.spec.all_batches == ["only", "batch1", "new A", "new B"]
    for to in ("rna", "atac"):
        pair = (
            m.get_translated(query, to, batch=b) for m, b in ((model, "only"), (adapted, "only"))
        )
        assert np.array_equal(*pair)
        pair = (adapted.get_translated(query, to, batch=b) for b in ("new A", None))
        assert not np.allclose(*pair, atol=1e-3)


def test_models_of_one_modality_work(trained_rna, trained_atac, query):
    for name, model in (("rna", trained_rna), ("atac", trained_atac)):
        adapted = model.load_query_data(query[name], batch_key="batch")
        new, average = (adapted.get_translated(query[name], name, batch=b) for b in ("new A", None))
        assert not np.allclose(new, average, atol=1e-3)
        assert np.array_equal(average, model.get_translated(query[name], name))


def test_mosaic_queries_and_batch_sizes(trained, make_unseen):
    mosaic = make_unseen(missing={"rna": 0.3, "atac": 0.3})
    mosaic.obs["batch"] = "mosaic"
    found = [
        trained.load_query_data(mosaic, batch_size=size).get_translated(mosaic, batch="mosaic")
        for size in (None, 7)
    ]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-4)
    assert not np.allclose(found[0], trained.get_translated(mosaic), atol=1e-3)


def test_the_query_is_not_changed(trained, query, unchanged):
    before = list(query.obs.columns), set(query.obsm), set(query.uns)
    with unchanged(query):
        trained.load_query_data(query)
    assert (list(query.obs.columns), set(query.obsm), set(query.uns)) == before


def test_bad_queries_are_refused(trained, trained_rna, query, make_model, refuses):
    known = _renamed(query, "batch1")
    with refuses(ValueError, "['batch1']", "'batch'", "rename the batches"):
        trained.load_query_data(known)
    with refuses(KeyError, "'donor'", "batch_key="):
        trained.load_query_data(query, batch_key="donor")
    with refuses(ValueError, "batch_key=", "trained without one", "'state'"):
        trained_rna.load_query_data(query["rna"])
    gaps = query.copy()
    gaps.obs["batch"] = gaps.obs["batch"].where(np.arange(gaps.n_obs) > 2)
    with refuses(ValueError, "'batch'", "3 of 120 missing"):
        trained.load_query_data(gaps)
    other = query["rna"].copy()
    other.var_names = [f"other{i}" for i in range(other.n_vars)]
    with refuses(ValueError, "none of its 60", "genes"):
        trained.load_query_data(other)
    with refuses(TypeError, "AnnData or a MuData"):
        trained.load_query_data([1])
    with refuses(KeyError, "new C", "load_query"):
        trained.load_query_data(query).get_translated(query, batch="new C")
    with refuses(RuntimeError, "never trained"):
        make_model(query).load_query_data(query)


def test_an_adapted_model_says_that_it_has_no_data(adapted, refuses):
    with refuses(RuntimeError, "load_query", "Pass data"):
        adapted.get_latent_representation()


def test_the_former_name_works_with_a_warning(trained, query):
    with pytest.warns(FutureWarning, match="load_query is now called load_query_data"):
        former = trained.load_query(query)
    assert former.spec.query_batches == trained.load_query_data(query).spec.query_batches
