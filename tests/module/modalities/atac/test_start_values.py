"""Start values of ATAC: statistics, mean profiles, latent semantic indexing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from torch import nn

from scmomer.module import SCMOMERModule
from scmomer.nn import to_rows


def start(module: SCMOMERModule, counts: sp.csr_matrix) -> None:
    """Set statistics and start values from all cells."""
    own = module.all_decoders("atac"), module.bridges_from("atac")
    module.modality("atac").init_from_data(counts, *own, warm_start=True)


@torch.no_grad()
def test_the_encoder_starts_as_latent_semantic_indexing(make_module, make_cells):
    counts = make_cells(300, n_peaks=90).counts["atac"]
    module = make_module(n_peaks=90, n_latent=4).eval()
    start(module, counts)
    kind = module.modality("atac")
    nn.init.zeros_(kind.encoder.projection.weight)  # leave the linear map alone
    z = kind.encoder(kind.normalize(to_rows(counts))).cell.numpy()
    open_peaks = (counts.toarray() > 0).astype(float)
    n_open = open_peaks.sum(1)
    share = open_peaks / (n_open + np.median(n_open))[:, None]
    idf = np.log(1 + 301 / (open_peaks.sum(0) + 0.5))
    lsi = TruncatedSVD(6, algorithm="arpack", random_state=0).fit_transform(share * idf)
    depth = np.corrcoef(np.column_stack([np.log1p(n_open), lsi]).T)[0, 1:]
    kept = [j for j in range(1, 6) if abs(depth[j]) < 0.5][:2]  # the first is the mean profile
    for k in range(2):
        assert abs(np.corrcoef(z[:, k], lsi[:, kept[k]])[0, 1]) > 0.99


def test_depth_is_standardized(make_module, make_cells):
    counts, module = make_cells().counts["atac"], make_module()
    start(module, counts)
    kind, logs = module.modality("atac"), np.log1p(np.diff(counts.indptr))
    assert float(kind.depth_mean) == pytest.approx(logs.mean(), rel=1e-4)
    assert float(kind.depth_std) == pytest.approx(logs.std(), rel=1e-4)
    depth = kind.depth(to_rows(counts))
    np.testing.assert_allclose(depth, (logs - logs.mean()) / logs.std(), atol=1e-4)


@torch.no_grad()
def test_decoders_start_at_the_mean_profile(make_module, make_cells):
    counts, module = make_cells().counts["atac"], make_module()
    start(module, counts)
    decoders, std = module.all_decoders("atac"), module.modality("atac").depth_std
    assert len(decoders) == 4
    for decoder in decoders:
        probabilities = decoder(torch.zeros(1, 8))[0].sigmoid()
        np.testing.assert_allclose(probabilities, (counts > 0).mean(0).A1, atol=0.02)
    # Twice the depth: twice as likely to be open. Heads but the first have no depth term.
    slopes = [decoder.depth_slope for decoder in decoders]
    assert [slope is None for slope in slopes] == [False, False, True, True]
    assert all((slope == std).all() for slope in slopes if slope is not None)


def test_bridges_read_what_is_open_as_it_is(make_module, make_cells):
    module = make_module(bridge_reads="features")
    start(module, make_cells().counts["atac"])
    assert len(module.bridges_from("atac")) == 4
    for bridge in module.bridges_from("atac"):
        assert (bridge.scale == 1).all() and not bridge.shift.any()
