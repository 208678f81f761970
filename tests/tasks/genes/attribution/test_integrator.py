"""Integrated gradients of the network: known answers, completeness, streaming."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from scmomer.module import Encoded, Encoder
from scmomer.nn import sparse_linear, to_rows
from scmomer.tasks.genes import Integrator, PathNetwork, Prediction, average_cell

CELLS = np.arange(25)
GROUPS = CELLS % 3
KINDS = {
    "softmax": {"rna_attention": "softmax"},
    "favor": {"rna_attention": "favor"},
    "all genes are tokens": {"rna_tokens": "all", "rna_binning": "log2"},
    "no value skip": {"rna_value_skip": False},
    "mean and max": {"rna_pooling": "mean_max", "n_latent": 24},
    "mlp": {"rna_encoder": "mlp", "atac_encoder": "mlp"},
    "layer norm": {"latent_norm": "layer"},
}


class Linear(Encoder):
    """A linear map, of which attributions are known."""

    def __init__(self, n_features: int, n_latent: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n_features, n_latent) * 0.1)

    def forward(self, features):
        return Encoded(sparse_linear(features, self.weight), None)


@pytest.fixture
def linear(make_module):
    """A network of genes that is linear in log expression."""
    module = make_module(n_peaks=0).eval()
    module.modality("rna").encoder = Linear(30, 8)
    return module


def slope_of(module, gene: int) -> np.ndarray:
    """How log expression of each gene moves the prediction of one, ``(n_genes,)``."""
    rna = module.modality("rna")
    return (rna.encoder.weight @ rna.decoder.slopes()[gene]).detach().numpy()


def expression(module, cells) -> np.ndarray:
    """Log expression, ``(n_cells, n_genes)``."""
    rows = module.modality("rna").normalize(to_rows(cells.counts["rna"]))
    table = np.zeros(cells.counts["rna"].shape)
    table[rows.row_ids, rows.indices] = rows.values
    return table


def explain(module, cells, source, to, *, tokens=True, mean_start=False, batch_size=64, n_steps=25):
    """Mean attributions of two features in three groups."""
    module.eval()
    network = PathNetwork(module, source, tokens)
    if mean_start:
        network = PathNetwork(
            module, source, tokens, average_cell(network, cells, CELLS, GROUPS, 3)
        )
    readout = Prediction.of(module, source, to).readout(np.array([2, 5]), module.device)
    return Integrator(network, cells, batch_size).average(CELLS, GROUPS, 3, readout, n_steps)


def test_of_a_linear_network_weight_times_expression(linear, make_cells):
    cells = make_cells()
    found = explain(linear, cells, "rna", "rna", n_steps=3)
    x, weight = expression(linear, cells)[CELLS], slope_of(linear, 5)
    for group in range(3):
        mean = x[GROUPS == group].mean(0)
        np.testing.assert_allclose(found.mean[1, group], weight * mean, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(
            found.absolute[1, group], np.abs(weight) * mean, rtol=1e-4, atol=1e-7
        )
    assert found.n_cells.tolist() == [9, 8, 8] and found.n_steps == 3
    assert found.error.max() < 1e-4


def test_from_the_average_group_weight_times_difference(linear, make_cells):
    cells = make_cells()
    found = explain(linear, cells, "rna", "rna", mean_start=True, n_steps=3)
    x, weight = expression(linear, cells)[CELLS], slope_of(linear, 5)
    means = np.stack([x[GROUPS == group].mean(0) for group in range(3)])
    expected = weight * (means - means.mean(0))  # groups of unequal size count the same
    np.testing.assert_allclose(found.mean[1], expected, rtol=1e-3, atol=1e-7)
    assert np.allclose(found.baseline_value[1], found.baseline_value[1, 0])


CASES = [
    *(("rna", "atac", kind, True) for kind in KINDS),
    *(("rna", "atac", kind, False) for kind in ("softmax", "all genes are tokens")),
    *(("atac", "rna", kind, True) for kind in ("softmax", "mlp", "layer norm")),
    ("rna", "rna", "favor", True),
]


@pytest.mark.parametrize("mean_start", [False, True])
@pytest.mark.parametrize(("source", "to", "kind", "tokens"), CASES)
def test_attributions_sum_to_the_change(
    make_module, make_cells, kind, source, to, tokens, mean_start
):
    module, cells = make_module(**KINDS[kind]), make_cells()
    found = explain(module, cells, source, to, tokens=tokens, mean_start=mean_start, n_steps=20)
    change = found.value - found.baseline_value
    assert found.error.max() < 0.05 and found.absolute.any()
    np.testing.assert_allclose(found.mean.sum(-1), change, atol=0.05 * np.abs(change).max() + 1e-6)


@pytest.mark.parametrize("mean_start", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_paths_end_at_what_the_network_predicts(make_module, make_cells, kind, mean_start):
    module, cells = make_module(**KINDS[kind]).eval(), make_cells()
    for source, to in (("rna", "atac"), ("atac", "rna")):
        network = PathNetwork(module, source)
        if mean_start:
            start = average_cell(network, cells, CELLS, GROUPS, 3)
            network = PathNetwork(module, source, reference=start)
        counts = to_rows(cells.counts[source][CELLS])
        ends, readout = (
            network.ends(counts),
            Prediction.of(module, source, to).readout(np.array([2, 5]), module.device),
        )
        with torch.no_grad():
            latents = network.latents(ends, ends.values, ends.embedded, ends.rows, readout.heads)
            embedded = module.embed({source: counts}, heads_of=[source])
            every = [module.modality(to).decoder(embedded.z)]
            for k, head in enumerate(module.heads_from(source)):
                every.append(head.decoder(to)(embedded.heads[source][:, k]))
        expected = torch.stack(every).mean(0)[:, [2, 5]]
        torch.testing.assert_close(readout.function(latents), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("source", "options"),
    [("atac", {}), ("rna", KINDS["mlp"]), ("rna", KINDS["all genes are tokens"])],
)
def test_paths_begin_at_an_empty_cell(make_module, make_cells, source, options):
    """Unless a Performer has tokens of expressed genes only."""
    module, cells = make_module(**options).eval(), make_cells(without={source: [0]})
    network = PathNetwork(module, source)
    of_all, empty = (to_rows(cells.counts[source][cell]) for cell in (CELLS, CELLS[:1]))
    ends = network.ends(of_all)
    zero = [torch.zeros_like(ends.values)]
    if ends.embedded is not None:
        zero.append(torch.zeros_like(ends.embedded[..., 0]))
    with torch.no_grad():
        z = network.latents(ends, *network.at(ends, zero, ends.rows), ends.rows)[0]
        expected = module.embed({source: empty}).z
    torch.testing.assert_close(z, expected.expand_as(z), atol=1e-5, rtol=1e-4)


def test_results_do_not_depend_on_the_batch_size(make_module, make_cells):
    module, cells = make_module(), make_cells()
    for source, to in (("rna", "atac"), ("atac", "rna")):
        one, many = (
            explain(module, cells, source, to, batch_size=size, mean_start=True, n_steps=5)
            for size in (64, 7)
        )
        for name in ("mean", "absolute", "value", "baseline_value", "n_cells"):
            a, b = getattr(one, name), getattr(many, name)
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6 * max(1, np.abs(a).max()))


def test_the_average_cell_has_shares_of_bins(make_module, make_cells):
    module, cells = make_module().eval(), make_cells()
    network = PathNetwork(module, "rna")
    found = average_cell(network, cells, CELLS, GROUPS, 3, batch_size=7)
    np.testing.assert_allclose(found.bins.sum(1), 1, rtol=1e-5)
    has = cells.counts["rna"][CELLS].toarray() > 0
    absent = np.stack([1 - has[GROUPS == group].mean(0) for group in range(3)]).mean(0)
    np.testing.assert_allclose(found.bins[:, network.absent_bin], absent, atol=1e-5)


def test_steps_are_doubled_where_gradients_bend(make_module, make_cells):
    module, cells = make_module(rna_encoder="mlp"), make_cells()
    few = explain(module, cells, "rna", "rna", n_steps=1)
    assert few.n_steps == 8, "the limit"
    many = explain(module, cells, "rna", "rna", n_steps=30)
    assert many.n_steps == 30 and many.error.max() < few.error.max()


def test_another_network_gives_other_attributions(trained):
    cells, module = trained._training_cells(), trained.module
    random = copy.deepcopy(module)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in random.parameters():
            parameter.copy_(
                parameter[torch.randperm(len(parameter))] if parameter.ndim else parameter
            )
    own, other = (
        explain(m, cells, "rna", "atac", n_steps=10).mean.sum(1) for m in (module, random)
    )
    assert abs(np.corrcoef(own[0], other[0])[0, 1]) < 0.5


def test_deleting_top_genes_lowers_the_prediction_most(trained):
    """Against random genes that are expressed as much."""
    cells, module = trained._training_cells(), trained.module.eval()
    network = PathNetwork(module, "rna")
    readout = Prediction.of(module, "rna", "atac").readout(np.array([2]), module.device)
    integrator = Integrator(network, cells, 64)
    (_, ends), *_ = integrator.batches(CELLS)
    found = integrator.integrate(ends, readout, 20)[0][0]
    attributed, mean = (
        torch.zeros(len(CELLS), 60).scatter_add(1, ends.features, table).mean(0).numpy()
        for table in (found, ends.values)
    )
    top = np.argsort(-attributed)[:5]

    def without(genes) -> float:
        kept = 1.0 - torch.isin(ends.features, torch.from_numpy(np.asarray(genes))).float()
        values, bins = network.at(ends, [kept, kept], ends.rows)
        with torch.no_grad():
            latents = network.latents(ends, values, bins, ends.rows, readout.heads)
            return float(readout.function(latents).mean())

    rng = np.random.default_rng(0)
    near = [np.setdiff1d(np.abs(mean - mean[g]).argsort()[:15], top) for g in top]
    draws = [without([rng.choice(pool) for pool in near]) for _ in range(20)]
    assert without(top) < min(draws)
