from __future__ import annotations

import pytest
import torch

from scmomer.tasks.drugs import molecule_graphs
from scmomer.tasks.drugs._branches import CellBranch, DrugBranch

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_the_drug_branch_starts_at_the_mean_response(pooling):
    components = torch.randn(7, 4)
    branch = DrugBranch(3, pooling=pooling).eval()
    found = branch(molecule_graphs(["CCO", "c1ccccc1"]), components)
    torch.testing.assert_close(found, components[:, :1].expand(7, 2))


def test_the_drug_branch_reads_molecules_and_components():
    branch = DrugBranch(3).eval()
    torch.nn.init.normal_(branch.loadings.weight)
    components = torch.randn(7, 4)
    found = branch(molecule_graphs(["CCO", "c1ccccc1"]), components)
    assert not torch.allclose(found[:, 0], found[:, 1])
    more = branch(molecule_graphs(["c1ccccc1"]), components)
    torch.testing.assert_close(more[:, 0], found[:, 1])


def test_the_cell_branch_is_effect_and_interaction():
    torch.manual_seed(0)
    branch = CellBranch(6, 5, rank=2, hidden=8).eval()
    profiles = torch.randn(4, 6)
    found = branch(profiles)
    assert found.shape == (4, 5)
    vectors = branch.of_profile(profiles)
    torch.testing.assert_close(found - vectors[:, :1], vectors[:, 1:] @ branch.drugs.T)
