"""Start values of RNA: statistics, mean profiles, principal components."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from torch import nn

from scmomer.module import SCMOMERModule
from scmomer.module.modalities.rna._start_values import gene_profiles
from scmomer.nn import to_rows

MIN_SPREAD = 0.05  # of shallow cells, at the median total, where one count is 1


def start(module: SCMOMERModule, counts: sp.csr_matrix) -> None:
    """Set statistics and start values from all cells."""
    own = module.all_decoders("rna"), module.bridges_from("rna")
    module.rna.init_from_data(counts, *own, warm_start=True)


def log_expression(counts: sp.csr_matrix, target_sum: float) -> np.ndarray:
    """The normalization, on a dense table."""
    dense = counts.toarray()
    return np.log2(1 + dense / np.maximum(dense.sum(1, keepdims=True), 1e-12) * target_sum)


def median_total(counts: sp.csr_matrix) -> float:
    """The total count of the median cell among those with counts."""
    totals = counts.sum(1).A1
    return float(np.median(totals[totals > 0]))


@pytest.mark.parametrize("n_genes", [30, 4100], ids=["eigenvectors", "randomized"])
@torch.no_grad()
def test_the_encoder_starts_as_pca_of_scaled_expression(make_module, make_cells, n_genes):
    counts = make_cells(200, n_genes=n_genes).counts["rna"]
    module = make_module(n_genes, n_latent=4).eval()
    start(module, counts)
    kind = module.rna
    for parameter in kind.encoder.pool.conv1.parameters():  # leave the linear map alone
        nn.init.zeros_(parameter)
    z = kind.encoder(kind.normalize(to_rows(counts))).cell.numpy()
    z = z[:, :2]  # half of the latent space, one for each contrast
    expression = log_expression(counts, median_total(counts))
    scaled = expression / np.maximum(expression.std(0), MIN_SPREAD)
    components = PCA(2, svd_solver="full").fit_transform(scaled)
    for k in range(2):
        assert abs(np.corrcoef(z[:, k], components[:, k])[0, 1]) > 0.99
    assert z.std(0)[0] == pytest.approx(1, abs=0.05) and z.std(0)[1] < z.std(0)[0]
    np.testing.assert_allclose(z.mean(0), 0, atol=0.1)


def test_the_target_is_the_median_total_of_cells_with_counts(make_module, make_cells):
    counts = make_cells(without={"rna": np.arange(20)}).counts["rna"]
    module = make_module()
    start(module, counts)
    assert float(module.rna.target_sum) == pytest.approx(median_total(counts))
    assert median_total(counts) != np.median(counts.sum(1).A1)


def test_statistics(make_module, make_cells):
    counts, module = make_cells().counts["rna"], make_module()
    start(module, counts)
    kind = module.rna
    expression = log_expression(counts, median_total(counts))
    variance = np.maximum(expression.std(0), MIN_SPREAD) ** 2
    np.testing.assert_allclose(kind.gene_weight, 1 / variance, rtol=1e-3)
    shares = (counts.sum(0).A1 + 0.5) / (counts.sum() + 0.5 * 30)
    assert float(kind.count_baseline) == pytest.approx(-(counts @ np.log(shares)).mean(), rel=1e-5)
    logs = np.log1p(np.stack([counts.sum(1).A1, np.diff(counts.indptr)], 1))
    np.testing.assert_allclose(kind.library_mean, logs.mean(0), rtol=1e-4)
    np.testing.assert_allclose(kind.library_std, logs.std(0), rtol=1e-4)
    sizes = kind.library_size(to_rows(counts))
    np.testing.assert_allclose(sizes, (logs - logs.mean(0)) / logs.std(0), atol=1e-3)


@pytest.mark.parametrize("multiple", [0.25, 1, 8])
@pytest.mark.parametrize(("each", "least"), [(10, 0.4), (1, 0.05)], ids=["deep", "shallow"])
def test_the_least_spread_follows_depth_and_what_one_count_adds(make_module, multiple, each, least):
    counts = np.full((40, 30), float(each))
    counts[:20, 0] = counts[20:, 1] = 100 * each  # two genes vary a lot, at the same depth
    counts[0, 2:] *= 1.001  # the others hardly vary
    counts = sp.csr_matrix(counts.astype(np.float32))
    depth = median_total(counts)
    module = make_module(rna_target_sum=multiple * depth)
    start(module, counts)
    weight = module.rna.gene_weight.numpy()
    np.testing.assert_allclose(weight[2:] ** -0.5, least * np.log2(1 + multiple), rtol=1e-5)
    spread = log_expression(counts, multiple * depth).std(0)[1]
    assert spread > least * np.log2(1 + multiple)
    assert weight[1] ** -0.5 == pytest.approx(spread, rel=1e-3)


def test_a_gene_that_never_varies_has_finite_weight_without_a_least_spread(make_module):
    counts = sp.csr_matrix(np.full((20, 30), 3, np.float32))
    module = make_module(rna_min_spread=0.0)
    start(module, counts)
    assert torch.isfinite(module.rna.gene_weight).all()


@torch.no_grad()
def test_decoders_start_at_the_mean_profile(make_module, make_cells):
    counts, module = make_cells().counts["rna"], make_module()
    start(module, counts)
    expression = log_expression(counts, median_total(counts))
    spread = np.maximum(expression.std(0), MIN_SPREAD)
    origin = torch.zeros(1, 8)
    assert len(module.all_decoders("rna")) == 7  # its own, three from RNA and three from ATAC
    for decoder in module.all_decoders("rna"):
        np.testing.assert_allclose(decoder.scale[:, 0], spread, rtol=1e-3)
        np.testing.assert_allclose(decoder(origin)[0], expression.mean(0), rtol=1e-4)
    shares = (counts.sum(0).A1 + 0.5) / (counts.sum() + 0.5 * 30)
    assert len(module.bridges_from("rna")) == 4
    for bridge in module.bridges_from("rna"):
        np.testing.assert_allclose(bridge.count_decoder(origin)[0].exp(), shares, rtol=1e-4)


def test_bridges_standardize_expression(make_module, make_cells):
    counts, module = make_cells().counts["rna"], make_module()
    start(module, counts)
    expression = log_expression(counts, median_total(counts))
    spread = np.maximum(expression.std(0), MIN_SPREAD)
    for bridge in module.bridges_from("rna"):
        np.testing.assert_allclose(bridge.scale, 1 / spread, rtol=1e-3)
        np.testing.assert_allclose(bridge.shift, expression.mean(0) / spread, rtol=1e-3)


def test_published_statistics_stay(make_module, make_cells):
    module = make_module(rna_target_sum=1e4, rna_scale_genes=False)
    start(module, make_cells().counts["rna"])
    assert float(module.rna.target_sum) == 1e4
    assert (module.rna.gene_weight == 1).all()
    assert all((bridge.scale == 1).all() for bridge in module.bridges_from("rna"))


# -- profiles of genes


def _clusters(
    n_cells: int = 300, n_genes: int = 40
) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray]:
    """Counts of three kinds of cells; genes 0, 1, 2 are eightfold in one of them each."""
    rng = np.random.default_rng(0)
    kind = np.arange(n_cells) % 3
    rate = np.ones((3, n_genes))
    rate[[0, 1, 2], [0, 1, 2]] = 8
    rate[:, 3] = [0.8, 0.1, 0.1]  # a rare marker of the first kind
    counts = rng.poisson(rate[kind])
    counts[:, 4] = 0
    return (
        sp.csr_matrix(counts.astype(np.float32)),
        kind,
        np.eye(3)[kind] + 0.01 * rng.normal(size=(n_cells, 3)),
    )


def test_profiles_are_log_ratios_to_the_mean_cell():
    counts, kind, components = _clusters()
    profiles = gene_profiles(counts, components, 3).numpy()
    assert profiles.shape == (40, 3)
    order = [int(np.argmax(profiles[k])) for k in range(3)]  # k-means numbers groups as it likes
    assert sorted(order) == [0, 1, 2]
    dense = counts.toarray().astype(float)
    dense = np.vstack(
        [dense, np.median(dense.sum(1)) * np.tile(dense.mean(0) / dense.mean(0).sum(), (10, 1))]
    )
    in_group = np.r_[kind, [-1] * 10]
    for k in range(3):  # with ten mean cells in each group
        part = dense[(in_group == k) | (in_group == -1)].sum(0)
        known = dense.sum(0) > 0
        expected = np.log(part / part.sum() / (counts.sum(0).A1 / counts.sum()))[known]
        np.testing.assert_allclose(profiles[known, order[k]], expected, atol=1e-4)


def test_a_rare_marker_is_nearly_as_clear_as_a_common_one():
    counts, _, components = _clusters()
    profiles = gene_profiles(counts, components, 3).numpy()
    cosine = profiles[0] @ profiles[3] / np.linalg.norm(profiles[0]) / np.linalg.norm(profiles[3])
    assert cosine > 0.9


def test_genes_without_counts_and_few_cells():
    counts, _, components = _clusters()
    assert not gene_profiles(counts, components, 3)[4].any()
    assert gene_profiles(counts[:12], components[:12], 64).shape == (40, 2)
    assert gene_profiles(counts[:3], components[:3], 64).shape == (40, 0)
    assert gene_profiles(counts * 0, components, 3).shape == (40, 0)
    assert gene_profiles(counts, components[:, :0], 3).shape == (40, 0)


def test_the_table_of_genes_starts_at_profiles(mdata, make_model):
    model = make_model(mdata["rna"].copy())
    model.train(stages=[], enable_progress_bar=False)
    table = model.module.rna.encoder.feature_table()
    markers = mdata["rna"].var["marker_of"]
    vectors = table.detach().numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = vectors @ vectors.T
    first, second = ((markers == m).to_numpy() for m in ("type1", "type2"))
    assert similar[np.ix_(first, first)].mean() > similar[np.ix_(first, second)].mean() + 0.3


def test_without_a_warm_start_the_table_is_random(mdata, make_model):
    model = make_model(mdata["rna"].copy(), warm_start=False)
    before = model.module.rna.encoder.feature_table().detach().clone()
    model.train(stages=[], enable_progress_bar=False)
    assert model.module.rna.encoder.feature_table().equal(before)
