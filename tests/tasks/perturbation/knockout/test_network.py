"""The network with one gene set in each cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.inference import Inference
from scmomer.nn import to_dense
from scmomer.tasks.perturbation.knockout import KnockoutNetwork
from scmomer.tasks.perturbation.knockout._network import set_gene


def rows_of(counts, sparse, n=9, n_genes=30):
    return sparse(torch.log2(1 + counts(n, n_genes)))


def test_latents_are_those_of_inference(make_module, make_cells):
    module = make_module().eval()
    cells = make_cells().select_modality("rna")
    run = Inference(module, cells)
    rows = run.counts(cells.minibatch(np.arange(60), ["rna"]))["rna"]
    found = KnockoutNetwork(module).base(module.rna.normalize(rows))
    expected = run.embed(("rna",), "atac")
    n = module.config.n_latent
    np.testing.assert_allclose(found[:, :n], expected.z, atol=1e-5)
    heads = expected.heads["rna"].reshape(60, -1)
    np.testing.assert_allclose(found[:, n:], heads, atol=1e-5)


def test_a_gene_is_set_in_sparse_rows(sparse):
    rows = sparse([[1.0, 0, 2], [0, 0, 0], [3, 4, 0]])
    gene = torch.tensor([2, 0, 0])
    gone = to_dense(set_gene(rows, gene), 3)
    assert gone.tolist() == [[1, 0, 0], [0, 0, 0], [0, 4, 0]]
    high = to_dense(set_gene(rows, gene, torch.tensor([9.0, 8, 7])), 3)
    assert high.tolist() == [[1, 0, 9], [8, 0, 0], [7, 4, 0]]


@pytest.mark.parametrize("tokens", ["expressed", "all"])
@pytest.mark.parametrize("attention", ["softmax", "favor"])
def test_a_silent_gene_is_one_without_counts(make_module, counts, sparse, tokens, attention):
    """With bins that do not depend on other genes, a knockout is a cell without the gene."""
    module = make_module(rna_binning="log2", rna_tokens=tokens, rna_attention=attention)
    network, rows = KnockoutNetwork(module), rows_of(counts, sparse)
    gene = torch.arange(9)
    expected = network.base(set_gene(rows, gene))
    torch.testing.assert_close(network.knocked(rows, gene), expected, atol=1e-5, rtol=1e-4)
    assert (network.base(rows) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("tokens", ["expressed", "all"])
def test_a_gene_in_the_top_bin_is_one_with_that_expression(make_module, counts, sparse, tokens):
    module = make_module(rna_binning="log2", rna_tokens=tokens, rna_attention="softmax")
    network, rows = KnockoutNetwork(module), rows_of(counts, sparse)
    gene, value = torch.arange(9), torch.full((9,), 5.0)  # the top bin of log2
    expected = network.base(set_gene(rows, gene, value))
    torch.testing.assert_close(network.knocked(rows, gene, value), expected, atol=1e-5, rtol=1e-4)


def test_bins_of_other_genes_stay(make_module, counts, sparse):
    """Ranks of the others would move if the gene were left out before."""
    network, rows = KnockoutNetwork(make_module()), rows_of(counts, sparse)
    gene = rows.indices[rows.indptr[:-1]]  # the first that each cell expresses
    found, again = network.knocked(rows, gene), network.base(set_gene(rows, gene))
    assert (found - again).abs().max() > 1e-5


def test_a_gene_that_is_not_expressed_cannot_be_lost(make_module, counts, sparse):
    network, dense = KnockoutNetwork(make_module()), torch.log2(1 + counts(9, 30))
    dense[:, 4] = 0
    rows = sparse(dense)
    torch.testing.assert_close(network.knocked(rows, torch.full((9,), 4)), network.base(rows))


def test_other_encoders_are_computed_without_the_gene(make_module, counts, sparse):
    network = KnockoutNetwork(make_module(rna_encoder="mlp"))
    rows, gene = rows_of(counts, sparse), torch.arange(9)
    assert network.performer is None and network.n_bins == 5
    torch.testing.assert_close(network.knocked(rows, gene), network.base(set_gene(rows, gene)))


def test_cells_do_not_depend_on_each_other(make_module, counts, sparse):
    dense = torch.log2(1 + counts(9, 30))
    network, gene = KnockoutNetwork(make_module()), torch.arange(9)
    for value in (None, torch.full((9,), 3.0)):
        together = network.knocked(sparse(dense), gene, value)
        for i in (0, 5):
            one = None if value is None else value[i : i + 1]
            alone = network.knocked(sparse(dense[i : i + 1]), gene[i : i + 1], one)
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_kernels_without_padding_are_told_of_the_gap():
    from scmomer.tasks.perturbation.knockout._network import _packing

    found = _packing(
        torch.tensor([[True, False, True], [False, False, False], [True, True, False]])
    )
    assert found.starts.tolist() == [0, 2, 2, 4] and found.places.tolist() == [0, 2, 6, 7]
