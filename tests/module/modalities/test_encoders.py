"""What all encoders do, whatever is inside."""

from __future__ import annotations

import pytest
import torch

from scmomer.module.modalities._encoders import LatentNorm, MLPEncoder
from scmomer.nn import SparseRows

CASES = {
    "performer": ("rna", {}),
    "performer all tokens": ("rna", {"tokens": "all"}),
    "performer log2 bins": ("rna", {"binning": "log2"}),
    "performer softmax": ("rna", {"rna_attention": "softmax"}),
    "performer published pooling": ("rna", {"rna_value_skip": False}),
    "rna mlp": ("rna", {"rna_encoder": "mlp"}),
    "vit": ("atac", {}),
    "vit shared": ("atac", {"atac_patch_weights": "shared"}),
    "vit without skip": ("atac", {"atac_peak_skip": False}),
    "atac mlp": ("atac", {"atac_encoder": "mlp"}),
    "protein": ("protein", {"protein_hidden": 16}),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request, make_module, counts, sparse):
    """An encoder, what gives features of all or some of nine cells, and how many features."""
    modality, options = request.param
    kind = make_module(latent_norm="layer", n_proteins=12, **options).eval().modality(modality)
    table = counts(9, kind.n_features, empty=(0, 4, 8))
    table[2] = 0
    table[2, 5] = 3  # one feature only

    def features(cells=slice(None)):
        return kind.normalize(sparse(table[cells]))

    return kind.encoder, features, kind.n_features


def test_shapes(case):
    encoder, features, _ = case
    encoded = encoder(features())
    assert encoded.cell.shape == (9, 8) and encoded.cell.isfinite().all()
    if encoded.tokens is not None:
        assert encoded.tokens.shape[0] == 9 and encoded.tokens.isfinite().all()


@torch.no_grad()
def test_a_cell_does_not_see_its_batch(case):
    encoder, features, _ = case
    together = encoder(features()).cell
    for i in range(9):
        torch.testing.assert_close(
            encoder(features([i])).cell, together[i : i + 1], rtol=0, atol=1e-5
        )
    order = torch.randperm(9)
    torch.testing.assert_close(encoder(features(order)).cell, together[order], rtol=0, atol=1e-5)


def test_cells_differ(case):
    """Else the tests of invariance would be empty."""
    encoder, features, _ = case
    cells = encoder(features([1, 3, 5, 6])).cell
    assert torch.pdist(cells).min() > 1e-3


def test_masked_is_finite_also_for_empty_cells(case):
    encoder, features, _ = case
    for cells in (slice(None), [0, 4], [0]):
        encoded, loss = encoder.masked(features(cells), 0.5)
        (loss + encoded.cell.sum()).backward()
        assert loss.isfinite() and loss >= 0 and loss.ndim == 0
        assert encoded.cell.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_nothing_masked_is_the_plain_encoding(case):
    encoder, features, _ = case
    encoded, loss = encoder.masked(features(), 0.0)
    torch.testing.assert_close(encoded.cell, encoder(features()).cell)
    assert loss == 0


def test_linear_start_is_taken_or_ignored(case):
    encoder, features, n_features = case
    encoder.init_linear(torch.randn(n_features, 3), torch.randn(3))
    assert encoder(features()).cell.isfinite().all()


def test_latent_norm():
    torch.manual_seed(0)
    cells = torch.randn(5, 16) * torch.tensor([1e-3, 1.0, 10.0, 0.0, 1.0])[:, None]
    published = LatentNorm(16, "layer")(cells)
    scaled = LatentNorm(16, "layer")(7 * cells)
    torch.testing.assert_close(published, scaled)  # the L2 norm comes first
    assert published.isfinite().all()
    torch.testing.assert_close(published[0].std(correction=0), torch.tensor(1.0), rtol=0, atol=1e-3)
    assert LatentNorm(16, "none")(cells) is cells


def test_mlp_drops_only_in_training():
    torch.manual_seed(0)
    encoder = MLPEncoder(10, 4, 32, dropout=0.5, norm="none")
    rows = SparseRows(torch.tensor([0, 3]), torch.tensor([0, 2, 4]), torch.ones(3))
    assert not torch.equal(encoder(rows).cell, encoder(rows).cell)
    encoder.eval()
    assert torch.equal(encoder(rows).cell, encoder(rows).cell)


def test_mlp_with_a_linear_map_begins_there():
    torch.manual_seed(0)
    rows = SparseRows(torch.tensor([0, 3]), torch.tensor([0, 2, 4]), torch.ones(3))
    encoder = MLPEncoder(10, 4, 32, dropout=0.5, norm="none", linear=True).eval()
    weights, bias = torch.randn(10, 3), torch.randn(3)
    encoder.init_linear(weights, bias)
    torch.testing.assert_close(
        encoder(rows).cell[0, :3], weights[[0, 2, 4]].sum(0) + bias, rtol=0, atol=0.3
    )
    assert len(encoder.slow_parameters()) == 2
    plain = MLPEncoder(10, 4, 32, dropout=0.5, norm="none")
    before = plain.eval()(rows).cell
    plain.init_linear(weights, bias)
    assert torch.equal(plain(rows).cell, before) and not plain.slow_parameters()
