"""``link_attributions``: many pairs of peaks and genes through the embedding."""

from __future__ import annotations

import numpy as np

from scmomer.tasks.genes import Integrator, PathNetwork, Prediction, link_attributions
from scmomer.tl import attribute


def test_pairs_get_what_the_peak_is_attributed(trained, mdata):
    genes = trained.spec.features["rna"][[0, 5, 5, 40]]
    peaks = trained.spec.features["atac"][[7, 7, 9, 150]]
    found = link_attributions(trained, mdata, genes, peaks, n_steps=20)
    target = ("atac", list(dict.fromkeys(peaks)))
    attribute(mdata, trained, target=target, tokens=False, n_steps=20, source="rna")
    table = mdata["rna"].varm["attributions"][:, 0]
    expected = [
        table[mdata["rna"].var_names.get_loc(g), target[1].index(p)]
        for g, p in zip(genes, peaks, strict=True)
    ]
    assert found.shape == (1, 4) and found.any()
    np.testing.assert_allclose(found[0], expected, rtol=0.02, atol=1e-6)


def test_groups_are_averaged_apart(trained, mdata):
    codes = mdata.obs["cell_type"].cat.codes.to_numpy().astype(int)
    codes[codes == 1] = -1
    pairs = [0, 5, 5, 40], [7, 7, 9, 150]
    found = link_attributions(trained, mdata, *pairs, groups=codes, n_steps=5)
    assert found.shape == (4, 4) and np.isnan(found[1]).all()
    alone = link_attributions(trained, mdata[codes == 2].copy(), *pairs, n_steps=5)
    np.testing.assert_allclose(found[2], alone[0], rtol=1e-3, atol=1e-7)


def test_covariance_is_of_attribution_and_expression(trained, mdata):
    """Compared with attributions of single cells."""
    gene, peak, cells = 5, 7, trained._read_cells(mdata)
    network = PathNetwork(trained.module.eval(), "rna", move_tokens=False)
    readout = Prediction.of(trained.module, "rna", "atac").readout(np.array([peak]), "cpu")
    attributed, expressed = np.zeros(120), np.zeros(120)
    integrator = Integrator(network, cells, 64)
    for position, ends in integrator.batches(np.arange(120)):
        found = integrator.integrate(ends, readout, 20)[0][0]
        row, column = ((ends.features == gene) & ends.valid).nonzero(as_tuple=True)
        attributed[position[row]] = found[row, column]
        expressed[position[row]] = ends.values[row, column]
    expected = np.cov(attributed, expressed, bias=True)[0, 1] / expressed.std()
    found = link_attributions(trained, mdata, [gene], [peak], statistic="covariance", n_steps=20)
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_predictions_vary_with_expression(trained, mdata):
    gene, peak = 5, 7
    name = trained.spec.features["atac"][[peak]].tolist()
    p = trained.get_translated(mdata["rna"].copy(), features=name, depth_share=0.0)[:, 0]
    counts = mdata["rna"].X
    x = np.log2(1 + counts[:, gene].toarray()[:, 0] / counts.sum(1).A1 * trained.target_sum)
    expected = np.cov(np.log(p / (1 - p)), x, bias=True)[0, 1] / x.std()
    found = link_attributions(trained, mdata, [gene], [peak], statistic="prediction")
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_fewer_cells_can_be_drawn(trained, mdata):
    few, again, all_cells = (
        link_attributions(trained, mdata, [3], [4], n_steps=3, max_cells=n) for n in (30, 30, None)
    )
    assert np.array_equal(few, again) and not np.allclose(few, all_cells, rtol=1e-6)


def test_it_says_what_is_wrong(trained, trained_rna, mdata, refuses):
    with refuses(ValueError, "one pair each", "found 2 and 1"):
        link_attributions(trained, mdata, [0, 1], [0])
    with refuses(KeyError, "'nothing'", "spec.features['rna']"):
        link_attributions(trained, mdata, ["nothing"], [0])
    with refuses(ValueError, "120 whole numbers", "shape (3,)"):
        link_attributions(trained, mdata, [0], [0], groups=np.arange(3))
    with refuses(ValueError, "RNA and a group"):
        link_attributions(trained, mdata, [0], [0], groups=np.full(120, -1))
    with refuses(ValueError, "found 'atac'"):
        link_attributions(trained_rna, mdata["rna"], [0], [0])
    with refuses(ValueError, "['mean', 'covariance', 'prediction']", "'median'"):
        link_attributions(trained, mdata, [0], [0], statistic="median")
