"""Minibatches and the memory of a GPU."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from scmomer.module import SCMOMERModule, get_config
from scmomer.nn import CellBatch, SparseRows
from scmomer.train._memory import bytes_per_cell, free_memory, n_parts
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
    assert free_memory("cpu") is None
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


def test_free_memory_of_a_gpu_includes_what_torch_keeps(monkeypatch):
    found = {
        "is_available": True,
        "mem_get_info": (2 * GB, 8 * GB),
        "memory_reserved": 3 * GB,
        "memory_allocated": GB,
    }
    for name, value in found.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert free_memory("auto") == free_memory("gpu") == 4 * GB
    assert free_memory("cpu") is None
