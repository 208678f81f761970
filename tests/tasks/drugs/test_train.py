from __future__ import annotations

import pytest
import torch

from scmomer.tasks.drugs import molecule_graphs
from scmomer.tasks.drugs._train import seeded, train_cell_branch, train_drug_branch

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


def test_seeded_leaves_the_random_state_of_the_caller():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(0, torch.device("cpu")):
        inside = torch.rand(2)
    torch.testing.assert_close(torch.rand(2), expected)
    with seeded(0, torch.device("cpu")):
        torch.testing.assert_close(torch.rand(2), inside)


def test_the_cell_branch_learns_and_repeats():
    torch.manual_seed(0)
    profiles = torch.randn(70, 10)
    values = profiles[:, :1] + profiles[:, 1:2] * torch.tensor([1.0, -1.0, 0.5])
    values[::5, 1] = torch.nan
    branch = train_cell_branch(profiles, values, 0)
    with torch.no_grad():
        found = branch(profiles)
    here = values.isfinite()
    assert torch.corrcoef(torch.stack([found[here], values[here]]))[0, 1] > 0.9
    again = train_cell_branch(profiles, values, 0)(profiles).detach()
    other = train_cell_branch(profiles, values, 1)(profiles).detach()
    torch.testing.assert_close(found, again, rtol=0, atol=0)
    assert not torch.allclose(found, other)


def test_what_was_not_measured_does_not_count(few_epochs):
    profiles, values = torch.randn(20, 5), torch.randn(20, 3)
    values[3] = torch.nan
    one = train_cell_branch(profiles, values, 0)
    assert all(p.isfinite().all() for p in one.parameters())


def test_the_drug_branch_learns():
    torch.manual_seed(0)
    graphs = molecule_graphs(
        ["C" * n for n in range(1, 9)] + ["c1ccccc1" + "C" * n for n in range(8)]
    )
    components = torch.randn(50, 2)
    ring = torch.arange(16) >= 8
    values = components[:, :1] + components[:, 1:] * torch.where(ring, 1.0, -1.0)
    branch = train_drug_branch(graphs, components, values, pooling="max", seed=0)
    with torch.no_grad():
        found = branch(graphs, components)
    before = (components[:, :1] - values).square().mean()
    assert (found - values).square().mean() < 0.3 * before
