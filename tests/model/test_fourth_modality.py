"""A further modality is one class and one line: it registers, trains, embeds and translates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from mudata import MuData

import scmomer
from scmomer.module import MODALITY_TYPES, MLPEncoder, ModalityModule, StageConfig
from scmomer.nn import SparseRows, sparse_mse, to_dense


@dataclass(frozen=True)
class MethylationConfig:
    """Configuration of methylation."""

    encoder: Literal["mlp", "custom"] = "mlp"
    hidden: int = 16


class Methylation(ModalityModule):
    """Methylated reads of regions: log counts, squared error."""

    name = "methylation"
    feature_name = "regions"
    usual_names = "methylation|meth|dna methylation"
    registry_key = "methylation_counts"
    config_type = MethylationConfig
    presets = {"small": (MethylationConfig(), StageConfig(min_steps=20))}
    head_reads = bridge_reads = "features"

    def make_encoder(self, features, config):
        return MLPEncoder(len(features), config.n_latent, self.config.hidden, 0.1, "none")

    def normalize(self, counts: SparseRows) -> SparseRows:
        return counts._replace(values=counts.values.log1p())

    def error(self, decoder, z, counts, batch):
        weight = torch.ones(self.n_features, device=z.device)
        return sparse_mse(decoder(z, batch), self.normalize(counts), weight)

    def derivatives(self, decoder, values, counts):
        target = to_dense(self.normalize(counts), self.n_features)
        return values - target, torch.ones_like(values)

    def init_from_data(self, counts, decoders, bridges, warm_start):
        logs = counts.log1p().toarray()
        self.baseline.fill_(max(float(logs.var(0).sum()), 1e-6))
        for decoder in decoders:
            decoder.init_mean(torch.from_numpy(logs.mean(0)))
        for bridge in bridges:
            std = torch.from_numpy(np.maximum(logs.std(0), 0.1))
            bridge.standardize(torch.from_numpy(logs.mean(0)), std)


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    """The one line."""
    monkeypatch.setitem(MODALITY_TYPES, Methylation.name, Methylation)


def methylation(like: anndata.AnnData) -> anndata.AnnData:
    """Reads that rise where the first genes do."""
    rng = np.random.default_rng(0)
    rate = 0.5 + 2 * like.X[:, :25].toarray()
    names = [f"region {i}" for i in range(25)]
    table = sp.csr_matrix(rng.poisson(rate).astype(np.float32))
    return anndata.AnnData(table, obs=like.obs[[]].copy(), var=pd.DataFrame(index=names))


@pytest.fixture(params=["rna", "rna+atac"])
def mdata(request, make_mdata) -> MuData:
    """RNA, and ATAC or not, beside methylation under a usual name."""
    found = make_mdata()
    parts = {m: found[m].copy() for m in request.param.split("+")}
    return MuData({**parts, "Meth": methylation(found["rna"])})


def test_it_registers_trains_embeds_and_translates(mdata, make_model, train, seed, tmp_path):
    with seed(0):
        model = make_model(mdata)
        assert list(model.spec.features) == [*(m for m in mdata.mod if m != "Meth"), "methylation"]
        train(model, max_epochs={"fusion": 2, "bridge": 8}, batch_size=32)
    assert "methylation" in model.stages_ and model.stages_[-1] == "bridge"
    found = model.get_translated(mdata["rna"], "methylation")
    truth = np.log1p(mdata["Meth"].X.toarray())
    fit = [np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, truth.T, strict=True)]
    assert found.shape == (120, 25) and np.mean(fit) > 0.2
    for cells in (mdata, mdata["rna"], mdata["Meth"].copy()):
        assert model.get_latent_representation(cells).shape == (120, 8)
    assert model.get_translated(mdata["Meth"].copy(), "rna").shape == (120, 60)
    model.save(tmp_path / "model")
    again = scmomer.load(tmp_path / "model")
    assert np.array_equal(again.get_translated(mdata["rna"], "methylation"), found)


def test_options_and_verbs_have_its_name(mdata, make_model, train):
    model = make_model(mdata, methylation_hidden=4)
    assert model.config.modalities["methylation"].hidden == 4
    train(model)
    scmomer.tl.embed(mdata, model)
    assert mdata.obsm["X_scmomer_methylation"].shape == (120, 8)
