"""Translation heads: averaged, and how far they are apart."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import psutil
import pytest
import torch
from mudata import MuData
from scipy.special import expit

import scmomer


def has(data, modality: str) -> np.ndarray:
    """Which cells were measured."""
    if isinstance(data, MuData):
        return data.obs_names.isin(data[modality].obs_names)
    return np.full(data.n_obs, (data.n_vars == 60) == (modality == "rna"))


SOURCE = {"atac": "rna", "rna": "atac"}


@pytest.fixture
def headless(make_model, train, mdata) -> scmomer.SCMOMER:
    """A trained model without translation heads."""
    model = make_model(mdata, bridge_n_heads=0)
    train(model)
    return model


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_uncertainty_comes_with_the_same_values(trained, data, to):
    found = trained.get_translated(data, to, uncertainty=True)
    assert isinstance(found, tuple)
    values, std = found
    assert np.array_equal(values, trained.get_translated(data, to))
    assert std.shape == values.shape and std.dtype == np.float32 and type(std) is np.ndarray
    assert np.isfinite(std).all() and std.min() >= 0
    unsure = std.max(1) > 1e-4  # heads differ where there is something to read
    assert np.array_equal(unsure, has(data, SOURCE[to])) and (std[~unsure] < 1e-6).all()


def test_uncertainty_is_the_deviation_of_single_predictions(trained, mdata, monkeypatch, same):
    logits = np.array([-1.0, 0.0, 4.0, 1.0])
    for to in ("atac", "rna"):
        heads = [head.decoder(to) for head in trained.module.heads_from(SOURCE[to])]
        decoders = [trained.module.modality(to).decoder, *heads]
        for decoder, value in zip(decoders, logits, strict=True):
            monkeypatch.setattr(
                decoder,
                "forward",
                lambda z, *args, n=decoder.linear.out_features, v=value: torch.full(
                    (len(z), n), float(v)
                ),
            )
    # At the mean depth, which heads without a depth term take from the others.
    values, std = trained.get_translated(mdata, "atac", uncertainty=True, depth_share=0.0)
    same(values, expit(1.0))  # averaged as logits
    same(std, (((expit(logits) - expit(1.0)) ** 2).sum() / 3) ** 0.5)
    values, std = trained.get_translated(mdata, "rna", uncertainty=True)
    same(values, 1.0)
    same(std, (((np.maximum(logits, 0) - 1) ** 2).sum() / 3) ** 0.5)  # none is below zero


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_without_heads_there_is_no_uncertainty(headless, data, to):
    values, std = headless.get_translated(data, to, uncertainty=True)
    assert np.array_equal(values, headless.get_translated(data, to))
    assert std.shape == values.shape and not std.any()


@pytest.mark.parametrize("to", ["atac", "rna"])
@pytest.mark.parametrize("batch_size", [1, 50])
def test_uncertainty_of_some_cells_and_features(trained, data, to, batch_size, same):
    whole = trained.get_translated(data, to, uncertainty=True)
    cells, columns = [9, -1, 9, 40], [5, 0, 33]
    found = trained.get_translated(
        data,
        to,
        features=trained.spec.features[to][columns],
        indices=cells,
        batch_size=batch_size,
        uncertainty=True,
    )
    for part, expected in zip(found, whole, strict=True):
        same(part, expected[cells][:, columns])
    none = trained.get_translated(data, to, indices=[], uncertainty=True)
    assert [part.shape for part in none] == [(0, whole[0].shape[1])] * 2


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_a_cell_that_heads_cannot_read_is_left_to_the_decoder(trained, make_unseen, to, same):
    mosaic = make_unseen(missing={SOURCE[to]: 0.3})
    lacks = ~has(mosaic, SOURCE[to])
    assert 0 < lacks.sum() < 120
    values, std = trained.get_translated(mosaic, to, uncertainty=True, depth="mean")
    assert np.isfinite(values).all() and np.isfinite(std).all()
    z = torch.from_numpy(trained._embed(mosaic).z)
    with torch.no_grad():
        alone = trained.module.modality(to).decoder(z)
    alone = (alone.sigmoid() if to == "atac" else alone.clamp_min(0)).numpy()
    same(values[lacks], alone[lacks])
    assert (np.abs(values - alone).max(1) > 1e-4)[~lacks].all()


def test_a_spread_result_needs_twice_the_memory(trained, mdata, monkeypatch, refuses):
    needed = 2 * 120 * 200 * 4
    available = namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available(needed - 1))
    with refuses(MemoryError, "120 cells x 200 features"):
        trained.get_translated(mdata, uncertainty=True)
    assert np.isfinite(trained.get_translated(mdata)).all()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available(needed))
    assert len(trained.get_translated(mdata, uncertainty=True)) == 2
