"""Heads, the further bridges of a modality: independent of each other, and what each reads."""

from __future__ import annotations

import pytest
import torch

from scmomer.module import SCMOMERModule

SOURCE = {"atac": "rna", "rna": "atac"}
N_FEATURES = {"rna": 30, "atac": 40}


@pytest.fixture(params=["atac", "rna"])
def to(request) -> str:
    """What is translated to."""
    return request.param


def head_embeddings(module: SCMOMERModule, source: str, cell, rows) -> torch.Tensor:
    return module.embed({source: rows}, {source: cell}, [source]).heads[source]


# -- parts


def test_heads_share_no_parameters(make_module):
    module = make_module(bridge_n_heads=3)
    heads = [head for source in ("rna", "atac") for head in module.heads_from(source)]
    assert len(heads) == 6
    own = [module.bridges_from(m)[0] for m in SOURCE]
    own += [*(module.modality(m).decoder for m in SOURCE), module.fusion]
    seen: set[int] = set()
    for part in (*heads, *own):
        storage = {p.data_ptr() for p in part.parameters() if p.numel()}
        assert storage and not storage & seen
        seen |= storage
    for source in ("rna", "atac"):
        one, *others = module.heads_from(source)
        weight = one.rest[-1].weight
        assert not any(torch.equal(weight, head.rest[-1].weight) for head in others)


def test_heads_decode_what_is_missing_and_expression(make_module):
    module = make_module(n_batches=2, bridge_n_heads=2)
    for head in module.heads_from("rna"):
        assert set(head.decoders) == {"rna", "atac"} and head.count_decoder is not None
    for head in module.heads_from("atac"):
        assert set(head.decoders) == {"rna"} and head.count_decoder is None
    assert len(module.all_decoders("rna")) == 1 + 2 + 2
    assert len(module.all_decoders("atac")) == 1 + 2
    bridges = [b for m in SOURCE for b in module.bridges_from(m)]
    assert sum(b.count_decoder is not None for b in bridges) == 1 + 2


def test_expression_is_rebuilt_by_heads_only_if_that_counts(make_module):
    module = make_module(bridge_n_heads=1, bridge_self_reconstruction=0.0, bridge_count_loss=0.0)
    (head,) = module.heads_from("rna")
    assert set(head.decoders) == {"atac"}
    assert all(b.count_decoder is None for b in module.bridges_from("rna"))


@pytest.mark.parametrize(
    "options", [{}, {"atac_depth_term": False, "rna_scale_genes": False}], ids=str
)
def test_decoders_of_first_heads_are_like_those_of_the_modality(make_module, options):
    module = make_module(n_batches=2, bridge_n_heads=1, **options)
    for m in ("rna", "atac"):
        own, *others = module.all_decoders(m)
        expected = {key: value.shape for key, value in own.state_dict().items()}
        for decoder in others:
            assert {k: v.shape for k, v in decoder.state_dict().items()} == expected


@pytest.mark.parametrize("n_heads", [1, 3])
def test_only_the_first_head_has_a_depth_term(make_module, n_heads):
    """A single head has one too, which it once lacked."""
    module = make_module(bridge_n_heads=n_heads)
    found = [head.decoder("atac").depth_slope is not None for head in module.heads_from("rna")]
    assert found == [True, False, False][:n_heads]


def test_a_model_can_do_without_heads(make_module, to):
    module = make_module(bridge_n_heads=0).eval()
    assert not any(key.startswith(f"bridges.{to}.1.") for key in module.state_dict())
    assert module.heads_from(to) == [] and len(module.bridges_from(to)) == 1
    assert [module.modality(to).decoder] == module.all_decoders(to)


@pytest.mark.parametrize("only", ["rna", "atac"])
def test_a_model_of_one_modality_has_no_heads(make_module, only):
    module = make_module(**{"n_peaks" if only == "rna" else "n_genes": 0})
    assert module.heads_from(only) == module.bridges_from(only) == []
    assert module.all_decoders(only) == [module.modality(only).decoder]
    assert not any(key.startswith("bridges.") for key in module.state_dict())


# -- what they read


@torch.no_grad()
def test_embeddings_of_heads(make_module, counts, sparse, to):
    module, source = make_module(bridge_n_heads=3).eval(), SOURCE[to]
    for parameter in module.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    rows, cell = sparse(counts(5, N_FEATURES[source], empty=(2,))), torch.randn(5, 8)
    found = head_embeddings(module, source, cell, rows)
    assert found.shape == (5, 3, 8) and found.isfinite().all()
    features = module.modality(source).normalize(rows)
    for k, head in enumerate(module.heads_from(source)):
        assert torch.equal(found[:, k], head(cell, features))
    assert torch.pdist(found[0]).min() > 1e-3


@torch.no_grad()
def test_embeddings_of_heads_come_only_when_asked_for(make_module, counts, sparse):
    module, rows = make_module().eval(), sparse(counts(5, 30))
    assert module.embed({"rna": rows}).heads == {}
    found = module.embed({"rna": rows}, heads_of=["rna", "atac"]).heads
    assert set(found) == {"rna"}  # nothing of what was not measured


@torch.no_grad()
@pytest.mark.parametrize("reads", ["auto", "features"])
def test_heads_of_rna_read_the_features_only(make_module, counts, sparse, reads):
    module = make_module(bridge_reads=reads).eval()
    one, two = sparse(counts(5, 30, seed=1)), sparse(counts(5, 30, seed=2))
    cell, other = torch.randn(5, 8), torch.randn(5, 8)
    start = head_embeddings(module, "rna", cell, one)
    assert torch.equal(head_embeddings(module, "rna", other, one), start)
    assert not torch.allclose(head_embeddings(module, "rna", cell, two), start)


@torch.no_grad()
@pytest.mark.parametrize(("reads", "part"), [("auto", "embedding"), ("features", "features")])
def test_heads_of_atac_read_the_embedding_or_the_peaks(make_module, counts, sparse, reads, part):
    module = make_module(bridge_reads=reads).eval()
    one, two = sparse(counts(5, 40, seed=1)), sparse(counts(5, 40, seed=2))
    cell, other = torch.randn(5, 8), torch.randn(5, 8)
    start = head_embeddings(module, "atac", cell, one)
    assert torch.equal(head_embeddings(module, "atac", cell, two), start) == (part == "embedding")
    assert torch.equal(head_embeddings(module, "atac", other, one), start) == (part == "features")
