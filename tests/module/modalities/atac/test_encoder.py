"""ATAC encoder: the sparse patch embedding against its dense form, masking."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from scmomer.module import ATACConfig, PatchLayout, ViTEncoder, get_config, patch_layout
from scmomer.module.modalities.atac import ATACModality
from scmomer.module.modalities.atac._encoder import (
    PatchEmbedding,
    binarize,
    keep_peaks,
    normalize_depth,
)
from scmomer.nn import to_dense


@pytest.fixture
def layout() -> PatchLayout:
    """Six patches of 40 peaks on three chromosomes, in random order."""
    rng = np.random.default_rng(0)
    return patch_layout(rng.integers(0, 3, 40), rng.permutation(40), 6)


def dense_patches(table: torch.Tensor, layout: PatchLayout) -> torch.Tensor:
    """Peaks as ``(n, n_patches, patch_size)``, zero where a patch has fewer peaks."""
    out = table.new_zeros(len(table), layout.n_patches, layout.patch_size)
    out[:, layout.patch, layout.slot] = table
    return out


def test_shared_patches_are_the_published_linear_map(counts, sparse):
    """Sorted peaks of one chromosome, patches of equal size: pad, view, linear."""
    layout = patch_layout(np.zeros(24), np.arange(24), 6)
    embedding = PatchEmbedding(layout, 5, per_peak=False)
    torch.nn.init.normal_(embedding.bias)
    table = (counts(7, 24, empty=(0, 3, 6)) > 0).float()
    expected = F.linear(table.view(7, 6, 4), embedding.weight.T, embedding.bias)
    torch.testing.assert_close(embedding(sparse(table)), expected)


@pytest.mark.parametrize("n_peaks", [3, 24, 26, 31])
def test_patches_in_file_order_are_the_published_ones(counts, sparse, n_peaks):
    """Whatever the positions of the peaks: pad at the end, view, linear."""
    features = pd.Index([f"chr{i % 3}:{1000 - i}-{1001 - i}" for i in range(n_peaks)])
    options = {"atac_n_patches": 6, "atac_patch_order": "file", "atac_patch_weights": "shared"}
    embedding = ATACModality(features, 1, get_config(**options)).encoder.patch_embedding
    torch.nn.init.normal_(embedding.bias)
    table = (counts(7, n_peaks, empty=(0, 3, 6)) > 0).float()
    size = -(-n_peaks // 6)
    padded = F.pad(table, (0, 6 * size - n_peaks)).view(7, 6, size)
    expected = F.linear(padded, embedding.weight.T, embedding.bias)
    torch.testing.assert_close(embedding(sparse(table)), expected)


def test_shared_patches_of_any_layout(counts, sparse, layout):
    embedding = PatchEmbedding(layout, 5, per_peak=False)
    table = (counts(7, 40, empty=(0,)) > 0).float()
    expected = dense_patches(table, layout) @ embedding.weight + embedding.bias
    torch.testing.assert_close(embedding(sparse(table)), expected)


def test_per_peak_patches(counts, sparse, layout):
    embedding = PatchEmbedding(layout, 5, per_peak=True)
    table = (counts(7, 40) > 0).float()
    found = embedding(sparse(table))
    for patch in range(layout.n_patches):
        members = layout.patch == patch
        expected = table[:, members] @ embedding.weight[members] + embedding.bias
        torch.testing.assert_close(found[:, patch], expected)


@pytest.mark.parametrize("weights", ["shared", "per_peak"])
@pytest.mark.parametrize("peak_skip", [False, True])
def test_order_of_peaks_does_not_matter(counts, sparse, weights, peak_skip):
    rng = np.random.default_rng(0)
    chromosome, start = rng.integers(0, 3, 40), rng.permutation(40)
    order = rng.permutation(40)
    config = ATACConfig(patch_weights=weights, peak_skip=peak_skip)
    torch.manual_seed(0)
    one = ViTEncoder(patch_layout(chromosome, start, 6), config, 32, "none")
    other = ViTEncoder(patch_layout(chromosome[order], start[order], 6), config, 32, "none")
    state = one.state_dict()
    per_peak = [k for k in ("peak_skip", "patch_embedding.weight") if state.get(k) is not None]
    for key in per_peak:
        if len(state[key]) == 40:
            state[key] = state[key][order]
    other.load_state_dict(state)
    table = (counts(5, 40, empty=(2,)) > 0).float()
    torch.testing.assert_close(
        other(sparse(table[:, order])).cell, one(sparse(table)).cell, rtol=1e-4, atol=1e-5
    )


def test_position_of_peaks_does_matter(counts, sparse, layout):
    torch.manual_seed(0)
    encoder = ViTEncoder(layout, ATACConfig(peak_skip=False), 32, "none")
    table = (counts(5, 40) > 0).float()
    shuffled = table[:, torch.randperm(40)]
    assert not torch.allclose(encoder(sparse(table)).cell, encoder(sparse(shuffled)).cell)


def test_binarize_and_normalize_depth(counts, sparse):
    table = counts(5, 40, empty=(1,))
    rows = binarize(sparse(table))
    assert torch.equal(to_dense(rows, 40), (table > 0).float())
    totals = to_dense(normalize_depth(rows), 40).sum(1)
    torch.testing.assert_close(totals, torch.tensor([1.0, 0, 1, 1, 1]))
    n = rows.lengths
    shrunken = to_dense(normalize_depth(rows, torch.tensor(7.0)), 40).sum(1)
    torch.testing.assert_close(shrunken, n / (n + 7))


def test_what_is_hidden_cannot_be_seen(make_module, counts, sparse):
    encoder = make_module().modality("atac").encoder.eval()
    one, _ = encoder.masked(sparse((counts(4, 40, seed=1) > 0).float()), 1.0)
    other, _ = encoder.masked(sparse((counts(4, 40, seed=2) > 0).float()), 1.0)
    torch.testing.assert_close(one.cell, other.cell)


def test_masked_loss_is_the_dense_cross_entropy_of_hidden_patches(make_module, counts, sparse):
    encoder = make_module().modality("atac").encoder.eval()
    layout = encoder.layout
    table = (counts(8, 40, empty=(0, 5)) > 0).float()
    torch.manual_seed(4)
    encoded, loss = encoder.masked(sparse(table), 0.5)
    torch.manual_seed(4)
    masked = torch.rand(8, layout.n_patches) < 0.5
    real = dense_patches(torch.ones_like(table), layout) > 0
    logits, target = encoder.decoder_pred(encoded.tokens), dense_patches(table, layout)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(loss, each[masked[..., None] & real].mean())


def test_linear_start(make_module, counts, sparse):
    encoder = make_module().modality("atac").encoder.eval()
    table = (counts(6, 40, empty=(1,)) > 0).float()
    before = encoder(sparse(table)).cell
    weights = torch.randn(40, 3)
    encoder.init_linear(weights)
    expected = table / table.sum(1, keepdim=True).clamp_min(1) @ weights
    found = encoder(sparse(table)).cell[:, :3]
    assert before.shape == (6, 8)
    # What is left of the Transformer is small beside the linear map.
    assert (found - expected).abs().max() < 0.3 * expected.abs().max()


@pytest.mark.parametrize(
    ("n_peaks", "patch_size", "n_parameters"),
    [(100_000, 782, 20_047_118), (1_154_464, 9_020, 28_491_068)],  # a brain, the fetal atlas
)
def test_paper_size_has_the_published_parameters(n_peaks, patch_size, n_parameters):
    layout = patch_layout(np.zeros(n_peaks, np.int8), np.arange(n_peaks), 128)
    assert (layout.n_patches, layout.patch_size) == (128, patch_size)
    with torch.device("meta"):
        config = get_config("paper").modalities["atac"]
        encoder = ViTEncoder(layout, config, 128, "layer")
    own = ("projection.", "norm.")  # published outside the ViT
    found = sum(p.numel() for k, p in encoder.named_parameters() if not k.startswith(own))
    assert found == n_parameters
    assert encoder.projection.weight.shape == (128, 512)
    assert encoder.peak_skip is None


@pytest.mark.parametrize("empty", [(), (0, 3)], ids=str)
def test_hidden_peaks_weigh_nothing_where_they_remain_as_zeros(
    counts, sparse, layout, monkeypatch, empty
):
    """On a GPU peaks are hidden without counting what remains; the loss is the same."""
    rows = binarize(sparse(counts(7, 40, empty=empty)))
    torch.manual_seed(0)
    config = ATACConfig(dim=8, n_layers=1, n_heads=2, mlp_dim=8, peak_skip=True)
    encoder = ViTEncoder(layout, config, 4, "none")
    encoder.median_n_open.fill_(5.0)

    def run() -> tuple[list[torch.Tensor], int]:
        encoder.zero_grad()
        torch.manual_seed(1)
        encoded, loss = encoder.masked(rows, 0.4)
        (loss + encoded.cell.square().sum()).backward()
        grads = [p.grad for p in encoder.parameters()]
        kept, _ = keep_peaks(rows, torch.arange(len(rows.values)) % 2 == 0)
        return [encoded.cell, encoded.tokens, loss, *grads], len(kept.values)

    on_host, n_kept = run()
    monkeypatch.setattr(f"{ViTEncoder.__module__}.waits_for", lambda tensor: True)
    as_zeros, n_zeros = run()
    assert n_kept < n_zeros == len(rows.values)
    for found, expected in zip(as_zeros, on_host, strict=True):
        torch.testing.assert_close(found, expected)
