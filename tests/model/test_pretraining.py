"""Stage 1 on cells that are not registered."""

from __future__ import annotations

import numpy as np
import pytest
import torch

QUICK = {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu"}


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_one_encoder_learns_and_the_rest_stays(make_model, train, mdata, make_unseen, modality):
    model, extra = make_model(mdata), make_unseen()[modality]
    before = extra.copy()
    train(model, stages=[modality])  # start values
    weights = {k: v.clone() for k, v in model.module.state_dict().items()}
    model.pretrain(extra, **QUICK)
    assert model.stages_ == (modality,) and len(model.history[modality]) == 1
    moved = {
        name
        for name, value in model.module.state_dict().items()
        if not torch.equal(value, weights[name])
    }
    assert moved and all(name.split(".")[1] == modality for name in moved)
    assert (extra.X != before.X).nnz == 0 and extra.obs.equals(before.obs)


def test_statistics_are_those_of_the_registered_cells(make_model, mdata, make_unseen, seed):
    extra = make_unseen()["rna"]
    extra.X = extra.X * 7
    model, plain = make_model(mdata), make_model(mdata)
    with seed(0):
        model.pretrain(extra, **QUICK)
        plain.train(stages=["rna"], **QUICK)
    for name in ("target_sum", "gene_weight", "baseline", "library_mean", "library_std"):
        assert torch.equal(getattr(model.module.rna, name), getattr(plain.module.rna, name)), name


def test_training_goes_on_from_there(make_model, train, mdata, make_unseen):
    model = make_model(mdata)
    model.pretrain(make_unseen()["rna"], **QUICK)
    weights = {k: v.clone() for k, v in model.module.rna.encoder.state_dict().items()}
    train(model, resume=True, stages=["rna", "atac"])
    assert model.stages_ == ("rna", "atac")
    after = model.module.rna.encoder.state_dict()
    assert all(torch.equal(after[k], v) for k, v in weights.items())  # counts as trained
    train(model, resume=True)
    assert (
        model.stages_ == ("rna", "atac", "fusion", "bridge")
        and np.isfinite(model.get_latent_representation()).all()
    )


def test_later_stages_are_unfinished_then(make_model, train, mdata, make_unseen, refuses):
    model = make_model(mdata)
    train(model)
    model.pretrain(make_unseen()["atac"], **QUICK)
    assert model.stages_ == ("rna", "atac")
    with refuses(RuntimeError, "'fusion'", "train(resume=True)"):
        model.get_latent_representation()


def test_only_one_modality_at_a_time(make_model, mdata, refuses):
    with refuses(TypeError, "AnnData of one modality", "MuData", "mdata['rna']"):
        make_model(mdata).pretrain(mdata)


def test_a_modality_that_the_model_lacks_is_refused(make_model, mdata, refuses):
    with refuses(ValueError, "['rna']", "'atac'"):
        make_model(mdata["rna"]).pretrain(mdata["atac"])


def test_the_modality_can_be_named(make_model, mdata, make_unseen, refuses):
    models = [make_model(make_mdata) for make_mdata in (mdata.copy(), mdata.copy())]
    for model, modality in zip(models, (None, "rna"), strict=True):
        model.pretrain(make_unseen()["rna"], modality=modality, **QUICK)
        assert model.stages_ == ("rna",)
    with refuses(ValueError, "['rna', 'atac']", "'protein'"):
        models[0].pretrain(make_unseen()["rna"], modality="protein", **QUICK)
