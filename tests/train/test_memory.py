"""Minibatches and the memory of a GPU."""

from __future__ import annotations

import logging
import re

import numpy as np
import pandas as pd
import pytest
import torch

from scmomer.module import SCMOMERModule, get_config
from scmomer.nn import CellBatch, SparseRows
from scmomer.train import _memory
from scmomer.train._memory import bytes_per_cell, log_fit, more_parts, n_parts
from scmomer.train._objectives import stage_loss

GB = 2**30


@pytest.fixture(scope="module")
def paper() -> SCMOMERModule:
    """The published RNA encoder, without memory of its own."""
    genes = pd.Index([f"GENE{i}" for i in range(16906)])
    with torch.device("meta"):
        return SCMOMERModule({"rna": genes}, 1, get_config("paper"))


def per_cell(module: SCMOMERModule) -> float:
    encoder = module.rna.encoder
    return float(encoder.n_tokens(np.array([2000]))[0]) * encoder.bytes_per_token()


def test_full_length_cells_train_on_a_small_card(paper):
    assert 0.1 * GB < per_cell(paper) < 0.16 * GB
    assert n_parts(3, per_cell(paper), paper, 8 * GB) == 1
    assert n_parts(3, per_cell(paper), paper, 4 * GB) == 1
    assert n_parts(64, per_cell(paper), paper, 8 * GB) == 2
    assert n_parts(64, per_cell(paper), paper, 80 * GB) == 1
    assert n_parts(8, per_cell(paper), paper, GB) == 4  # two cells at a time at least


def test_nothing_is_cut_without_tokens_or_on_a_cpu(make_module, make_cells):
    module, cells = make_module(), make_cells()
    assert n_parts(10**6, 1e9, module, None) == 1
    assert n_parts(10**6, bytes_per_cell(module, cells, ["atac"]), module, 0) == 1
    found = bytes_per_cell(module, cells, ["rna", "atac"])
    n_tokens = np.quantile(cells.lengths("rna"), 0.9)
    assert found == n_tokens * module.rna.encoder.bytes_per_token() > 0


@pytest.mark.parametrize(
    "options",
    [{"rna_attention": "softmax"}, {"rna_attention": "favor"}, {"rna_n_layers": 5, "rna_dim": 96}],
    ids=str,
)
def test_the_estimate_is_what_training_stores(options):
    """At least, because the backward pass needs more; and at most three times as much."""
    torch.manual_seed(0)
    n_genes, n = 300, 8
    config = get_config("small", **{"rna_attention": "favor", **options})
    module = SCMOMERModule({"rna": pd.Index(range(n_genes)).astype(str)}, 1, config).train()
    indptr = torch.arange(0, n * n_genes + 1, n_genes)
    counts = SparseRows(indptr, torch.arange(n_genes).repeat(n), torch.ones(n * n_genes))
    stored = {}

    def note(tensor):
        stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss, _ = stage_loss(module, "rna", CellBatch({"rna": counts}))
    for p in [*module.parameters(), *module.buffers()]:
        stored.pop(p.untyped_storage().data_ptr(), None)
    estimate = n * n_genes * module.rna.encoder.bytes_per_token()
    assert sum(stored.values()) <= estimate <= 3 * sum(stored.values())
    assert loss.isfinite()


def fit(module: SCMOMERModule, free: int | None, parts: int, monkeypatch) -> None:
    """Log how a stage fits into so much memory."""
    monkeypatch.setattr(_memory, "free_memory", lambda device: free)
    log_fit(
        "rna",
        module,
        torch.device("cuda:0"),
        batch_size=64,
        parts=parts,
        n_tokens=4000,
        per_cell=0.1e9,
        precision="bf16-mixed",
    )


def test_what_fits_is_said_on_a_gpu(paper, monkeypatch, caplog):
    with caplog.at_level(logging.INFO, logger="scmomer"):
        fit(paper, None, 1, monkeypatch)
        assert not caplog.records
        fit(paper, int(80e9), 1, monkeypatch)
        fit(paper, int(8e9), 4, monkeypatch)
    whole, parts = (record.getMessage() for record in caplog.records)
    assert whole.startswith("Stage 'rna' on cuda:0 (bf16-mixed): 64 cells, up to about 256,000 tok")
    assert whole.endswith("of 80.0 GB free.") and "at a time" not in whole
    assert "in each step, 16 cells at a time. Needs about" in parts
    needed = [float(re.search(r"about ([\d.]+) of", text)[1]) for text in (whole, parts)]
    assert needed[0] - needed[1] == pytest.approx(48 * 0.1, abs=0.11)
    assert needed[0] == pytest.approx(6.4 + _memory._fixed(paper) / 1e9, abs=0.06)


@pytest.mark.parametrize(
    ("batch_size", "parts", "more", "half"), [(64, 1, 2, 32), (7, 1, 3, 3), (9, 3, 5, 2)]
)
def test_cells_at_a_time_are_halved(batch_size, parts, more, half):
    size = -(-batch_size // parts)
    with pytest.warns(UserWarning, match=f"with {size} cells at a time.* with {half} at a time"):
        assert more_parts("rna", batch_size, parts, torch.device("cpu")) == more


def test_two_cells_are_the_least(refuses):
    advice = ("2 cells of stage 'rna'", "GB free", "size='small'", "accelerator='cpu'")
    with refuses(torch.OutOfMemoryError, *advice):
        more_parts("rna", 8, 4, torch.device("cpu"))
