from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F

from scmomer.tasks.drugs import (
    GraphEncoder,
    MoleculeGraphs,
    PublishedDrugResponse,
    molecule_graphs,
)
from scmomer.tasks.drugs.molecules._networks import _adjacency

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")
from rdkit import Chem

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C",
    "CCO",
    "N.N.O=C(O)C1(C(=O)O)CCC1.[Pt]",
    "C1=CC=C(C=C1)NC(=O)CCCCCCC(=O)NO",
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def graphs() -> MoleculeGraphs:
    return molecule_graphs(SMILES)


def encoder(**kwargs) -> GraphEncoder:
    return GraphEncoder(hidden=(16, 16), n_out=8, **kwargs)


def trained(network: torch.nn.Module, *inputs, **kwargs) -> torch.nn.Module:
    """The network with running means of batch normalization that are not those at the start."""
    for _ in range(3):
        network.train()(*inputs, **kwargs)
    return network.eval()


# -- graphs to vectors


def test_sizes_are_the_published_ones(graphs):
    network = GraphEncoder()
    assert [tuple(x.lin.weight.shape) for x in network.convolutions] == [
        (256, 75),
        (256, 256),
        (256, 256),
        (100, 256),
    ]
    assert network(graphs).shape == (5, 100)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_a_molecule_alone_is_as_in_a_batch(graphs, pooling):
    network = trained(encoder(pooling=pooling), graphs)
    together = network(graphs)
    alone = torch.cat([network(molecule_graphs([x])) for x in SMILES])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    assert (together[:, None] - together).abs().amax(-1).fill_diagonal_(1).min() > 1e-3


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_the_order_of_atoms_does_not_matter(graphs, pooling):
    network = trained(encoder(pooling=pooling), graphs)
    ways = [Chem.MolToSmiles(Chem.MolFromSmiles(x), doRandom=True) for x in SMILES]
    torch.testing.assert_close(
        network(molecule_graphs(ways)), network(graphs), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_layers_are_those_of_the_formula(graphs, pooling):
    network = trained(encoder(pooling=pooling), graphs)
    n = len(graphs.atoms)
    adjacency = torch.eye(n)
    adjacency[graphs.edges[0], graphs.edges[1]] = 1
    scale = adjacency.sum(1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    x = graphs.atoms
    for convolution, norm in zip(network.convolutions, network.norms, strict=True):
        x = F.relu(norm(adjacency @ x @ convolution.lin.weight.T + convolution.bias))
    per_molecule = [x[graphs.molecule == i] for i in range(graphs.n)]
    expected = [x.amax(0) if pooling == "max" else x.mean(0) for x in per_molecule]
    torch.testing.assert_close(network(graphs), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_edges_and_the_sparse_matrix_are_the_same(graphs, monkeypatch):
    (matrix,) = _adjacency(graphs)
    # A device without sparse matrices.
    monkeypatch.setattr(MoleculeGraphs, "device", torch.device("mps"))
    monkeypatch.setattr(torch, "arange", lambda *x, device=None: torch.tensor(range(*x)))
    edges, weights = _adjacency(graphs)
    dense = torch.zeros(matrix.shape).index_put(tuple(edges), weights)
    torch.testing.assert_close(matrix.to_dense(), dense)
    network = trained(encoder(), graphs)
    from_edges = network(graphs)
    monkeypatch.undo()
    torch.testing.assert_close(network(graphs), from_edges, atol=1e-5, rtol=1e-5)


def test_single_atoms(graphs):
    network = trained(encoder(), graphs)
    atoms = network(molecule_graphs(["C", "N", "[Pt+4]"]))
    assert atoms.shape == (3, 8) and atoms.isfinite().all()
    torch.testing.assert_close(atoms[:1], network(graphs)[1:2], atol=1e-5, rtol=1e-5)


def test_other_pooling(refuses):
    with refuses(ValueError, "'max' or 'mean'", "'sum'"):
        GraphEncoder(pooling="sum")


def test_without_torch_geometric_it_says_how_to_install_it(monkeypatch, refuses):
    for name in ("torch_geometric", "torch_geometric.nn"):
        monkeypatch.setitem(sys.modules, name, None)
    with refuses(ModuleNotFoundError, "torch-geometric is not", "pip install 'scmomer[drug]'"):
        GraphEncoder()


# -- response


@pytest.fixture
def response(graphs) -> PublishedDrugResponse:
    pairs = torch.tensor([0, 1, 2, 4]), torch.tensor([0, 3, 1, 2])
    return trained(PublishedDrugResponse(6), graphs, torch.randn(4, 6), *pairs)


def test_lengths_of_the_convolutions(response):
    lengths, x = [], torch.zeros(2, 300)
    for layer in response.head:
        x = layer(x)
        if isinstance(layer, torch.nn.Conv1d | torch.nn.MaxPool1d):
            lengths.append(tuple(x.shape[1:]))
    assert lengths == [(30, 151), (30, 75), (10, 71), (10, 23), (5, 19), (5, 6)]
    assert response.joint.weight.shape == (300, 200) and x.shape == (2, 1)


def test_the_response_of_pairs_is_that_of_the_joint_layer(response, graphs):
    cells = torch.randn(4, 6)
    drug, cell = torch.tensor([4, 0, 0, 2, 1]), torch.tensor([3, 3, 0, 1, 2])
    both = torch.cat([response.drugs(graphs)[drug], response.cells(cells)[cell]], 1)
    expected = response.head(response.joint(both))[:, 0]
    found = response(graphs, cells, drug, cell)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.std() > 1e-4


@pytest.mark.parametrize("n_pairs", [1, 7, 4096])
def test_all_pairs_in_parts(response, graphs, n_pairs):
    cells = torch.randn(3, 6)
    response.train()
    found = response.predict(graphs, cells, n_pairs=n_pairs)
    assert response.training and not found.requires_grad
    cell, drug = torch.meshgrid(torch.arange(3), torch.arange(5), indexing="ij")
    expected = response.eval()(graphs, cells, drug.reshape(-1), cell.reshape(-1))
    torch.testing.assert_close(found, expected.view(3, 5).detach(), atol=1e-6, rtol=1e-5)


def test_no_cells_have_no_response(response, graphs):
    assert response.predict(graphs, torch.randn(0, 6)).shape == (0, 5)


def test_molecules_and_cells_are_encoded_once(response, graphs):
    seen = []
    for part in (response.drugs.convolutions[0].lin, response.cells):
        part.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    response(graphs, torch.randn(4, 6), torch.zeros(50).long(), torch.zeros(50).long())
    assert seen == [len(graphs.atoms), 4]


def test_every_weight_of_the_response_learns(response, graphs):
    pairs = torch.randint(0, 5, (64,)), torch.randint(0, 4, (64,))
    response.train()(graphs, torch.randn(4, 6), *pairs).pow(2).sum().backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in response.parameters())


def test_one_cell_in_training(response, graphs, refuses):
    one = torch.zeros(1).long()
    with refuses(ValueError, "at least 2 cells", "found 1"):
        response.train()(graphs, torch.randn(1, 6), one, one)
    assert response.eval()(graphs, torch.randn(1, 6), one, one).shape == (1,)
