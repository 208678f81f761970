"""Embeddings as arrays, and the errors of an untrained model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer.inference import _inference

ALL = ("joint", "rna", "atac")


def test_shapes(trained, data):
    parts = {m: trained.get_latent_representation(data, modality=m) for m in ALL}
    for z in parts.values():
        assert z.shape == (120, 8) and z.dtype == np.float32 and np.isfinite(z).all()
        assert z.std(0).min() > 1e-4  # cells differ
    assert len({z.tobytes() for z in parts.values()}) == 3


def test_without_data_the_registered_cells_are_meant(trained, mdata, same):
    same(trained.get_latent_representation(), trained.get_latent_representation(mdata))
    same(trained.get_translated(), trained.get_translated(mdata))


def test_the_embedding_of_a_modality_is_its_own(trained, mdata, same):
    """A measured modality does not look at the other one."""
    for name in ("rna", "atac"):
        both = trained.get_latent_representation(mdata, modality=name)
        alone = trained.get_latent_representation(mdata[name], modality=name)
        same(both, alone)


def test_an_unknown_modality_is_refused(trained, data, refuses):
    with refuses(ValueError, "['joint', 'rna', 'atac', 'protein']", "'methylation'"):
        trained.get_latent_representation(data, modality="methylation")
    with refuses(ValueError, "'protein'", "['rna', 'atac']"):
        trained.get_latent_representation(data, modality="protein")


def test_many_tokens_are_read_a_few_cells_at_a_time(trained, mdata, monkeypatch, same):
    expected = trained.get_latent_representation(mdata)
    sizes = []
    encode = trained.module.rna.encoder.forward
    monkeypatch.setattr(
        trained.module.rna.encoder,
        "forward",
        lambda rows: sizes.append(rows.n_rows * int(rows.lengths.max())) or encode(rows),
    )
    monkeypatch.setattr(_inference, "_TOKENS_AT_ONCE", 100)
    same(trained.get_latent_representation(mdata), expected)
    assert len(sizes) > 10 and max(sizes) <= 100


def test_bfloat16_on_request_keeps_to_its_tolerance(trained, mdata):
    results = {
        "embedding": lambda: trained.get_latent_representation(mdata),
        "translation": lambda: trained.get_translated(mdata["rna"]),
    }
    for get in results.values():
        expected = get()
        with torch.autocast("cpu", torch.bfloat16):
            found = get()
        assert found.dtype == np.float32
        # 1.1 % here, in networks of 8 columns; 0.3 % in those of the small size.
        assert 0 < np.sqrt(np.square(found - expected).mean()) < 0.02 * expected.std()


@pytest.mark.parametrize(
    ("modality", "batch_size"), [("joint", 1), ("joint", 119), ("rna", 7), ("atac", 7)]
)
def test_batch_size_does_not_matter(trained, data, modality, batch_size, same):
    expected = trained.get_latent_representation(data, modality=modality)
    found = trained.get_latent_representation(data, modality=modality, batch_size=batch_size)
    same(found, expected)


@pytest.mark.parametrize("modality", ALL)
def test_order_and_companions_do_not_matter(trained, data, modality, same):
    expected = trained.get_latent_representation(data, modality=modality)
    order = np.random.default_rng(0).permutation(120)
    with keep_obs():  # else MuData reorders a mosaic
        shuffled, few = data[order].copy(), data[[3, 50, 51]].copy()
    same(trained.get_latent_representation(shuffled, modality=modality), expected[order])
    same(trained.get_latent_representation(few, modality=modality), expected[[3, 50, 51]])


def test_the_longest_cell_is_no_companion_either(trained, make_unseen, same):
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
def test_indices(trained, data, indices, same):
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


# -- an untrained model


@pytest.mark.parametrize("container", ["MuData", "AnnData"])
def test_an_untrained_model_refuses(make_model, mdata, refuses, container):
    model = make_model(mdata if container == "MuData" else mdata["rna"])
    parts = ("never trained", "model.train()", "scmomer.load")
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
