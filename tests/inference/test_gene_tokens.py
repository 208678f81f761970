"""Averaging gene tokens over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.inference import Inference, gene_tokens


@pytest.fixture
def run(trained_rna, make_unseen):
    cells = trained_rna._read_cells(make_unseen()["rna"])
    return Inference(trained_rna.module, cells)


def reference(run, groups, n_groups):
    """Each cell by itself, everything in memory."""
    encoder, rna = run.module.rna.encoder, run.module.rna
    seen = [[[] for _ in range(n_groups)] for _ in range(rna.n_features)]
    for cell, group in enumerate(groups):
        if group < 0:
            continue
        batch = run.cells.minibatch([cell], ("rna",))
        tokens = encoder.tokenize(rna.normalize(run.counts(batch)["rna"]))
        with torch.no_grad():
            hidden = encoder.model(tokens)[0].numpy()
        for gene, vector in zip(tokens.genes[0].tolist(), hidden, strict=True):
            seen[gene][group].append(vector)
    return seen


def test_means_and_variances_are_those_of_all_tokens(run):
    groups = np.arange(120) % 3 - 1  # a third of the cells is left out
    found = gene_tokens(run, groups, 2)
    seen = reference(run, groups, 2)
    for gene in range(60):
        for group in range(2):
            vectors = np.array(seen[gene][group])
            assert found.n_cells[gene, group] == len(vectors)
            if len(vectors):
                np.testing.assert_allclose(
                    found.mean[gene, :, group], vectors.mean(0), rtol=0, atol=1e-5
                )
            else:
                assert np.isnan(found.mean[gene, :, group]).all()
            if len(vectors) > 1:
                spread = vectors.var(0, ddof=1).sum()
                assert found.variance[gene, group] == pytest.approx(spread, rel=1e-3, abs=1e-6)
            else:
                assert np.isnan(found.variance[gene, group])


def test_batch_size_does_not_matter(run):
    groups = np.zeros(120, int)
    one = gene_tokens(run, groups, 1)
    run.batch_size = 7
    other = gene_tokens(run, groups, 1)
    np.testing.assert_allclose(one.mean, other.mean, rtol=0, atol=1e-5, equal_nan=True)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-4, atol=1e-6)
    assert np.array_equal(one.n_cells, other.n_cells)


def test_a_group_is_as_if_it_were_alone(run):
    groups = np.arange(120) % 2
    both, alone = gene_tokens(run, groups, 2), gene_tokens(run, np.where(groups == 1, 0, -1), 1)
    np.testing.assert_allclose(both.mean[..., 1], alone.mean[..., 0], rtol=0, atol=1e-6)


def test_no_cell_is_an_error(run, refuses):
    with refuses(ValueError, "at least one cell with RNA", "Pass cells with RNA"):
        gene_tokens(run, np.full(120, -1), 1)


def test_only_expressed_genes_count_where_every_gene_has_a_token(mdata, make_model, train):
    adata = mdata["rna"].copy()
    model = make_model(adata, rna_tokens="all", rna_attention="favor")
    train(model)
    cells = model._read_cells(adata)
    found = gene_tokens(Inference(model.module, cells), np.zeros(120, int), 1)
    assert np.array_equal(found.n_cells[:, 0], np.asarray((adata.X > 0).sum(0)).ravel())
