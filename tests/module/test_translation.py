"""Translation heads: independent of each other, and what each of them reads and says."""

from __future__ import annotations

import pytest
import torch

from scmomer.inference._translation import head_embeddings, opinions
from scmomer.module import SCMOMERModule

SOURCE = {"atac": "rna", "rna": "atac"}
N_FEATURES = {"rna": 30, "atac": 40}


@pytest.fixture
def module(make_module) -> SCMOMERModule:
    """An untrained network with three heads in each direction, for two batches."""
    module = make_module(n_batches=2, bridge_n_heads=3).eval()
    for parameter in module.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.fixture(params=["atac", "rna"])
def to(request) -> str:
    """What is translated to."""
    return request.param


def say(module, to, z, heads, batch=None, depth=None, columns=slice(None)) -> list[torch.Tensor]:
    return list(opinions(module, to, z, heads, batch, depth, columns))


# -- parts


def test_heads_share_no_parameters(make_module):
    module = make_module(bridge_n_heads=3)
    heads = [head for source in ("rna", "atac") for head in module.heads_from(source)]
    assert len(heads) == 6
    own = [module.bridges, module.decoders, module.fusion, module.rate_decoder]
    seen: set[int] = set()
    for part in (*heads, *own):
        storage = {p.data_ptr() for p in part.parameters() if p.numel()}
        assert storage and not storage & seen
        seen |= storage
    for source in ("rna", "atac"):
        one, *others = module.heads_from(source)
        weight = one.bridge.rest[-1].weight
        assert not any(torch.equal(weight, head.bridge.rest[-1].weight) for head in others)


def test_heads_decode_what_is_missing_and_expression(make_module):
    module = make_module(n_batches=2, bridge_n_heads=2)
    for head in module.heads_from("rna"):
        assert set(head.decoders) == {"rna", "atac"} and head.rates is not None
    for head in module.heads_from("atac"):
        assert set(head.decoders) == {"rna"} and head.rates is None
    assert len(module.decoders_of("rna")) == 1 + 2 + 2
    assert len(module.decoders_of("atac")) == 1 + 2
    assert len(module.rates()) == 1 + 2


def test_decoders_of_heads_are_like_those_of_the_model(make_module):
    for options in ({"depth_free_heads": 0}, {"atac_depth_term": False, "rna_scale_genes": False}):
        module = make_module(n_batches=2, bridge_n_heads=1, **options)
        for m in ("rna", "atac"):
            own, *others = module.decoders_of(m)
            expected = {key: value.shape for key, value in own.state_dict().items()}
            for decoder in others:
                assert {k: v.shape for k, v in decoder.state_dict().items()} == expected


def test_a_model_can_do_without_heads(make_module, counts, sparse, to):
    module = make_module(bridge_n_heads=0).eval()
    assert not any(key.startswith("heads.") for key in module.state_dict())
    assert module.heads_from("rna") == module.heads_from("atac") == []
    assert [module.decoder(to)] == module.decoders_of(to)
    z = torch.randn(5, 8)
    (only,) = say(module, to, z, {})
    assert torch.equal(only, module.decoder(to)(z))


@pytest.mark.parametrize("only", ["rna", "atac"])
def test_a_model_of_one_modality_has_no_heads(make_module, only):
    module = make_module(**{"n_peaks" if only == "rna" else "n_genes": 0})
    assert module.heads_from(only) == module.rates() == []
    assert module.decoders_of(only) == [module.decoder(only)]
    assert not any(key.startswith(("heads.", "rate_")) for key in module.state_dict())


# -- what they read


@torch.no_grad()
def test_embeddings_of_heads(module, counts, sparse, to):
    source = SOURCE[to]
    rows, cell = sparse(counts(5, N_FEATURES[source], empty=(2,))), torch.randn(5, 8)
    found = head_embeddings(module, source, cell, rows)
    assert found.shape == (5, 3, 8) and found.isfinite().all()
    features = module.normalize(source, rows)
    for k, head in enumerate(module.heads_from(source)):
        assert torch.equal(found[:, k], head.bridge(cell, features))
    assert torch.pdist(found[0]).min() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("bridge_input", ["both", "embedding", "expression"])
def test_heads_of_rna_read_the_features_only(make_module, counts, sparse, bridge_input):
    module = make_module(bridge_input=bridge_input).eval()
    one, two = sparse(counts(5, 30, seed=1)), sparse(counts(5, 30, seed=2))
    cell, other = torch.randn(5, 8), torch.randn(5, 8)
    start = head_embeddings(module, "rna", cell, one)
    assert torch.equal(head_embeddings(module, "rna", other, one), start)
    assert not torch.allclose(head_embeddings(module, "rna", cell, two), start)


@torch.no_grad()
def test_heads_of_atac_read_the_embedding(make_module, counts, sparse):
    module = make_module().eval()
    one, two = sparse(counts(5, 40, seed=1)), sparse(counts(5, 40, seed=2))
    cell, other = torch.randn(5, 8), torch.randn(5, 8)
    start = head_embeddings(module, "atac", cell, one)
    assert torch.equal(head_embeddings(module, "atac", cell, two), start)
    assert not torch.allclose(head_embeddings(module, "atac", other, one), start)


# -- what they say


@torch.no_grad()
@pytest.mark.parametrize("columns", [slice(None), torch.tensor([4, 0, 17])], ids=["all", "few"])
def test_opinions_are_the_decoders_and_then_those_of_the_heads(module, to, columns):
    z, heads = torch.randn(5, 8), torch.randn(5, 3, 8)
    batch, depth = torch.tensor([0, 1, -1, 0, 1]), torch.randn(5)
    first, *others = say(module, to, z, {SOURCE[to]: heads}, batch, depth, columns)
    torch.testing.assert_close(first, module.decoder(to)(z, batch, depth, columns))
    assert len(others) == 3
    for k, (head, found) in enumerate(zip(module.heads_from(SOURCE[to]), others, strict=True)):
        expected = head.decoder(to)(heads[:, k], batch, depth)[:, columns]
        torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_heads_that_see_no_depth_speak_at_their_own_only(make_module):
    module = make_module(bridge_n_heads=3, depth_free_heads=2).eval()
    told = [head.decoder("atac").depth_slope is not None for head in module.heads_from("rna")]
    assert told == [True, False, False]
    z, heads = torch.randn(5, 8), {"rna": torch.randn(5, 3, 8)}
    shallow, deep = (
        list(opinions(module, "atac", z, heads, None, torch.full((5,), d), slice(None)))
        for d in (-1.0, 1.0)
    )
    moved = [not torch.equal(one, two) for one, two in zip(shallow, deep, strict=True)]
    assert moved == [True, True, False, False]
    kept = list(opinions(module, "atac", z, heads, None, torch.ones(5), slice(None), False))
    assert len(kept) == 2 and all(map(torch.equal, kept, deep[:2]))
    into_rna = opinions(module, "rna", z, {"atac": heads["rna"]}, None, None, slice(None), False)
    assert len(list(into_rna)) == 4  # expression has no depth to speak at


@torch.no_grad()
def test_without_a_depth_term_all_heads_speak_at_any_depth(make_module):
    module = make_module(bridge_n_heads=3, atac_depth_term=False).eval()
    z, heads = torch.randn(5, 8), {"rna": torch.randn(5, 3, 8)}
    assert len(list(opinions(module, "atac", z, heads, None, None, slice(None), False))) == 4


@torch.no_grad()
def test_without_embeddings_of_heads_only_the_decoder_speaks(module, to):
    z = torch.randn(5, 8)
    (only,) = say(module, to, z, {})
    assert torch.equal(only, module.decoder(to)(z))


@torch.no_grad()
def test_a_head_that_cannot_read_a_cell_says_nothing_of_it(module, to):
    z, heads = torch.randn(5, 8), torch.randn(5, 3, 8)
    complete = say(module, to, z, {SOURCE[to]: heads})
    heads[[1, 4]] = torch.nan  # cells that lack what is read
    first, *others = say(module, to, z, {SOURCE[to]: heads})
    assert first.isfinite().all()
    for found, expected in zip(others, complete[1:], strict=True):
        assert found[[1, 4]].isnan().all()
        assert torch.equal(found[[0, 2, 3]], expected[[0, 2, 3]])
