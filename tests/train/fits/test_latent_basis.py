"""The fused embedding in the units of decoded expression."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import pdist
from sklearn.linear_model import Ridge

from scmomer.data import Cells
from scmomer.inference import Inference
from scmomer.nn import log_normalize_csr
from scmomer.train import clone_state, init_from_data
from scmomer.train.fits import fit_latent_basis, fit_rna_basis


def fit(module) -> None:
    """Fit; cells, split and seed take no part."""
    fit_latent_basis(module, None, None, 0)


@pytest.fixture(params=[{}, {"rna_scale_genes": False}], ids=str)
def module(make_module, request):
    """A network whose decoders of expression are random."""
    made = make_module(n_batches=2, **request.param).eval()
    for decoder in made.all_decoders("rna"):
        torch.nn.init.normal_(decoder.linear.weight)
        if decoder.scale is not None:
            decoder.scale.uniform_(0.5, 1.5)
    made.rna.gene_weight.uniform_(0.5, 2)
    return made


def test_embeddings_leave_in_the_basis_and_nothing_else_changes(module, make_cells):
    cells = make_cells(6)
    state, before = clone_state(module), Inference(module, cells).embed(to="atac")
    np.testing.assert_array_equal(before.latent, before.z)
    fit(module)
    after = module.state_dict()
    assert [name for name in state if not torch.equal(after[name], state[name])] == ["basis"]
    found = Inference(module, cells).embed(to="atac")
    np.testing.assert_array_equal(found.latent, found.z @ module.basis.numpy())
    assert not np.allclose(found.latent, found.z)
    # What decoders, depth heads and translation read.
    np.testing.assert_array_equal(found.z, before.z)
    for part in ("single", "depth", "heads"):
        for name, values in getattr(before, part).items():
            np.testing.assert_array_equal(getattr(found, part)[name], values)


def test_distances_are_those_of_decoded_expression(module):
    fit(module)
    z = torch.randn(6, 8)
    latent = z @ module.basis
    decoded = module.rna.decoder(z) * module.rna.gene_weight.sqrt()
    torch.testing.assert_close(
        torch.cdist(latent, latent), torch.cdist(decoded, decoded), rtol=1e-3, atol=1e-3
    )


def test_twice_is_once(module):
    fit(module)
    before = module.basis.clone()
    fit(module)
    torch.testing.assert_close(module.basis, before, rtol=0, atol=0)


def test_directions_that_expression_ignores_stay_visible(module):
    with torch.no_grad():
        module.rna.decoder.linear.weight[:, 3:] = 0
    fit(module)
    assert module.basis.isfinite().all() and torch.linalg.matrix_rank(module.basis) == 8
    lengths = torch.linalg.vector_norm(module.basis, dim=1)
    assert (lengths[3:] > 0.05 * lengths.max()).all()


@pytest.mark.parametrize(
    "options",
    [{"n_genes": 0}, {"n_peaks": 0}, {"n_proteins": 12}, {"expression_metric": False}],
    ids=str,
)
def test_other_networks_keep_their_units(make_module, options):
    module = make_module(**options)
    before = clone_state(module)
    fit(module)
    assert torch.equal(module.basis, torch.eye(8))
    assert all(torch.equal(now, before[name]) for name, now in module.state_dict().items())


def test_a_silent_decoder_is_no_unit(make_module):
    module = make_module()
    torch.nn.init.zeros_(module.rna.decoder.linear.weight)
    fit(module)
    assert torch.equal(module.basis, torch.eye(8))


# -- RNA alone

ALL = np.arange(200)
SPLIT = ALL, ALL[:0], ALL[:0]


@pytest.fixture
def alone(make_module):
    """A network of RNA alone that blows up four directions which tell nothing of expression."""
    made = make_module(n_peaks=0, rna_encoder="mlp").eval()
    torch.nn.init.normal_(made.rna.encoder.rest[-1].weight)
    with torch.no_grad():
        made.rna.encoder.rest[-1].weight[4:] *= 3
    return made


def test_distances_of_rna_alone_are_those_of_fitted_expression(alone, make_cells):
    cells = make_cells(200).select_modality("rna")
    init_from_data(alone, cells, ALL)
    state, before = clone_state(alone), Inference(alone, cells).embed().z
    fit_rna_basis(alone, cells, SPLIT, 0)
    after = alone.state_dict()
    assert [name for name in state if not torch.equal(after[name], state[name])] == ["basis"]
    latent = Inference(alone, cells).embed().latent
    expression = log_normalize_csr(cells.counts["rna"], float(alone.rna.target_sum)).toarray()
    fitted = Ridge(1e-3 * before.var(0).sum() / 8 * 200).fit(before, expression).predict(before)
    fitted = fitted * alone.rna.gene_weight.sqrt().numpy()
    found, expected = pdist(latent), pdist(fitted)
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    assert np.corrcoef(pdist(before), expected)[0, 1] < np.corrcoef(found, expected)[0, 1]


def test_models_of_two_modalities_few_cells_and_other_metrics_keep_theirs(make_module, make_cells):
    cells = make_cells(200)
    few = cells.select_modality("rna"), (ALL[:8], ALL[:0], ALL[:0])
    every = cells.select_modality("rna"), SPLIT
    nothing = Cells(
        {"rna": sp.csr_matrix((200, 30), dtype=np.float32)}, {"rna": np.ones(200, bool)}
    )
    for module, (some, split) in (
        (make_module(), (cells, SPLIT)),
        (make_module(n_peaks=0), few),
        (make_module(n_peaks=0), (nothing, SPLIT)),
        (make_module(n_peaks=0, expression_metric=False), every),
    ):
        init_from_data(module.eval(), some, split[0])
        fit_rna_basis(module, some, split, 0)
        assert torch.equal(module.basis, torch.eye(8))
