"""Decoding: the modality's decoder and those of the heads, averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmomer.inference import Embeddings, Inference, _inference
from scmomer.module import SCMOMERModule

SOURCE = {"atac": "rna", "rna": "atac"}
N = 5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(params=["atac", "rna"])
def to(request) -> str:
    """What is translated to."""
    return request.param


@pytest.fixture
def network(make_module):
    """Makes an untrained network with random weights, for two batches, three heads a direction."""

    def make(**options) -> SCMOMERModule:
        module = make_module(n_batches=2, **{"bridge_n_heads": 3, **options}).eval()
        for parameter in module.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
        return module

    return make


def draw(to: str, with_heads: bool = True) -> Embeddings:
    """Random embeddings of cells, as an embedding run returns them."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, 8)).astype(np.float32)
    heads = {SOURCE[to]: rng.normal(size=(N, 3, 8)).astype(np.float32)} if with_heads else {}
    return Embeddings(z, z, {}, {}, heads)


@pytest.fixture
def decode(make_cells):
    """Decodes all cells: result and spread."""

    def run(module, to, embeddings, depth=None, batch=None, **options):
        inference = Inference(module, make_cells(N))
        depth = None if depth is None else np.full(N, depth, np.float32)
        return inference.decode(to, embeddings, slice(None), depth, batch, **options)

    return run


@torch.no_grad()
def predictions(module, to, embeddings, depth=None, batch=None, own=False) -> torch.Tensor:
    """Values or logits of the decoder and of each head, ``(1 + n_heads, n, n_features)``.

    With their `own` effects of depth only, otherwise heads without one have the others' mean.
    """
    codes = None if batch is None else torch.full((N,), batch)
    depth = None if depth is None else torch.full((N,), depth)
    first = module.modality(to).decoder(torch.from_numpy(embeddings.z), codes, depth)
    heads = embeddings.heads.get(SOURCE[to])
    if heads is None:
        return first[None]
    z = torch.from_numpy(heads)
    decoders = [head.decoder(to) for head in module.heads_from(SOURCE[to])]
    others = [decoder(z[:, k], codes, depth) for k, decoder in enumerate(decoders)]
    every = [module.modality(to).decoder, *decoders]
    slopes = [d.depth_slope[:, 0] for d in every if d.sees_depth]
    if depth is not None and slopes and not own:
        common = depth[:, None] * torch.stack(slopes).mean(0)
        others = [v if d.sees_depth else v + common for v, d in zip(others, decoders, strict=True)]
    return torch.stack([first, *others])


def averaged(module, to, values: torch.Tensor) -> torch.Tensor:
    return module.modality(to).to_output(values.mean(0))


@pytest.mark.parametrize("columns", [None, np.array([4, 0, 17])], ids=["all", "few"])
@pytest.mark.parametrize("batch", [None, 1])
def test_logits_and_expression_are_averaged_over_heads(network, decode, to, columns, batch):
    module, found = network(), draw(to)
    values, spread = decode(module, to, found, 0.7, batch, columns=columns)
    every = predictions(module, to, found, 0.7, batch)
    assert len(every) == 4 and spread is None and values.dtype == np.float32
    wanted = slice(None) if columns is None else columns
    np.testing.assert_allclose(values, averaged(module, to, every)[:, wanted], **CLOSE)


def test_the_spread_is_the_deviation_of_single_predictions(network, decode, to):
    module, found = network(), draw(to)
    plain, _ = decode(module, to, found)
    values, spread = decode(module, to, found, spread=True)
    np.testing.assert_array_equal(values, plain)
    outputs = module.modality(to).to_output(predictions(module, to, found))
    expected = ((outputs - torch.from_numpy(values)).square().sum(0) / 3).sqrt()
    np.testing.assert_allclose(spread, expected, **CLOSE)
    assert spread.max() > 0.01


def test_heads_without_a_depth_term_take_the_mean_of_those_of_others(network, decode):
    module, found = network(), draw("atac")
    shallow, deep = (predictions(module, "atac", found, d, own=True) for d in (-1.0, 1.0))
    moved = [not torch.equal(one, two) for one, two in zip(shallow, deep, strict=True)]
    assert moved == [True, True, False, False]
    effect = sum(two - one for one, two in zip(shallow[:2], deep[:2], strict=True)) / 4
    expected = torch.stack([*deep[:2], *(values + effect for values in deep[2:])])
    values, _ = decode(module, "atac", found, 1.0)
    np.testing.assert_allclose(values, averaged(module, "atac", expected), **CLOSE)
    some = decode(module, "atac", found, 1.0, columns=np.array([3, 1]))[0]
    np.testing.assert_allclose(some, values[:, [3, 1]], **CLOSE)
    values, _ = decode(module, "atac", found, 1.0, use_depth_free=False)
    np.testing.assert_allclose(values, averaged(module, "atac", deep[:2]), **CLOSE)


def test_no_head_is_left_out_where_nothing_has_a_depth_term(network, decode, to):
    """Expression never has one; accessibility has none on demand."""
    module, found = network(atac_depth_term=False), draw(to)
    values, _ = decode(module, to, found, 1.0, use_depth_free=False)
    every = predictions(module, to, found, 1.0)
    assert len(every) == 4
    np.testing.assert_allclose(values, averaged(module, to, every), **CLOSE)


def test_expression_has_no_depth_to_ask_for(network, decode):
    module, found = network(), draw("rna")
    values, _ = decode(module, "rna", found, use_depth_free=False)
    np.testing.assert_array_equal(values, decode(module, "rna", found)[0])


def test_without_heads_only_the_decoder_counts(network, decode, to):
    found = draw(to, with_heads=False)
    for module in (network(), network(bridge_n_heads=0)):
        values, spread = decode(module, to, found, spread=True)
        expected = averaged(module, to, predictions(module, to, found))
        np.testing.assert_allclose(values, expected, **CLOSE)
        assert spread.shape == values.shape and not spread.any()


def test_a_head_that_cannot_read_a_cell_is_left_out_of_it(network, decode, to):
    module, found = network(), draw(to)
    complete = decode(module, to, found, spread=True)
    lacks = [1, 4]  # cells without the modality that heads read
    found.heads[SOURCE[to]][lacks] = np.nan
    values, spread = decode(module, to, found, spread=True)
    assert np.isfinite(values).all() and np.isfinite(spread).all()
    alone = averaged(module, to, predictions(module, to, found)[:1])
    np.testing.assert_allclose(values[lacks], alone[lacks], **CLOSE)
    assert not spread[lacks].any()
    for part, expected in zip((values, spread), complete, strict=True):
        np.testing.assert_allclose(part[[0, 2, 3]], expected[[0, 2, 3]], **CLOSE)


# -- a GPU that is too small


class SmallMemory:
    """A function that runs out of memory with more than so many cells."""

    def __init__(self, function, most: int, count):
        self.function, self.most, self.count, self.sizes = function, most, count, []

    def __call__(self, *args, **kwargs):
        size = self.count(*args)
        if size > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes.append(size)
        return self.function(*args, **kwargs)


def test_embedding_goes_on_with_fewer_cells(network, make_cells, monkeypatch):
    module, cells = network(), make_cells()
    expected = Inference(module, cells, batch_size=32).embed(to="atac")
    small = SmallMemory(module.embed, 9, lambda counts, *args: counts["rna"].n_rows)
    monkeypatch.setattr(module, "embed", small)
    with pytest.warns(UserWarning, match=r"with 32 cells at a time\. It goes on with 16"):
        found = Inference(module, cells, batch_size=32).embed(to="atac")
    np.testing.assert_allclose(found.z, expected.z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.latent, expected.latent, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.heads["rna"], expected.heads["rna"], rtol=1e-4, atol=1e-5)
    assert set(small.sizes) <= {8, cells.n_cells % 8} and sum(small.sizes) == cells.n_cells


def test_cells_that_are_done_are_not_embedded_again(network, make_cells, monkeypatch):
    module, cells = network(), make_cells()
    small, calls = SmallMemory(module.embed, 99, lambda counts, *args: counts["rna"].n_rows), []

    def once_full(counts, *args):
        calls.append(1)
        small.most = 8 if len(calls) > 1 else 99
        return small(counts, *args)

    expected = Inference(module, cells, batch_size=16).embed().z
    monkeypatch.setattr(module, "embed", once_full)
    with pytest.warns(UserWarning, match="goes on with 8"):
        found = Inference(module, cells, batch_size=16).embed().z
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert small.sizes[0] == 16 and sum(small.sizes) == cells.n_cells


def test_encoding_goes_on_with_fewer_cells(network, make_cells, monkeypatch):
    module, cells = network(), make_cells()
    expected = Inference(module, cells, batch_size=16).encode("rna")
    encoder = module.modality("rna").encoder
    monkeypatch.setattr(
        encoder, "forward", SmallMemory(encoder.forward, 8, lambda rows: rows.n_rows)
    )
    with pytest.warns(UserWarning, match="goes on with 8"):
        found = Inference(module, cells, batch_size=16).encode("rna")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spread", [False, True])
def test_decoding_goes_on_with_fewer_cells(network, decode, to, spread, monkeypatch):
    module, embeddings = network(), draw(to)
    values, deviation = decode(module, to, embeddings, depth=0.3, batch=1, spread=spread)
    decoder = module.modality(to).decoder
    small = SmallMemory(decoder.forward, 1, lambda z, *args: len(z))
    monkeypatch.setattr(decoder, "forward", small)
    with pytest.warns(UserWarning, match="with 5 cells at a time. It goes on with 2"):
        found, apart = decode(module, to, embeddings, depth=0.3, batch=1, spread=spread)
    np.testing.assert_allclose(found, values, **CLOSE)
    assert (apart is None) == (not spread)
    if spread:
        np.testing.assert_allclose(apart, deviation, **CLOSE)
    assert small.sizes == [1] * N


def test_a_cell_that_does_not_fit_says_what_to_do(
    network, decode, make_cells, monkeypatch, refuses
):
    module = network()
    monkeypatch.setattr(module, "embed", SmallMemory(module.embed, 0, lambda *args: 1))
    advice = ("one cell at a time", "GB free", "model.to_device('cpu')")
    with refuses(torch.OutOfMemoryError, *advice):
        Inference(module, make_cells(3), batch_size=1).embed()


def test_cells_at_a_time_come_from_the_memory_of_a_gpu(network, make_cells, monkeypatch):
    module, cells = network(), make_cells()
    everything, chosen = np.arange(cells.n_cells), ("rna", "atac")
    longest = cells.lengths("rna").max()
    per_cell = longest * module.modality("rna").encoder.bytes_per_token()

    def found(free: float, batch_size: int | None = None) -> int:
        monkeypatch.setattr(_inference, "free_memory", lambda device: free)
        return Inference(module, cells, None, batch_size)._cells_at_a_time(everything, chosen)

    assert found(1e12) == 128  # on a CPU
    monkeypatch.setattr(Inference, "device", torch.device("cuda:0"))
    assert found(1e12) == 1024
    assert found(1e12, 7) == 7
    assert found(100 * per_cell) == 80
    assert found(100 * per_cell, 7) == 7
    assert found(0) == 1
    monkeypatch.setattr(_inference, "_TOKENS_ON_GPU", 10 * longest)
    assert found(1e12) == 10
