"""Embeddings and translations as arrays."""

from __future__ import annotations

import dataclasses
from collections import namedtuple

import mudata
import numpy as np
import psutil
import pytest
import torch
from mudata import MuData
from scipy.special import expit, logit

import scmomer
from scmomer.model import _inference

ALL = ("joint", "rna", "atac")


def same(found, expected, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


# -- embedding


def test_shapes(trained, data):
    parts = {m: trained.get_latent_representation(data, modality=m) for m in ALL}
    for z in parts.values():
        assert z.shape == (120, 8) and z.dtype == np.float32 and np.isfinite(z).all()
        assert z.std(0).min() > 1e-4  # cells differ
    assert len({z.tobytes() for z in parts.values()}) == 3


def test_without_data_the_registered_cells_are_meant(trained, mdata):
    same(trained.get_latent_representation(), trained.get_latent_representation(mdata))
    same(trained.get_translated(), trained.get_translated(mdata))


def test_the_embedding_of_a_modality_is_its_own(trained, mdata):
    """A measured modality does not look at the other one."""
    for name in ("rna", "atac"):
        both = trained.get_latent_representation(mdata, modality=name)
        alone = trained.get_latent_representation(mdata[name], modality=name)
        same(both, alone)


def test_an_unknown_modality_is_refused(trained, data, refuses):
    with refuses(ValueError, "['joint', 'rna', 'atac']", "'protein'"):
        trained.get_latent_representation(data, modality="protein")


def test_many_tokens_are_read_a_few_cells_at_a_time(trained, mdata, monkeypatch):
    expected = trained.get_latent_representation(mdata)
    sizes = []
    encode = trained.module.encoder("rna").forward
    monkeypatch.setattr(
        trained.module.encoder("rna"),
        "forward",
        lambda rows: sizes.append(rows.n_rows * int(rows.lengths.max())) or encode(rows),
    )
    monkeypatch.setattr(_inference, "_TOKENS_AT_ONCE", 100)
    same(trained.get_latent_representation(mdata), expected)
    assert len(sizes) > 10 and max(sizes) <= 100


@pytest.mark.parametrize(
    ("modality", "batch_size"), [("joint", 1), ("joint", 119), ("rna", 7), ("atac", 7)]
)
def test_batch_size_does_not_matter(trained, data, modality, batch_size):
    expected = trained.get_latent_representation(data, modality=modality)
    found = trained.get_latent_representation(data, modality=modality, batch_size=batch_size)
    same(found, expected)


@pytest.mark.parametrize("modality", ALL)
def test_order_and_companions_do_not_matter(trained, data, modality):
    expected = trained.get_latent_representation(data, modality=modality)
    order = np.random.default_rng(0).permutation(120)
    with mudata.set_options(pull_on_update=False):  # else MuData reorders a mosaic
        shuffled, few = data[order].copy(), data[[3, 50, 51]].copy()
    same(trained.get_latent_representation(shuffled, modality=modality), expected[order])
    same(trained.get_latent_representation(few, modality=modality), expected[[3, 50, 51]])


def test_the_longest_cell_is_no_companion_either(trained, make_unseen):
    """The padding of a batch follows its longest cell."""
    rna = make_unseen()["rna"]
    lengths = np.diff(rna.X.indptr)
    expected = trained.get_latent_representation(rna)
    for cell in (lengths.argmin(), lengths.argmax()):
        pair = trained.get_latent_representation(rna, indices=[lengths.argmax(), cell])
        alone = trained.get_latent_representation(rna, indices=[cell])
        same(alone[0], expected[cell])
        same(pair[1], expected[cell])


def test_a_second_call_gives_the_same(trained, data):
    first = trained.get_latent_representation(data)
    assert np.array_equal(trained.get_latent_representation(data), first)


INDICES = {
    "list": [4, 2, 9],
    "tuple": (7,),
    "array": np.array([100, 3], np.int32),
    "range": range(5),
    "negative": [-1, -120],
    "repeats": [5, 5, 0, 5],
    "mask": np.arange(120) % 7 == 0,
    "list mask": [True] + [False] * 119,
}


@pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)
def test_indices(trained, data, indices):
    expected = trained.get_latent_representation(data)[np.asarray(indices)]
    found = trained.get_latent_representation(data, indices=indices)
    assert len(found) == len(expected) > 0
    same(found, expected)


@pytest.mark.parametrize("modality", ALL)
@pytest.mark.parametrize("indices", [[], np.zeros(120, bool)], ids=["list", "mask"])
def test_no_cells_are_accepted(trained, data, indices, modality):
    found = trained.get_latent_representation(data, indices=indices, modality=modality)
    assert found.shape == (0, 8)


@pytest.mark.parametrize(
    ("indices", "error", "parts"),
    [
        ([0, 120], IndexError, ["120 cells", "0..120"]),
        ([-121], IndexError, ["120 cells", "-121..-121"]),
        (np.ones(5, bool), ValueError, ["mask of 120 cells", "(5,)"]),
        ([0.5, 1.0], TypeError, ["whole numbers", "float64"]),
        (["cell1"], TypeError, ["whole numbers", "<U5"]),
    ],
    ids=["beyond", "before", "short mask", "fractions", "names"],
)
def test_bad_indices_are_refused(trained, mdata, refuses, indices, error, parts):
    with refuses(error, *parts):
        trained.get_latent_representation(mdata, indices=indices)
    with refuses(error, *parts):
        trained.get_translated(mdata, indices=indices)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_bad_batch_sizes_are_refused(trained, mdata, refuses, batch_size):
    with refuses(ValueError, "batch_size", f"found {batch_size}"):
        trained.get_latent_representation(mdata, batch_size=batch_size)


# -- translation


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
def test_what_is_predicted_is_not_looked_at(trained, make_unseen, to, source):
    mdata = make_unseen()
    expected = trained.get_translated(mdata[source], to)
    same(trained.get_translated(mdata, to), expected)
    mosaic = make_unseen(missing={to: 0.3})
    same(trained.get_translated(mosaic, to), expected)


def test_cells_that_have_nothing_else_are_translated_from_what_they_have(trained, make_unseen):
    mosaic = make_unseen(missing={"rna": 0.3})
    lacks = ~mosaic.obs_names.isin(mosaic["rna"].obs_names)
    found = trained.get_translated(mosaic, "atac")
    alone = trained.get_translated(mosaic["atac"], "atac")
    order = mosaic["atac"].obs_names.get_indexer(mosaic.obs_names[lacks])
    same(found[lacks], alone[order])


@pytest.mark.parametrize("to", ["atac", "rna"])
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_chunks_do_not_matter(trained, data, to, batch_size):
    expected = trained.get_translated(data, to)
    same(trained.get_translated(data, to, batch_size=batch_size), expected)


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_indices_of_a_translation(trained, data, to):
    expected = trained.get_translated(data, to)
    same(trained.get_translated(data, to, indices=[9, -1, 9]), expected[[9, -1, 9]])
    assert trained.get_translated(data, to, indices=[]).shape == (0, expected.shape[1])


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_features_are_columns_of_the_whole(trained, data, to):
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
    for decoder in model.module.decoders_of("rna"):
        decoder.linear.bias.data -= middle / decoder.scale[:, 0]  # now half of the raw values are
    found = model.get_translated(mdata, "rna")
    assert found.min() == 0 and found.max() > 0


# -- heads


def has(data, modality: str) -> np.ndarray:
    """Which cells were measured."""
    if isinstance(data, MuData):
        return data.obs_names.isin(data[modality].obs_names)
    return np.full(data.n_obs, (data.n_vars == 60) == (modality == "rna"))


SOURCE = {"atac": "rna", "rna": "atac"}


@pytest.fixture
def headless(make_model, train, mdata) -> scmomer.SCMOMER:
    """A trained model without translation heads."""
    model = make_model(mdata, bridge_heads=0)
    train(model)
    return model


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_uncertainty_comes_with_the_same_values(trained, data, to):
    found = trained.get_translated(data, to, uncertainty=True)
    assert isinstance(found, tuple)
    values, std = found
    assert np.array_equal(values, trained.get_translated(data, to))
    assert std.shape == values.shape and std.dtype == np.float32 and type(std) is np.ndarray
    assert np.isfinite(std).all() and std.min() >= 0
    unsure = std.max(1) > 1e-4  # heads differ where there is something to read
    assert np.array_equal(unsure, has(data, SOURCE[to])) and (std[~unsure] < 1e-6).all()


def test_uncertainty_is_the_deviation_of_single_opinions(trained, mdata, monkeypatch):
    logits = np.array([-1.0, 0.0, 4.0])

    def opinions(module, to, z, *args):
        for value in logits:
            yield torch.full((len(z), 200 if to == "atac" else 60), float(value))

    monkeypatch.setattr(_inference, "opinions", opinions)
    values, std = trained.get_translated(mdata, "atac", uncertainty=True)
    same(values, expit(1.0))  # averaged as logits
    same(std, (((expit(logits) - expit(1.0)) ** 2).sum() / 2) ** 0.5)
    values, std = trained.get_translated(mdata, "rna", uncertainty=True)
    same(values, 1.0)
    same(std, (((np.maximum(logits, 0) - 1) ** 2).sum() / 2) ** 0.5)  # none is below zero


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_without_heads_there_is_no_uncertainty(headless, data, to):
    values, std = headless.get_translated(data, to, uncertainty=True)
    assert np.array_equal(values, headless.get_translated(data, to))
    assert std.shape == values.shape and not std.any()


@pytest.mark.parametrize("to", ["atac", "rna"])
@pytest.mark.parametrize("batch_size", [1, 50])
def test_uncertainty_of_some_cells_and_features(trained, data, to, batch_size):
    whole = trained.get_translated(data, to, uncertainty=True)
    cells, columns = [9, -1, 9, 40], [5, 0, 33]
    found = trained.get_translated(
        data,
        to,
        features=trained.spec.features[to][columns],
        indices=cells,
        batch_size=batch_size,
        uncertainty=True,
    )
    for part, expected in zip(found, whole, strict=True):
        same(part, expected[cells][:, columns])
    none = trained.get_translated(data, to, indices=[], uncertainty=True)
    assert [part.shape for part in none] == [(0, whole[0].shape[1])] * 2


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_a_cell_that_heads_cannot_read_is_left_to_the_decoder(trained, make_unseen, to):
    mosaic = make_unseen(missing={SOURCE[to]: 0.3})
    lacks = ~has(mosaic, SOURCE[to])
    assert 0 < lacks.sum() < 120
    values, std = trained.get_translated(mosaic, to, uncertainty=True, depth="mean")
    assert np.isfinite(values).all() and np.isfinite(std).all()
    z = torch.from_numpy(trained.get_latent_representation(mosaic))
    with torch.no_grad():
        alone = trained.module.decoder(to)(z)
    alone = (alone.sigmoid() if to == "atac" else alone.clamp_min(0)).numpy()
    same(values[lacks], alone[lacks])
    assert (np.abs(values - alone).max(1) > 1e-4)[~lacks].all()


def test_a_spread_result_needs_twice_the_memory(trained, mdata, monkeypatch, refuses):
    needed = 2 * 120 * 200 * 4
    available = namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available(needed - 1))
    with refuses(MemoryError, "120 cells x 200 features"):
        trained.get_translated(mdata, uncertainty=True)
    assert np.isfinite(trained.get_translated(mdata)).all()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available(needed))
    assert len(trained.get_translated(mdata, uncertainty=True)) == 2


# -- depth


def test_more_depth_opens_more_peaks(trained, data):
    shallow, middle, deep = (trained.get_translated(data, depth=d) for d in (20, 100, 1000))
    assert (shallow <= middle + 1e-7).all() and (middle <= deep + 1e-7).all()
    assert shallow.mean() < middle.mean() - 0.02 < deep.mean() - 0.04


def test_the_mean_depth_is_that_of_the_training_cells(trained, data, mdata):
    n_open = np.diff(mdata["atac"].X.indptr)[trained.train_indices_]
    geometric = np.expm1(np.log1p(n_open).mean())
    same(trained.get_translated(data, depth="mean"), trained.get_translated(data, depth=geometric))


def test_the_predicted_depth_depends_on_the_cell(trained, mdata):
    predicted, mean = (trained.get_translated(mdata["rna"], depth=d) for d in ("predicted", "mean"))
    same(trained.get_translated(mdata["rna"]), predicted)
    assert np.abs(predicted - mean).max() > 1e-4
    # Cells without RNA have no prediction: the mean
    cells = mdata["atac"]
    same(trained.get_translated(cells), trained.get_translated(cells, depth="mean"))


def test_a_share_of_the_predicted_depth_is_spoken_at(saved, mdata):
    model, cells = scmomer.load(saved), mdata["rna"]

    def speak(share: float) -> np.ndarray:
        module = model.module
        module.config = dataclasses.replace(module.config, depth_share=share)
        return model.get_translated(cells)

    mean = model.get_translated(cells, depth="mean")
    assert np.array_equal(speak(0.0), mean)
    whole, half = (logit(speak(share)) - logit(mean) for share in (1.0, 0.5))
    assert np.abs(whole).max() > 1e-2
    same(2 * half, whole, 1e-4)  # logits are linear in the depth
    assert np.array_equal(model.get_translated(cells, depth="mean"), mean)


@pytest.mark.parametrize("depth", ["deep", -1, np.nan, np.inf, True], ids=str)
def test_bad_depths_are_refused(trained, mdata, refuses, depth):
    with refuses(ValueError, "'predicted', 'mean' or a number", repr(depth)):
        trained.get_translated(mdata, depth=depth)


# -- batch


@pytest.mark.parametrize("to", ["atac", "rna"])
def test_a_known_batch_can_be_spoken_in(trained, data, to):
    average = trained.get_translated(data, to)
    first, second = (trained.get_translated(data, to, batch=b) for b in ("batch1", "batch2"))
    assert np.abs(first - second).max() > 1e-4
    if to == "atac":  # the average is one of logits
        first, second, average = (np.log(p / (1 - p)) for p in (first, second, average))
        same(average, (first + second) / 2, 1e-4)
    else:
        assert (average >= np.minimum(first, second) - 1e-5).all()
        assert (average <= np.maximum(first, second) + 1e-5).all()


def test_the_batch_of_the_query_does_not_matter(trained, mdata):
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
    with refuses(MemoryError, "120 cells x 200 features", " GB", "indices=", "features=", "path="):
        trained.get_translated(mdata)
    for smaller in ({"indices": range(119)}, {"features": mdata["atac"].var_names[1:]}):
        assert np.isfinite(trained.get_translated(mdata, **smaller)).all()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(needed))
    assert trained.get_translated(mdata).nbytes == needed


# -- an untrained model


@pytest.mark.parametrize("container", ["MuData", "AnnData"])
def test_an_untrained_model_refuses(make_model, mdata, refuses, container):
    model = make_model(mdata if container == "MuData" else mdata["rna"])
    parts = ("a trained model", "never trained", "model.train()", "scmomer.load")
    data = mdata if container == "MuData" else mdata["rna"]
    for call in (
        model.get_latent_representation,
        model.get_translated,
        lambda: model.get_latent_representation(data),
        lambda: model.get_translated(data, "rna"),
        lambda: scmomer.tl.embed(data, model),
        lambda: scmomer.tl.translate_atac(data, model),
        lambda: scmomer.tl.translate_rna(data, model),
    ):
        with refuses(RuntimeError, *parts):
            call()


def test_stages_that_the_data_need_are_named(make_model, train, mdata, refuses):
    model = make_model(mdata)
    train(model, stages=["rna", "atac"])
    for call in (model.get_latent_representation, model.get_translated):
        with refuses(RuntimeError, "'fusion'", "found ['rna', 'atac']", "train(resume=True)"):
            call()
    train(model, stages=["fusion"])
    assert np.isfinite(model.get_latent_representation(mdata)).all()  # paired: no bridge
    lacking = mdata["rna"], MuData({"atac": mdata["atac"]})
    for data in lacking:
        with refuses(RuntimeError, "'bridge'", "found ['rna', 'atac', 'fusion']", "['bridge']"):
            model.get_latent_representation(data)
    with refuses(RuntimeError, "'bridge'", "train(resume=True)"):
        model.get_translated(mdata)
    train(model, resume=True)
    assert model.stages_ == ("rna", "atac", "fusion", "bridge")
    for data in lacking:
        assert np.isfinite(model.get_latent_representation(data)).all()
