"""Pickles and deep copies of trained models and classifiers."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy

import numpy as np
import pytest
import torch

import scmomer

STAGES = ("rna", "atac", "fusion", "bridge")
WAYS = {"pickle": lambda x: pickle.loads(pickle.dumps(x)), "deepcopy": deepcopy}


@pytest.fixture(params=WAYS)
def again(request):
    return WAYS[request.param]


def test_a_trained_model(trained, make_unseen, again):
    found, query = again(trained), make_unseen(missing={"rna": 0.3, "atac": 0.3})
    z = trained.get_latent_representation()
    assert np.array_equal(found.get_latent_representation(), z)
    assert np.array_equal(
        found.get_translated(query, "atac"), trained.get_translated(query, "atac"), equal_nan=True
    )
    assert found.stages_ == trained.stages_ and found.id == trained.id
    assert all(found.history[k].equals(v) for k, v in trained.history.items())
    assert "trainer" in vars(trained) and "trainer" not in vars(found)
    with torch.no_grad():
        next(found.module.parameters()).add_(1)
    assert np.array_equal(trained.get_latent_representation(), z)  # a network of its own


def test_a_copy_trains_on(make_model, train, make_mdata, again, seed):
    with seed(0):
        model = make_model(make_mdata())
        train(model, stages=["rna", "atac"])
        found = again(model)
        for one in (model, found):
            train(one, resume=True)
    assert found.stages_ == STAGES
    ours, theirs = model.module.state_dict(), found.module.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("name", [None, "rna", "atac"])
def test_the_registration_comes_back_when_asked_for(make_model, mdata, again, name):
    data = mdata if name is None else mdata[name].copy()
    model = make_model(data, {"batch_key": "batch", "labels_key": "cell_type"})
    found = again(model)
    assert found.adata_manager.adata is found.adata
    assert found.adata_manager.registry["field_registries"].keys() == set(
        model.adata_manager.registry["field_registries"]
    )
    for key in ("batch", "labels"):
        np.testing.assert_array_equal(
            found.adata_manager.get_from_registry(key), model.adata_manager.get_from_registry(key)
        )
    found.deregister_manager()  # stored in scvi-tools by the model's id


def test_data_in_a_pickle_are_complete(make_model, make_mdata):
    mdata = make_mdata(missing={"rna": 0.3, "atac": 0.3})
    mdata.obsm["X_some"] = np.arange(2.0 * mdata.n_obs).reshape(-1, 2)
    mdata.uns["note"] = {"a": 1}
    model = make_model(mdata, {"batch_key": "batch"})
    found = WAYS["pickle"](model).adata
    assert found is not mdata and found.obs_names.equals(mdata.obs_names)
    assert found.obs.equals(mdata.obs) and found.var.equals(mdata.var)
    assert found.shape == mdata.shape and found.uns["note"] == {"a": 1}
    for name in ("X_some", *mdata.mod):
        assert np.array_equal(found.obsm[name], mdata.obsm[name])
    for name, adata in mdata.mod.items():
        assert (found[name].X != adata.X).nnz == 0 and found[name].obs.equals(adata.obs)
        assert np.array_equal(found.obsmap[name], mdata.obsmap[name])
    assert deepcopy(model).adata is mdata


def test_a_shallow_copy_shares(trained):
    found = copy(trained)
    assert vars(found) is not vars(trained) and vars(found) == vars(trained)


def test_a_model_without_data(saved, trained, make_unseen, again):
    found, query = again(scmomer.load(saved)), make_unseen()
    expected = trained.get_latent_representation(query)
    np.testing.assert_allclose(found.get_latent_representation(query), expected, atol=1e-6)
    assert found.adata is None and found.adata_manager is None
    with pytest.raises(RuntimeError, match="no registered data"):
        found.train()


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_a_classifier(trained, make_unseen, again, mode):
    classifier = scmomer.CellTypeClassifier(trained, n_members=1)
    classifier.fit(trained.adata, "cell_type", mode=mode)
    found, query = again(classifier), make_unseen()
    expected = classifier.predict_proba(query)
    assert found.predict_proba(query).equals(expected)
    assert np.array_equal(found.novelty(query), classifier.novelty(query))
    found.check_model(trained)
    assert (found._network is found.model) == (mode == "frozen")
