"""An encoder of the user's own, passed where a name is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scmomer
from scmomer.module import Encoded, Encoder
from scmomer.nn import SparseRows, sparse_linear


class Linear(Encoder):
    """The least that an encoder is."""

    def __init__(self, n_features: int, n_latent: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n_features, n_latent) * 0.1)

    def forward(self, features: SparseRows) -> Encoded:
        return Encoded(sparse_linear(features, self.weight), None)


@pytest.fixture
def model(make_model, mdata, train, seed) -> scmomer.SCMOMER:
    """Trained with the user's encoder of RNA."""
    with seed(0):
        model = make_model(mdata, {"batch_key": "batch"}, rna_encoder=Linear(60, 8))
        train(model)
    return model


def test_it_trains_and_embeds(model, mdata):
    assert isinstance(model.module.rna.encoder, Linear)
    assert model.config.modalities["rna"].encoder == "custom"
    z = model.get_latent_representation(mdata["rna"])
    assert z.shape == (120, 8) and np.isfinite(z).all() and z.std(0).min() > 0
    assert model.get_translated(mdata["rna"]).shape == (120, 200)


def test_saved_and_loaded_with_such_an_encoder(model, mdata, tmp_path):
    model.save(tmp_path / "model")
    again = scmomer.load(tmp_path / "model", encoders={"rna": Linear(60, 8)})
    z = model.get_latent_representation(mdata)
    assert np.array_equal(again.get_latent_representation(mdata), z)
    with pytest.raises(TypeError, match=r"of your own for \['rna'\].*encoders=\{'rna': MyEncoder"):
        scmomer.load(tmp_path / "model")


def test_query_batches_and_copies_keep_it(model, make_unseen):
    query = make_unseen()
    query.obs["batch"] = "new"
    adapted = model.load_query_data(query)
    z = model.get_latent_representation(query)
    assert np.array_equal(adapted.get_latent_representation(query), z)
