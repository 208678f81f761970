"""Performer: performer-pytorch's names, parameters and results."""

from __future__ import annotations

import pytest
import torch
from performer_pytorch import PerformerLM

from scmomer.module import RNAConfig, get_config
from scmomer.module.modalities.rna._performer import Performer
from scmomer.module.modalities.rna._tokens import ExpressionTokens

N_GENES = 23


def all_tokens(bins: torch.Tensor) -> ExpressionTokens:
    """One token for every gene."""
    genes = torch.arange(bins.shape[1]).expand_as(bins)
    return ExpressionTokens(genes, bins, bins.float(), torch.ones_like(bins, dtype=torch.bool))


@pytest.fixture(params=[(18, 1, 3, 8, 4), (16, 3, 2, 16, 2)], ids=["shallow", "deep"])
def pair(request) -> tuple[Performer, PerformerLM]:
    """Our network and performer-pytorch's, with the same weights."""
    dim, depth, heads, dim_head, ff_mult = request.param
    torch.manual_seed(0)
    ours = Performer(
        N_GENES,
        RNAConfig(dim=dim, n_layers=depth, n_heads=heads, dim_head=dim_head, ff_mult=ff_mult),
    )
    theirs = PerformerLM(
        num_tokens=7,
        max_seq_len=N_GENES + 1,
        dim=dim,
        depth=depth,
        heads=heads,
        dim_head=dim_head,
        ff_mult=ff_mult,
        attn_out_bias=True,  # as in the copy of performer-pytorch that scBERT was trained with
        rotary_position_emb=False,
    )
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not unexpected
    # The updater counts redraws and holds the layers a second time.
    assert all(name.startswith("performer.proj_updater.") for name in missing)
    return ours.eval(), theirs.eval()


def test_equals_performer_pytorch(pair):
    ours, theirs = pair
    bins = torch.randint(0, 7, (1, N_GENES))
    hidden = ours(all_tokens(bins))
    torch.testing.assert_close(hidden, theirs(bins, return_encodings=True), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.to_out(hidden), theirs(bins), rtol=1e-4, atol=1e-5)


def test_gradients_equal_performer_pytorch(pair):
    ours, theirs = pair
    bins = torch.randint(0, 7, (1, N_GENES))
    ours.to_out(ours(all_tokens(bins))).square().mean().backward()
    theirs(bins).square().mean().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-5)


def test_order_of_tokens_does_not_matter(pair):
    ours, _ = pair
    tokens = all_tokens(torch.randint(0, 7, (2, N_GENES)))
    order = torch.randperm(N_GENES)
    shuffled = ExpressionTokens(*(part[:, order] for part in tokens[:4]))
    torch.testing.assert_close(ours(shuffled), ours(tokens)[:, order], rtol=1e-4, atol=1e-5)


def test_bin_loss_reads_only_chosen_tokens(pair):
    ours, _ = pair
    hidden = torch.randn(2, N_GENES, ours.norm.normalized_shape[0], requires_grad=True)
    bins = torch.randint(0, 6, (2, N_GENES))
    chosen = torch.rand(2, N_GENES) < 0.3
    ours.bin_loss(hidden, bins, chosen).backward()
    assert ((hidden.grad != 0).any(-1) == chosen).all()
    nothing = ours.bin_loss(hidden, bins, torch.zeros_like(chosen))
    assert nothing == 0


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of scBERT's ``panglao_pretrain.pth`` without its redraw counter."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_emb.weight": (7, 200),
        "pos_emb.emb.weight": (16907, 200),
        "norm.weight": (200,),
        "norm.bias": (200,),
        "to_out.weight": (7, 200),
        "to_out.bias": (7,),
    }
    for i in range(6):
        layer = f"performer.net.layers.{i}"
        shapes |= {f"{layer}.{j}.norm.{k}": (200,) for j in (0, 1) for k in ("weight", "bias")}
        shapes |= {f"{layer}.0.fn.to_{k}.weight": (640, 200) for k in "qkv"}
        shapes |= {
            f"{layer}.0.fn.fast_attention.projection_matrix": (266, 64),
            f"{layer}.0.fn.to_out.weight": (200, 640),
            f"{layer}.0.fn.to_out.bias": (200,),
            f"{layer}.1.fn.fn.w1.weight": (800, 200),
            f"{layer}.1.fn.fn.w1.bias": (800,),
            f"{layer}.1.fn.fn.w2.weight": (200, 800),
            f"{layer}.1.fn.fn.w2.bias": (200,),
        }
    return shapes


def test_paper_size_has_the_published_parameters():
    with torch.device("meta"):
        performer = Performer(16906, get_config("paper").modalities["rna"])
    shapes = {name: tuple(t.shape) for name, t in performer.state_dict().items()}
    assert shapes == published_shapes()
    assert len(shapes) == 90  # published: 91 with performer.calls_since_last_redraw
    layers = performer.performer.net.layers
    assert {sum(p.numel() for p in layer.parameters()) for layer in layers} == {834_000}
    trained = sum(p.numel() for p in performer.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in performer.parameters() if not p.requires_grad)
    assert (trained, frozen) == (5_007_207, 3_381_400)
    assert sum(b.numel() for b in performer.buffers()) == 102_144
