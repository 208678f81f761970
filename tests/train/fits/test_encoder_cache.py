"""Cached embeddings: those of the encoders, where the network is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.data import split_cells
from scmomer.inference import Inference
from scmomer.train.fits import cache_encoders
from scmomer.train.fits._encoder_cache import fits_beside


def test_embeddings_are_those_of_the_encoders(make_module, make_cells):
    module, cells = make_module(), make_cells()
    cache_encoders(module, cells, split_cells(60, 0.9, seed=0), 0)
    assert set(cells.embeddings) == {"rna", "atac"}
    for m, known in cells.embeddings.items():
        expected = Inference(module, make_cells().select_modality(m)).encode(m)
        np.testing.assert_array_equal(known.numpy(), expected)
        assert known.device == module.device and not known.requires_grad


@pytest.mark.parametrize(("n_bytes", "fits"), [(0, True), (100, True), (101, False)])
def test_a_tenth_of_the_free_memory_is_for_them(monkeypatch, n_bytes, fits):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    assert fits_beside(n_bytes, torch.device("cuda")) is fits
    assert fits_beside(n_bytes, torch.device("cpu"))
