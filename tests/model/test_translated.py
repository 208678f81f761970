"""Translations as arrays: range, indices, features, depth, batch, memory."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import psutil
import pytest
from scipy.special import logit

import scmomer


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_translation_has_the_promised_range(trained, data, to):
    found = trained.get_translated(data, to)
    n = {"atac": 200, "rna": 60}[to]
    assert found.shape == (120, n) and found.dtype == np.float32 and isinstance(found, np.ndarray)
    assert np.isfinite(found).all() and found.min() >= 0
    assert found.std(0).max() > 1e-4  # cells differ
    if to == "atac":
        assert found.max() <= 1
    else:
        assert found.max() <= np.log2(1 + trained.target_sum)


@pytest.mark.parametrize(("to", "source"), [("atac", "rna"), ("rna", "atac")])
def test_what_is_predicted_is_not_looked_at(trained, make_unseen, to, source, same):
    mdata = make_unseen()
    expected = trained.get_translated(mdata[source], to)
    same(trained.get_translated(mdata, to), expected)
    mosaic = make_unseen(missing={to: 0.3})
    same(trained.get_translated(mosaic, to), expected)


def test_cells_that_have_nothing_else_are_translated_from_what_they_have(
    trained, make_unseen, same
):
    mosaic = make_unseen(missing={"rna": 0.3})
    lacks = ~mosaic.obs_names.isin(mosaic["rna"].obs_names)
    found = trained.get_translated(mosaic, "atac")
    alone = trained.get_translated(mosaic["atac"], "atac")
    order = mosaic["atac"].obs_names.get_indexer(mosaic.obs_names[lacks])
    same(found[lacks], alone[order])


@pytest.mark.parametrize("to", ["atac", "rna"])
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_chunks_do_not_matter(trained, data, to, batch_size, same):
    expected = trained.get_translated(data, to)
    same(trained.get_translated(data, to, batch_size=batch_size), expected)


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_indices_of_a_translation(trained, data, to, same):
    expected = trained.get_translated(data, to)
    same(trained.get_translated(data, to, indices=[9, -1, 9]), expected[[9, -1, 9]])
    assert trained.get_translated(data, to, indices=[]).shape == (0, expected.shape[1])


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_features_are_columns_of_the_whole(trained, data, to, same):
    whole = trained.get_translated(data, to)
    columns = [5, 0, 33]
    names = trained.spec.features[to][columns]
    for features in (names, names.tolist(), np.array(names)):
        same(trained.get_translated(data, to, features=features), whole[:, columns])


def test_unknown_features_are_refused(trained, mdata, refuses):
    with refuses(KeyError, "atac", "1 that it does not have", "'Gad1'"):
        trained.get_translated(mdata, features=[mdata["atac"].var_names[0], "Gad1"])


def test_unknown_targets_are_refused(trained, trained_rna, mdata, refuses):
    with refuses(ValueError, "['rna', 'atac']", "'protein'"):
        trained.get_translated(mdata, "protein")
    with refuses(ValueError, "['rna']", "'atac'"):
        trained_rna.get_translated(mdata["rna"], "atac")


def test_no_expression_is_below_zero(saved, mdata):
    model = scmomer.load(saved)
    middle = float(np.median(model.get_translated(mdata, "rna")))
    for decoder in model.module.all_decoders("rna"):
        decoder.linear.bias.data -= middle / decoder.scale[:, 0]  # now half of the raw values are
    found = model.get_translated(mdata, "rna")
    assert found.min() == 0 and found.max() > 0


# -- depth


def test_more_depth_opens_more_peaks(trained, data):
    shallow, middle, deep = (trained.get_translated(data, depth=d) for d in (20, 100, 1000))
    assert (shallow <= middle + 1e-7).all() and (middle <= deep + 1e-7).all()
    assert shallow.mean() < middle.mean() - 0.02 < deep.mean() - 0.04


def test_the_mean_depth_is_that_of_the_training_cells(trained, data, mdata, same):
    n_open = np.diff(mdata["atac"].X.indptr)[trained.train_indices_]
    geometric = np.expm1(np.log1p(n_open).mean())
    same(trained.get_translated(data, depth="mean"), trained.get_translated(data, depth=geometric))


def test_the_predicted_depth_depends_on_the_cell(trained, mdata, same):
    predicted, mean = (trained.get_translated(mdata["rna"], depth=d) for d in ("predicted", "mean"))
    same(trained.get_translated(mdata["rna"]), predicted)
    assert np.abs(predicted - mean).max() > 1e-4
    # Cells without RNA have no prediction: the mean
    cells = mdata["atac"]
    same(trained.get_translated(cells), trained.get_translated(cells, depth="mean"))


def test_depth_share_moves_from_the_mean_to_the_predicted_depth(trained, mdata, same):
    def translate(share: float | None) -> np.ndarray:
        return trained.get_translated(mdata["rna"], depth_share=share)

    none = translate(0.0)
    whole, half = (logit(translate(share)) - logit(none) for share in (1.0, 0.5))
    assert np.abs(whole).max() > 1e-2
    same(2 * half, whole, 1e-4)  # logits are linear in the depth
    assert np.array_equal(translate(None), translate(0.35))


@pytest.mark.parametrize("share", [-0.1, 1.5, np.nan, "all", [0.5]], ids=str)
def test_bad_depth_shares_are_refused(trained, mdata, refuses, share):
    with refuses(ValueError, "depth_share None or a number from 0 to 1", repr(share)):
        trained.get_translated(mdata["rna"], depth_share=share)


@pytest.mark.parametrize("depth", ["deep", -1, np.nan, np.inf, True], ids=str)
def test_bad_depths_are_refused(trained, mdata, refuses, depth):
    with refuses(ValueError, "'predicted', 'mean' or a number", repr(depth)):
        trained.get_translated(mdata, depth=depth)


# -- batch


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_a_known_batch_can_be_chosen(trained, data, to, same):
    average = trained.get_translated(data, to)
    first, second = (trained.get_translated(data, to, batch=b) for b in ("batch1", "batch2"))
    assert np.abs(first - second).max() > 1e-4
    if to == "atac":  # the average is one of logits
        first, second, average = (np.log(p / (1 - p)) for p in (first, second, average))
        same(average, (first + second) / 2, 1e-4)
    else:
        assert (average >= np.minimum(first, second) - 1e-5).all()
        assert (average <= np.maximum(first, second) + 1e-5).all()


def test_the_batch_of_the_query_does_not_matter(trained, mdata, same):
    cells = mdata["rna"]
    expected = trained.get_translated(cells)
    cells.obs["batch"] = "batch1"
    same(trained.get_translated(cells), expected)


def test_an_unknown_batch_is_refused(trained, mdata, refuses):
    with refuses(KeyError, "['batch1', 'batch2']", "'batch3'"):
        trained.get_translated(mdata, batch="batch3")


# -- memory


def test_a_result_that_does_not_fit_is_refused(trained, mdata, monkeypatch, refuses):
    memory = namedtuple("memory", "available")
    needed = 120 * 200 * 4
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(needed - 1))
    with refuses(
        MemoryError, "120 cells x 200 features", " GB", "features=", "fewer cells", "path="
    ):
        trained.get_translated(mdata)
    for smaller in ({"indices": range(119)}, {"features": mdata["atac"].var_names[1:]}):
        assert np.isfinite(trained.get_translated(mdata, **smaller)).all()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(needed))
    assert trained.get_translated(mdata).nbytes == needed
