"""The distance between batches: against the definition, and as a loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.nn._mmd import batch_discrepancy
from scmomer.train._objectives import OBJECTIVES


def reference(z: np.ndarray, batch: np.ndarray) -> float:
    """By the definition, batch by batch."""
    distance = ((z[:, None] - z[None]) ** 2).sum(-1)
    kernel = np.mean([np.exp(-distance / (w * distance.mean())) for w in (0.5, 1, 2)], axis=0)
    found = []
    for b in np.unique(batch):
        here, there = batch == b, batch != b
        if here.sum() > 1 and there.sum() > 1:
            within = kernel[np.ix_(here, here)].mean() + kernel[np.ix_(there, there)].mean()
            found.append(within - 2 * kernel[np.ix_(here, there)].mean())
    return float(np.mean(found))


def test_it_is_what_the_definition_says():
    rng = np.random.default_rng(0)
    batch = np.r_[rng.integers(0, 3, 40), 3]  # the last batch is a single cell
    z = rng.normal(size=(41, 5)) + batch[:, None]
    found = batch_discrepancy(torch.from_numpy(z), torch.from_numpy(batch))
    assert float(found) == pytest.approx(reference(z, batch), rel=1e-6)


def test_mixed_batches_are_near_and_shifted_ones_far():
    torch.manual_seed(0)
    z, batch = torch.randn(400, 4), torch.arange(400) % 2
    mixed = batch_discrepancy(z, batch)
    apart = batch_discrepancy(z + 2 * batch[:, None], batch)
    assert 0 <= mixed < 0.02 and apart > 10 * mixed


@pytest.mark.parametrize("batch", [[0] * 6, [-1] * 6, [0, 0, 0, 0, 0, 1], [0, 0, 0, -1, -1, -1]])
def test_nothing_to_compare_is_no_distance(batch):
    z = torch.randn(6, 3, requires_grad=True)
    found = batch_discrepancy(z, torch.tensor(batch))
    found.backward()
    assert found == 0 and not z.grad.any()


def test_it_falls_when_it_is_followed():
    torch.manual_seed(0)
    batch = torch.arange(60) % 3
    z = (torch.randn(60, 4) + batch[:, None]).requires_grad_()
    before = batch_discrepancy(z, batch)
    before.backward()
    with torch.no_grad():
        assert batch_discrepancy(z - 5 * z.grad, batch) < before


def test_it_is_a_term_of_stages_two_and_three_only_if_wanted(make_module, sparse, counts):
    tensors = {"rna": sparse(counts(12, 30)), "atac": sparse(counts(12, 40, seed=1))}
    tensors["batch"] = torch.arange(12) % 2
    plain, mixing = make_module(n_batches=2), make_module(n_batches=2, batch_weight=3.0)
    for module in (plain, mixing):
        cached = {f"z_{m}": module.encode(m, tensors[m]).cell.detach() for m in ("rna", "atac")}
        found = {s: OBJECTIVES[s](module, {**tensors, **cached}) for s in ("fusion", "bridge")}
        names = {name for terms in found.values() for name in terms if "batches" in name}
        wanted = {"batches", "batches_from_rna", "batches_from_atac"}
        assert names == (wanted if module is mixing else set())
    assert "batches" not in OBJECTIVES["fusion"](mixing, {m: tensors[m] for m in ("rna", "atac")})
