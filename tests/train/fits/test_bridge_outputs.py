"""What bridges into RNA predict."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scmomer.data import Cells
from scmomer.inference import Inference
from scmomer.train import clone_state, init_from_data
from scmomer.train.fits import fit_bridge_outputs

ALL = np.arange(200)
SPLIT = ALL, ALL[:0], ALL[:0]


@pytest.fixture
def cells(make_cells) -> Cells:
    """Paired cells of two types, which both modalities tell."""
    cells = make_cells(200)
    genes = cells.counts["rna"].toarray()
    peaks = cells.counts["atac"].toarray()
    genes[:100, :10] *= 4
    peaks[:100, :20] = 1
    cells.counts |= {"rna": sp.csr_matrix(genes), "atac": sp.csr_matrix(peaks)}
    return cells


def changed(module, before) -> set[str]:
    """Names in the state that have other values."""
    return {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}


def embedded(module, cells: Cells) -> np.ndarray:
    """Fused embeddings."""
    return Inference(module, cells).embed().z


@pytest.mark.parametrize("refine", [True, False])
def test_one_modality_comes_nearer_to_both(make_module, cells, refine):
    module = make_module(bridge_refine_source=refine).eval()
    init_from_data(module, cells, ALL)
    if refine:
        module.refines.fill_(True)
    both, rna = embedded(module, cells), embedded(module, cells.select_modality("rna"))
    atac = cells.select_modality("atac")
    before, state = embedded(module, atac), clone_state(module)
    fit_bridge_outputs(module, cells, SPLIT, 0)
    after = embedded(module, atac)
    assert np.square(after - both).mean() < 0.8 * np.square(before - both).mean()
    np.testing.assert_allclose(after.mean(0), both.mean(0), atol=1e-4)
    last = f"bridges.atac.0.rest.{len(module.bridges_from('atac')[0].rest) - 1}"
    assert changed(module, state) == {f"{last}.weight", f"{last}.bias"}
    np.testing.assert_array_equal(embedded(module, cells), both)
    np.testing.assert_array_equal(embedded(module, cells.select_modality("rna")), rna)


def test_a_second_fit_gains_nothing_more(make_module, cells):
    module = make_module().eval()
    init_from_data(module, cells, ALL)
    module.refines.fill_(True)
    both, errors = embedded(module, cells), []
    for _ in range(2):
        fit_bridge_outputs(module, cells, SPLIT, 0)
        errors.append(np.square(embedded(module, cells.select_modality("atac")) - both).mean())
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_a_gpu_that_is_too_small_gets_fewer_cells(make_module, cells, monkeypatch):
    states = []
    for most in (1000, 50):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = make_module().eval()
        init_from_data(module, cells, ALL)
        embed = module.embed

        def limited(counts, *args, embed=embed, most=most):
            if counts["atac"].n_rows > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return embed(counts, *args)

        monkeypatch.setattr(module, "embed", limited)
        fit = partial(fit_bridge_outputs, module, cells, SPLIT, 0)
        if most == 50:
            with pytest.warns(UserWarning, match="with 128 cells at a time. It goes on with 64"):
                fit()
        else:
            fit()
        states.append(clone_state(module))
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-4)


def test_of_three_modalities_only_what_goes_to_rna_changes(make_module, cells):
    rng = np.random.default_rng(0)
    counts = cells.counts | {"protein": sp.csr_matrix(rng.poisson(2.0, (200, 5)), dtype=np.float32)}
    cells = Cells(counts, {m: np.ones(200, bool) for m in counts})
    module = make_module(n_proteins=5).eval()
    init_from_data(module, cells, ALL)
    module.refines.fill_(True)
    embeds = {m: cells.select_modality(m) for m in counts}
    before = {m: Inference(module, c).embed().single for m, c in embeds.items()}
    state = clone_state(module)
    fit_bridge_outputs(module, cells, SPLIT, 0)
    after = {m: Inference(module, c).embed().single for m, c in embeds.items()}
    np.testing.assert_array_equal(after["atac"]["protein"], before["atac"]["protein"])
    np.testing.assert_array_equal(after["protein"]["atac"], before["protein"]["atac"])
    for source in ("atac", "protein"):
        assert not np.allclose(after[source]["rna"], before[source]["rna"])
    assert not any(k.startswith("bridges.rna") for k in changed(module, state))


def test_few_cells_frozen_bridges_and_rna_alone_change_nothing(make_module, cells, make_cells):
    few = make_cells(200, without={"rna": list(range(190))})
    frozen = make_module().eval()
    frozen.bridges.requires_grad_(False)
    for module, some in ((make_module().eval(), few), (frozen, cells)):
        init_from_data(module, some, ALL)
        before = clone_state(module)
        fit_bridge_outputs(module, some, SPLIT, 0)
        fit_bridge_outputs(module, cells.select_modality("rna"), SPLIT, 0)
        fit_bridge_outputs(module, cells.select_modality("atac"), SPLIT, 0)
        assert not changed(module, before)
