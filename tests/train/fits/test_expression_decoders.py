"""Decoders of heads into RNA."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.inference import Inference
from scmomer.nn import log_normalize_csr
from scmomer.train import clone_state, init_from_data
from scmomer.train.fits import fit_expression_decoders

ALL = np.arange(120)
SPLIT = ALL, ALL[:0], ALL[:0]


@pytest.mark.parametrize("scale_genes", [True, False])
def test_predictions_fit_training_cells_better_and_keep_their_mean(
    make_module, make_cells, scale_genes
):
    cells, module = make_cells(120), make_module(rna_scale_genes=scale_genes).eval()
    init_from_data(module, cells, ALL)
    expression = log_normalize_csr(cells.counts["rna"], float(module.rna.target_sum)).toarray()

    def predictions() -> np.ndarray:
        run = Inference(module, cells.select_modality("atac"))
        heads = run.embed(to="rna").heads["atac"]
        decoders = [head.decoder("rna") for head in module.heads_from("atac")]
        with torch.no_grad():
            return np.stack(
                [d(torch.from_numpy(heads[:, k])).numpy() for k, d in enumerate(decoders)]
            )

    before = predictions()
    fit_expression_decoders(module, cells, SPLIT, 0)
    after = predictions()
    np.testing.assert_allclose(after.mean(1), before.mean(1), atol=1e-3)
    for old, new in zip(before, after, strict=True):
        assert _error(new, expression) < _error(old, expression)


def _error(found: np.ndarray, expression: np.ndarray) -> float:
    return float(((found - found.mean(0) - expression + expression.mean(0)) ** 2).mean())


def test_only_these_decoders_change(make_module, make_cells):
    cells, module = make_cells(120), make_module().eval()
    init_from_data(module, cells, ALL)
    before = clone_state(module)
    fit_expression_decoders(module, cells, SPLIT, 0)
    changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(
        k.startswith("bridges.atac.") and ".decoders.rna.linear." in k for k in changed
    )


@pytest.mark.parametrize("cells_without", [{"rna": list(range(110))}, {}])
def test_few_cells_or_no_heads_change_nothing(make_module, make_cells, cells_without):
    cells = make_cells(120, without=cells_without)
    module = make_module(bridge_n_heads=3 if cells_without else 0).eval()
    init_from_data(module, cells, ALL)
    before = clone_state(module)
    fit_expression_decoders(module, cells, SPLIT, 0)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
