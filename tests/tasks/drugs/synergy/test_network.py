"""The network of synergy: symmetric, and each part has its say."""

from __future__ import annotations

import pytest
import torch

from scmomer.tasks.drugs import GraphEncoder, SynergyEntities, SynergyNetwork, molecule_graphs

N = 33
SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C", "CCO", "c1ccncc1", "OCC1CCCCO1"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def entities() -> SynergyEntities:
    return SynergyEntities(torch.randn(5, 4), torch.arange(5), torch.randn(3, 7), torch.arange(3))


@pytest.fixture
def rows() -> torch.Tensor:
    drugs = torch.stack([torch.randperm(5)[:2] for _ in range(N)])
    return torch.cat([drugs, torch.randint(0, 3, (N, 1))], 1)


def network(n_drug=4, n_cell=7, **kwargs) -> SynergyNetwork:
    sizes = {"width_drug": 6, "width_cell": 5, "hidden": (16, 12), "head": (8,)}
    return SynergyNetwork(n_drug, n_cell, **{**sizes, "n_drug_ids": 5, "n_cell_ids": 3, **kwargs})


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_drugs_can_change_places(entities, rows, training, share):
    made = network(drug_id_dropout=0.3, cell_id_dropout=0.3).train(training)
    changed = torch.where(torch.rand(N, 1) < share, rows[:, [1, 0, 2]], rows)
    found = []
    for order in (rows, changed):
        torch.manual_seed(1)  # dropout
        found.append(made(entities, order))
    assert torch.equal(*found) and found[0].std() > 1e-3


@pytest.mark.parametrize("column", [0, 2])
def test_result_depends_on_drugs_and_lines(entities, rows, column):
    made, other = network().eval(), rows.clone()
    other[:, column] = (other[:, column] + 1) % 3
    assert (made(entities, rows) - made(entities, other)).abs().max() > 1e-3


def test_no_sum_of_two_drugs(entities):
    """An additive network has the same interaction in all pairs: none."""
    made = network().eval()
    pairs = torch.tensor([[0, 1, 0], [2, 3, 0], [0, 3, 0], [2, 1, 0]])
    a, b, c, d = made(entities, pairs).tolist()
    assert abs(a + b - c - d) > 1e-4


@pytest.mark.parametrize("n_rows", [1, 10, 4096])
def test_prediction_in_parts(entities, rows, n_rows):
    made = network().train()
    found = made.predict(entities, rows, n_rows=n_rows)
    assert made.training and found.shape == (N,)
    torch.testing.assert_close(found, made.eval()(entities, rows))
    assert made.predict(entities, rows[:0]).shape == (0,)


def test_what_is_new_has_features_alone(entities, rows):
    made = network().eval()
    new = entities._replace(drug_ids=torch.full((5,), -1), cell_ids=torch.full((3,), -1))
    before = made(new, rows)
    torch.nn.init.normal_(made.drug_vectors.weight, std=10)
    torch.nn.init.normal_(made.cell_vectors.weight, std=10)
    assert torch.equal(made(new, rows), before)
    assert (made(entities, rows) - before).abs().max() > 1e-3


def test_vectors_are_dropped_as_a_whole_in_training_only(entities, rows):
    options = {"input_dropout": 0.0, "dropout": 0.0}
    made = network(**options, drug_id_dropout=1.0, cell_id_dropout=1.0)
    new = entities._replace(drug_ids=torch.full((5,), -1), cell_ids=torch.full((3,), -1))
    assert torch.equal(made.train()(entities, rows), made(new, rows))
    assert not torch.equal(made.eval()(entities, rows), made(new, rows))
    half = network(**options, drug_id_dropout=0.5).train()
    found = {half._some(torch.arange(5), 0.5).lt(0).sum().item() for _ in range(30)}
    assert len(found) > 2


def test_features_or_vectors_alone(entities, rows):
    by_name = entities._replace(drugs=torch.zeros(5, 0), cells=torch.zeros(3, 0))
    network(0, 0)(by_name, rows).pow(2).sum().backward()
    made = network(n_drug_ids=0, n_cell_ids=0)
    made(entities, rows).pow(2).sum().backward()
    assert all(x.grad.abs().max() > 0 for x in made.parameters())


def test_network_of_nothing(refuses):
    with refuses(ValueError, "drugs and lines with features or ids", "0 and 7 features, 0 and 3"):
        network(0, n_drug_ids=0)
    with refuses(ValueError, "and a tower", "hidden=()"):
        network(hidden=())


def test_entities_are_those_of_the_network(entities, rows, refuses):
    with refuses(ValueError, "Expected 4 features of drugs, 7 of lines", "found 4, 2 and"):
        network()(entities._replace(cells=torch.zeros(3, 2)), rows)


def test_graphs_beside_features(entities, rows, refuses):
    pytest.importorskip("rdkit")
    pytest.importorskip("torch_geometric")
    graphs = molecule_graphs(SMILES)
    made = network(encoder=GraphEncoder(hidden=(16,), n_out=8))
    with_graphs = entities._replace(graphs=graphs)
    made(with_graphs, rows).pow(2).sum().backward()
    assert all(x.grad.abs().max() > 0 for x in made.encoder.convolutions.parameters())
    with refuses(ValueError, "of lines and graphs", "no graphs"):
        made(entities, rows)
    with refuses(ValueError, "of lines and no graphs", "and graphs"):
        network()(with_graphs, rows)
