"""Warm start: encoders begin as principal components, decoders as the mean."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA, TruncatedSVD
from torch import nn

from scmomer.train import warm_start
from scmomer.train._objectives import stage_loss
from scmomer.train.fits._warm_start import _MIN_STD

ALL = np.arange(60)


def log_expression(counts: sp.csr_matrix, target_sum: float) -> np.ndarray:
    """The normalisation, on a dense table."""
    dense = counts.toarray()
    return np.log2(1 + dense / np.maximum(dense.sum(1, keepdims=True), 1e-12) * target_sum)


def median_total(counts: sp.csr_matrix) -> float:
    """The total count of the median cell."""
    totals = counts.sum(1).A1
    return float(np.median(totals[totals > 0]))


def correlations(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute correlation of matching columns."""
    k = found.shape[1]
    return np.abs(np.diag(np.corrcoef(found.T, expected[:, :k].T)[:k, k:]))


@torch.no_grad()
def encode(module, cells, modality: str) -> np.ndarray:
    """Embeddings of all cells by one encoder, ``(n_cells, n_latent)``."""
    tensors = cells.minibatch(np.arange(cells.n_cells), (modality,))
    return module.eval().encode(modality, tensors[modality]).cell.numpy()


def silence(module) -> None:
    """Leave only the linear maps of both encoders."""
    rna, atac = module.encoder("rna"), module.encoder("atac")
    for parameter in (*rna.pool.conv1.parameters(), atac.projection.weight):
        nn.init.zeros_(parameter)


@pytest.mark.parametrize("n_genes", [30, 4100], ids=["eigenvectors", "randomized"])
def test_rna_encoder_starts_as_pca_of_scaled_expression(make_network, make_cells, n_genes):
    cells = make_cells(200, n_genes=n_genes)
    module = make_network(n_genes, n_latent=4)
    warm_start(module, cells, np.arange(200))
    silence(module)
    z = encode(module, cells, "rna")[:, :2]  # half of the latent space, one for each contrast
    expression = log_expression(cells.counts["rna"], median_total(cells.counts["rna"]))
    scaled = expression / np.maximum(expression.std(0), _MIN_STD)
    assert (correlations(z, PCA(2, svd_solver="full").fit_transform(scaled)) > 0.99).all()
    assert z.std(0)[0] == pytest.approx(1, abs=0.05) and z.std(0)[1] < z.std(0)[0]
    np.testing.assert_allclose(z.mean(0), 0, atol=0.1)


def test_atac_encoder_starts_as_latent_semantic_indexing(make_network, make_cells):
    cells = make_cells(300, n_peaks=90)
    module = make_network(n_peaks=90, n_latent=4)
    warm_start(module, cells, np.arange(300))
    silence(module)
    z = encode(module, cells, "atac")[:, :2]
    open_peaks = (cells.counts["atac"].toarray() > 0).astype(float)
    n_open = open_peaks.sum(1)
    share = open_peaks / (n_open + np.median(n_open))[:, None]
    idf = np.log(1 + 301 / (open_peaks.sum(0) + 0.5))
    lsi = TruncatedSVD(6, algorithm="arpack", random_state=0).fit_transform(share * idf)
    depth = np.corrcoef(np.column_stack([np.log1p(n_open), lsi]).T)[0, 1:]
    kept = [j for j in range(1, 6) if abs(depth[j]) < 0.5][:2]  # the first is the mean profile
    assert (correlations(z, lsi[:, kept]) > 0.99).all()


def test_mean_shares_have_a_count_loss_of_one(make_network, make_cells):
    """As the mean has in reconstruction; in stage 3."""
    cells = make_cells()
    module = make_network(bridge_count_loss=1.0).eval()
    warm_start(module, cells, ALL)
    for rates in module.rates():
        nn.init.zeros_(rates.linear.weight)
    cells.embeddings = {key: torch.randn(60, 8) for key in ("z_rna", "z_atac")}
    _, terms = stage_loss(module, "bridge", cells.minibatch(ALL, ("rna", "atac")))
    for end in ("", "_1", "_2", "_3"):
        assert float(terms[f"counts_from_rna{end}"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("scale_genes", [True, False])
def test_the_mean_has_a_loss_of_one(make_network, make_cells, scale_genes):
    """Reconstruction is measured in units of the loss of the train mean."""
    cells = make_cells()
    module = make_network(
        scale_genes=scale_genes, discriminator_weight=0.0, warm_start=False
    ).eval()
    warm_start(module, cells, ALL)
    for modality in ("rna", "atac"):
        nn.init.zeros_(module.decoder(modality).linear.weight)
    nn.init.zeros_(module.decoder("atac").depth_slope)
    _, terms = stage_loss(module, "fusion", cells.minibatch(ALL, ("rna", "atac")))
    assert float(terms["rna_reconstruction"]) == pytest.approx(1, abs=1e-4)
    # Rates of peaks are smoothed by half a count.
    assert float(terms["atac_reconstruction"]) == pytest.approx(1, abs=0.02)


def test_statistics(make_network, make_cells):
    cells = make_cells(without={"rna": [0, 1], "atac": [2]})
    module = make_network()
    warm_start(module, cells, ALL)
    rna, atac = cells.counts["rna"][2:], cells.counts["atac"][np.arange(60) != 2]
    target = median_total(rna)
    assert float(module.target_sum) == pytest.approx(target)
    expression = log_expression(rna, target)
    variance = np.maximum(expression.std(0), _MIN_STD) ** 2
    np.testing.assert_allclose(module.gene_weight, 1 / variance, rtol=1e-3)
    bridges = [module.bridge_from("rna"), *(head.bridge for head in module.heads_from("rna"))]
    assert len(bridges) == 4
    for bridge in bridges:
        np.testing.assert_allclose(bridge.scale, variance**-0.5, rtol=1e-3)
        np.testing.assert_allclose(bridge.shift, expression.mean(0) * variance**-0.5, rtol=1e-3)
    for source, shift in (("rna", 1), ("atac", 0)):  # accessibility stays as it is
        assert all(bool(head.bridge.shift.any()) == shift for head in module.heads_from(source))
    origin = torch.zeros(1, 8)
    assert len(module.decoders_of("rna")) == 7
    for decoder in module.decoders_of("rna"):
        np.testing.assert_allclose(decoder.scale[:, 0], variance**0.5, rtol=1e-3)
        np.testing.assert_allclose(decoder(origin).detach()[0], expression.mean(0), rtol=1e-4)
    for row, values in enumerate(((atac > 0).sum(1).A1, rna.sum(1).A1, (rna > 0).sum(1).A1)):
        logs = np.log1p(values)
        np.testing.assert_allclose(module.size_stats[row], [logs.mean(), logs.std()], rtol=1e-4)
    assert len(module.decoders_of("atac")) == 4
    for decoder in module.decoders_of("atac"):
        probabilities = decoder(origin).detach()[0].sigmoid()
        np.testing.assert_allclose(probabilities, (atac > 0).mean(0).A1, atol=0.02)
    shares = (rna.sum(0).A1 + 0.5) / (rna.sum() + 0.5 * 30)
    assert len(module.rates()) == 4
    for rates in module.rates():
        np.testing.assert_allclose(rates(origin).detach()[0].exp(), shares, rtol=1e-4)
    assert float(module.count_baseline) == pytest.approx(-(rna @ np.log(shares)).mean(), rel=1e-5)


def test_published_statistics_stay(make_network, make_cells):
    module = make_network(rna_target_sum=1e4, rna_scale_genes=False)
    warm_start(module, make_cells(), ALL)
    assert float(module.target_sum) == 1e4
    assert (module.gene_weight == 1).all()


def test_only_training_cells_take_part(make_network, make_cells):
    cells, other = make_cells(), make_cells()
    train = np.random.default_rng(0).permutation(60)[:40]
    held_out = np.setdiff1d(ALL, train)
    for modality, counts in other.counts.items():
        changed = counts.toarray()
        changed[held_out] = 7
        other.counts[modality] = sp.csr_matrix(changed)
    one, two = make_network(), make_network()
    warm_start(one, cells, train)
    warm_start(two, other, np.sort(train))
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_no_warm_start_leaves_encoders_at_random(make_network, make_cells):
    module = make_network(warm_start=False, bridge_n_heads=1, depth_free_heads=0)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    warm_start(module, make_cells(), ALL)
    changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {
        "target_sum",
        "gene_weight",
        "baseline",
        "size_stats",
        "count_baseline",
        "bridges.rna.scale",
        "bridges.rna.shift",
        "decoders.rna.scale",
        "decoders.rna.linear.bias",
        "decoders.atac.linear.bias",
        "decoders.atac.depth_slope",
        "rate_decoder.linear.bias",
        "heads.rna.0.bridge.scale",
        "heads.rna.0.bridge.shift",
        "heads.rna.0.rates.linear.bias",
        "heads.rna.0.decoders.rna.scale",
        "heads.rna.0.decoders.rna.linear.bias",
        "heads.rna.0.decoders.atac.linear.bias",
        "heads.rna.0.decoders.atac.depth_slope",
        "heads.atac.0.decoders.rna.scale",
        "heads.atac.0.decoders.rna.linear.bias",
    }


def test_fused_embedding_starts_as_both_halves(make_network, make_cells):
    cells, module = make_cells(), make_network()
    warm_start(module, cells, ALL)
    z_rna, z_atac = encode(module, cells, "rna"), encode(module, cells, "atac")
    z = module.inference(**cells.minibatch(ALL, ("rna", "atac")))["z"].detach().numpy()
    assert (correlations(z[:, :4], z_rna) > 0.95).all()
    assert (correlations(z[:, 4:], z_atac) > 0.95).all()


@pytest.mark.parametrize("options", [{}, {"n_peaks": 0}, {"n_genes": 0}], ids=str)
@pytest.mark.parametrize("n", [3, 5])
def test_fewer_cells_than_components(make_network, make_cells, options, n):
    cells = make_cells(n)
    absent = {"n_peaks": "atac", "n_genes": "rna"}
    for option in options:
        del cells.counts[absent[option]], cells.measured[absent[option]]
    module = make_network(**options)
    warm_start(module, cells, np.arange(n))
    assert all(v.isfinite().all() for v in module.state_dict().values())


def test_cells_without_counts_stay_finite(make_network, make_cells):
    cells = make_cells()
    for m, counts in cells.counts.items():
        cells.counts[m] = sp.csr_matrix(counts.shape, dtype=np.float32)
    module = make_network()
    warm_start(module, cells, ALL)
    assert all(v.isfinite().all() for v in module.state_dict().values())
    assert np.isfinite(encode(module, cells, "rna")).all()
