"""RNA encoder: published pooling, linear start, masking."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scmomer.module import PerformerEncoder, get_config
from scmomer.module.modalities.rna._encoder import GenePooling, MeanMaxPooling
from scmomer.module.modalities.rna._tokens import pad_all, pad_expressed, quantile_bins
from scmomer.nn import log_normalize


@pytest.fixture
def encoder(make_module) -> PerformerEncoder:
    """An untrained encoder of 30 genes."""
    return make_module().rna.encoder


def test_gene_pooling_is_the_published_convolution(counts, sparse):
    rows = sparse(counts(3, 12))
    tokens = pad_all(rows, quantile_bins(rows, 5), 12)
    torch.manual_seed(0)
    pool = GenePooling(12, 7, 4, value_skip=False)
    hidden = torch.randn(3, 12, 7)
    convolution = nn.Conv2d(1, 1, (1, 7))
    convolution.weight.data = pool.conv1.weight.data.view(1, 1, 1, 7)
    convolution.bias.data = pool.conv1.bias.data
    per_gene = F.relu(convolution(hidden[:, None])).view(3, 12)
    torch.testing.assert_close(pool(hidden, tokens), per_gene @ pool.projection)
    assert pool.bias is None  # as published


def test_value_skip_adds_the_linear_map_of_expression(counts, sparse):
    dense = counts(3, 12, empty=(1,))
    rows = sparse(dense)
    tokens = pad_expressed(rows, quantile_bins(rows, 5))
    torch.manual_seed(0)
    pool = GenePooling(12, 7, 4, value_skip=True)
    hidden = torch.randn(*tokens.genes.shape, 7)
    with_skip = pool(hidden, tokens)
    pool.value_skip = False
    torch.testing.assert_close(with_skip - pool(hidden, tokens), dense @ pool.projection)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["softmax", "favor"])
def test_groups_of_cells_change_nothing(make_module, counts, sparse, attention):
    encoder = make_module(rna_attention=attention).rna.encoder.eval()
    dense = counts(12, 30) * (torch.arange(30) < torch.linspace(2, 30, 12).int()[:, None])
    tokens = encoder.tokenize(sparse(dense))
    assert len(tokens.groups) > 1
    expected = encoder._encode(tokens._replace(groups=()))
    found = encoder._encode(tokens)
    torch.testing.assert_close(found.cell, expected.cell, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        found.tokens[tokens.valid], expected.tokens[tokens.valid], rtol=1e-4, atol=1e-5
    )


def test_mean_max_pooling_by_hand(counts, sparse):
    rows = sparse(counts(4, 12, empty=(2,)))
    tokens = pad_expressed(rows, quantile_bins(rows, 5))
    hidden = torch.randn(*tokens.genes.shape, 3)
    found = MeanMaxPooling(3, 6)(hidden, tokens)
    for i, (cell, valid) in enumerate(zip(hidden, tokens.valid, strict=True)):
        seen = cell[valid] if i != 2 else torch.zeros(1, 3)
        torch.testing.assert_close(found[i], torch.cat([seen.mean(0), seen.amax(0)]))
    with pytest.raises(ValueError, match="Expected n_latent of 6 for pooling 'mean_max', found 4"):
        MeanMaxPooling(3, 4)


POOLS = {
    "genes": lambda: GenePooling(12, 7, 4, True),
    "mean_max": lambda: MeanMaxPooling(7, 14),
}


@pytest.mark.parametrize("kind", POOLS)
def test_pooling_ignores_padding(counts, sparse, kind):
    rows = sparse(counts(4, 12, empty=(2,)))
    tokens = pad_expressed(rows, quantile_bins(rows, 5))
    torch.manual_seed(0)
    pool = POOLS[kind]()
    hidden = torch.randn(*tokens.genes.shape, 7)
    junk = hidden.masked_fill(~tokens.valid[..., None], 1e3)
    torch.testing.assert_close(pool(junk, tokens), pool(hidden, tokens))


def test_linear_start(encoder, counts, sparse):
    """Without the Performer, the cell embedding begins with the given linear map."""
    dense = counts(5, 30, empty=(0,))
    weights, bias = torch.randn(30, 3), torch.randn(3)
    encoder.init_linear(weights, bias)
    nn.init.zeros_(encoder.pool.conv1.weight)
    nn.init.zeros_(encoder.pool.conv1.bias)
    cell = encoder(sparse(dense)).cell
    torch.testing.assert_close(cell[:, :3], dense @ weights + bias)
    assert cell[:, 3:].abs().max() < 0.1 * cell[:, :3].abs().max()


def test_token_forms(make_module, counts, sparse):
    rows = sparse(counts(4, 30))
    expressed, every = make_module(), make_module(tokens="all")
    assert expressed.rna.encoder.tokenize(rows).genes.shape == (4, int(rows.lengths.max()))
    assert every.rna.encoder.tokenize(rows).genes.shape == (4, 30)


def test_hidden_expression_cannot_be_seen(make_module, counts, sparse):
    """What a masked encoding gives does not change with the values that are hidden."""
    encoder = make_module(binning="log2").rna.encoder.eval()
    dense = counts(20, 30)
    rows = sparse(dense)
    torch.manual_seed(1)
    tokens = encoder.tokenize(rows)
    encoded, _ = encoder.masked(rows, 1.0)
    torch.manual_seed(1)
    other, _ = encoder.masked(rows._replace(values=rows.values.flip(0)), 1.0)
    torch.manual_seed(1)
    shown = torch.rand(tokens.bins.shape) >= 0.9  # the tenth that keep their token
    untouched = ~(shown & tokens.valid).any(1)
    assert untouched.any()
    torch.testing.assert_close(encoded.cell[untouched], other.cell[untouched])
    assert not torch.allclose(encoded.cell, other.cell)


def test_masked_loss_is_the_cross_entropy_of_bins(encoder, counts, sparse):
    rows = sparse(counts(6, 30))
    tokens = encoder.tokenize(rows)
    torch.manual_seed(3)
    encoded, loss = encoder.eval().masked(rows, 1.0)
    logits = encoder.model.to_out(encoded.tokens)[tokens.valid]
    torch.testing.assert_close(loss, F.cross_entropy(logits, tokens.bins[tokens.valid]))


def test_fused_kernels_change_nothing(counts, sparse, monkeypatch):
    """Packed cells, one of them empty, in kernels for GPUs; the loss and all gradients too."""
    pytest.importorskip("triton")
    config = get_config("small", rna_attention="favor").modalities["rna"]
    encoder = PerformerEncoder(100, config, 16, "none")
    rows = log_normalize(sparse(counts(6, 100, empty=(2,))), 1e4)

    def run() -> list[torch.Tensor]:
        torch.manual_seed(0)
        encoded, loss = encoder.masked(rows, 0.15)
        encoder.zero_grad()
        (loss + encoded.cell.square().sum()).backward()
        tokens = encoded.tokens[encoder.tokenize(rows).valid]  # nothing reads what padding has
        return [encoded.cell, tokens, *(p.grad for p in encoder.parameters())]

    plain = run()
    plain = [None if t is None else t.detach().clone() for t in plain]
    assert not encoder.model.fuses
    monkeypatch.setattr("scmomer.nn.favor._choice._interpreted", True)
    assert encoder.model.fuses
    fused = run()
    for a, b in zip(plain, fused, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-5)
