"""Losses of the stages: negatives, finite values, what each stage moves, learning."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.module import SCMOMERModule
from scmomer.nn import CellBatch
from scmomer.nn import to_dense
from scmomer.train._objectives import (
    OBJECTIVES,
    negatives,
    pair_matching,
    reconstruction,
    stage_loss,
)

CPU = torch.device("cpu")
STAGES = ("rna", "atac", "fusion", "bridge")
KINDS = {
    "small": {},
    "paper-like": {
        "tokens": "all",
        "binning": "log2",
        "rna_value_skip": False,
        "rna_frozen_positions": True,
        "atac_patch_weights": "shared",
        "atac_peak_skip": False,
        "latent_norm": "layer",
        "bridge_input": "expression",
        "atac_depth_term": False,
    },
    "mlp": {"rna_encoder": "mlp", "atac_encoder": "mlp", "bridge_input": "embedding"},
    "other": {"rna_attention": "softmax"},
}
# Tokens are predicted in stage 1 only; positions may be frozen.
STAGE_ONE_HEADS = (
    "encoders.rna.model.to_out.",
    "encoders.atac.decoder_pred.",
    "encoders.atac.mask_token",
)


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def module(request, make_module) -> SCMOMERModule:
    """An untrained network for two batches."""
    return make_module(n_batches=2, **request.param)


@pytest.fixture
def paired(counts, sparse):
    """Builds a minibatch of paired cells of two types; those in `empty` have no counts."""

    def make(n: int = 24, empty=(), module: SCMOMERModule | None = None) -> CellBatch:
        rna, atac = counts(n, 30, empty=empty), counts(n, 40, seed=1, empty=empty)
        rna[: n // 2, :10] *= 5  # one type is high in some genes and closed in some peaks
        atac[: n // 2, :20] = 0
        tensors = CellBatch(rna=sparse(rna), atac=sparse(atac), batch=torch.arange(n) % 2)
        if module is not None:
            with torch.no_grad():
                tensors["z_rna"] = module.encode("rna", tensors["rna"]).cell
                tensors["z_atac"] = module.encode("atac", tensors["atac"]).cell
        return tensors

    return make


# -- false pairs


@pytest.mark.parametrize("n", [2, 3, 10])
def test_negatives_never_pair_a_cell_with_itself(n):
    for seed in range(20):
        torch.manual_seed(seed)
        pairs = negatives(None, n, n, CPU)
        assert pairs.shape == (2, n)
        assert (pairs[0] != pairs[1]).all()
        assert pairs[0].sort()[0].tolist() == pairs[1].sort()[0].tolist() == list(range(n))


@pytest.mark.parametrize("n_wanted", [0, 3, 9])
def test_negatives_give_the_wanted_number(n_wanted):
    assert negatives(None, 10, n_wanted, CPU).shape == (2, n_wanted)


def test_negatives_respect_labels():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    found = []
    for seed in range(20):
        torch.manual_seed(seed)
        pairs = negatives(labels, 7, 5, CPU)
        assert (labels[pairs[0]] != labels[pairs[1]]).all() and pairs.shape[1] <= 5
        found.append(pairs.shape[1])
    assert max(found) > 2
    assert negatives(torch.zeros(7), 7, 5, CPU).shape == (2, 0)


@pytest.mark.parametrize("n", [0, 1])
def test_no_negatives_without_two_cells(n):
    assert negatives(None, n, n, CPU).shape == (2, 0)
    assert negatives(torch.zeros(n), n, n, CPU).shape == (2, 0)


def test_pair_matching_tells_real_from_false_pairs(make_module):
    """With a discriminator that knows, the loss is small; with one that errs, large."""
    module = make_module(discriminator_weight=1.0)
    z_rna = 10 * torch.eye(8)
    z_atac = z_rna.clone()
    module.fusion.forward = lambda rna, atac: (rna * atac).sum(1, keepdim=True)  # 100 or 0
    z = module.fusion(z_rna, z_atac)
    module.discriminator.forward = lambda z: torch.cat([z - 50, 50 - z], 1)
    embedded = {"rna": z_rna, "atac": z_atac}
    assert pair_matching(module, embedded, z, None) < 1e-3
    module.discriminator.forward = lambda z: torch.cat([50 - z, z - 50], 1)
    assert pair_matching(module, embedded, z, None) > 10


# -- reconstruction


def test_reconstruction_of_rna_is_the_weighted_error(make_module, paired):
    module = make_module(n_batches=2).eval()
    torch.nn.init.uniform_(module.gene_weight, 0.1, 0.3)
    module.baseline[0] = 3.0
    tensors, z = paired(), torch.randn(24, 8)
    target = to_dense(module.normalize("rna", tensors["rna"]), 30)
    predicted = module.decoder("rna")(z, tensors["batch"])
    expected = ((predicted - target).square() * module.gene_weight).sum(1).mean() / 3
    torch.testing.assert_close(reconstruction(module, "rna", z, tensors), expected)


def test_a_gene_far_from_its_spread_counts_as_ten_deviations(make_module, paired):
    module = make_module().eval()
    module.gene_weight.fill_(100.0)  # a spread of 0.1
    tensors, z = paired(), torch.randn(24, 8)
    target = to_dense(module.normalize("rna", tensors["rna"]), 30)
    assert (target > 1).any()
    predicted = module.decoder("rna")(z)
    expected = ((predicted - target.clamp_max(1)).square() * 100).sum(1).mean()
    torch.testing.assert_close(reconstruction(module, "rna", z, tensors), expected)


def test_reconstruction_of_atac_is_the_cross_entropy_at_the_cells_depth(make_module, paired):
    module = make_module(n_batches=2, atac_pos_weight=4.0).eval()
    module.baseline[1] = 3.0
    tensors, z = paired(), torch.randn(24, 8)
    target = (to_dense(tensors["atac"], 40) > 0).float()
    logits = module.decoder("atac")(z, tensors["batch"], module.depth(tensors["atac"]))
    each = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=torch.tensor(4.0), reduction="none"
    )
    torch.testing.assert_close(
        reconstruction(module, "atac", z, tensors), each.sum(1).mean() / 3, rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_stage_two_rebuilds_from_the_fused_embedding(make_module, paired):
    module, tensors = make_module(n_batches=2).eval(), paired()
    z = module.inference(rna=tensors["rna"], atac=tensors["atac"])["z"]
    terms = OBJECTIVES["fusion"](module, tensors)
    for m in ("rna", "atac"):
        expected = reconstruction(module, m, z, tensors)
        torch.testing.assert_close(terms[f"{m}_reconstruction"], expected)


@torch.no_grad()
def test_stage_three_wants_the_missing_embedding_and_profile(make_module, paired):
    """Bridges that know the other embedding have no distance and rebuild as fusion does."""
    module = make_module(n_batches=2).eval()
    tensors = paired(module=module)
    before = OBJECTIVES["bridge"](module, tensors)
    assert before["distillation"] > 0.01
    z = {m: tensors[f"z_{m}"] for m in ("rna", "atac")}
    module.bridge = lambda source, cell, counts: z
    terms = OBJECTIVES["bridge"](module, tensors)
    assert terms["distillation"] == 0
    fused = module.fusion(z["rna"], z["atac"])
    for name, m in (("atac_from_rna", "atac"), ("rna_from_atac", "rna")):
        torch.testing.assert_close(terms[name], reconstruction(module, m, fused, tensors))
        assert not torch.allclose(terms[name], before[name], rtol=1e-6, atol=0)


# -- stages


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("empty", [(), (0, 5, 23), tuple(range(24))], ids=["none", "some", "all"])
def test_losses_and_gradients_are_finite(module, paired, stage, empty):
    loss, terms = stage_loss(module, stage, paired(empty=empty, module=module))
    assert loss.isfinite()
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("stage", STAGES)
def test_one_cell_is_enough(module, paired, stage):
    loss, terms = stage_loss(module, stage, paired(1, module=module))
    assert loss.isfinite() and terms


@pytest.mark.parametrize("stage", STAGES)
def test_terms_sum_to_the_loss(module, paired, stage):
    loss, terms = stage_loss(module, stage, paired(module=module))
    total = torch.stack(list(terms.values())).sum()
    torch.testing.assert_close(total, loss.detach())
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_moves_its_parameters_and_no_others(module, paired, stage):
    labels = torch.arange(24) % 3
    tensors = CellBatch(**paired(module=module), labels=labels)
    stage_loss(module, stage, tensors)[0].backward()
    moved = {name for name, p in module.named_parameters() if p.grad is not None}
    names = {id(p): name for name, p in module.named_parameters()}
    trained = {names[id(p)] for p in module.stage_parameters(stage)}
    if stage == "fusion":
        trained = {name for name in trained if not name.startswith(STAGE_ONE_HEADS)}
    assert moved == trained
    if stage == "bridge":
        assert not any(name.startswith("encoders.") for name in moved)


def test_frozen_positions_are_trained_in_no_stage(make_module):
    for frozen in (True, False):
        module = make_module(rna_frozen_positions=frozen)
        positions = module.encoder("rna").model.pos_emb.emb.weight
        trained = any(p is positions for s in STAGES for p in module.stage_parameters(s))
        assert trained != frozen


@pytest.mark.parametrize("stage", STAGES)
def test_a_few_steps_lower_the_loss(module, paired, stage):
    tensors = paired(empty=(7,), module=module)

    @torch.no_grad()
    def loss() -> float:
        torch.manual_seed(0)
        return float(stage_loss(module.eval(), stage, tensors)[0])

    before = loss()
    optimizer = torch.optim.AdamW(module.stage_parameters(stage), lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        stage_loss(module.train(), stage, tensors)[0].backward()
        optimizer.step()
    assert loss() < 0.95 * before


@pytest.mark.parametrize("stage", STAGES)
def test_mixed_precision(module, paired, stage):
    tensors = paired(empty=(7,), module=module)
    torch.manual_seed(0)
    expected = stage_loss(module.eval(), stage, tensors)[0]
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = stage_loss(module, stage, tensors)[0]
    found.backward()
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.0)
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_stage_two_hides_counts_in_training_only(make_module, paired):
    module, tensors = make_module(discriminator_weight=0.0, input_dropout=0.5), paired()
    losses = {float(stage_loss(module, "fusion", tensors)[0].detach()) for _ in range(3)}
    assert len(losses) == 3
    module.eval()
    assert len({float(stage_loss(module, "fusion", tensors)[0].detach()) for _ in range(3)}) == 1


# -- stage three


HEADS = {"none": {"bridge_n_heads": 0}, "one": {"bridge_n_heads": 1}, "three": {"bridge_n_heads": 3}}
SWITCHES = {
    "all": {},
    "no rebuild": {"bridge_self_reconstruction": 0.0},
    "no rates": {"bridge_count_loss": 0.0},
    "neither": {"bridge_self_reconstruction": 0.0, "bridge_count_loss": 0.0},
}


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES.keys())
@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
def test_stage_three_has_one_term_per_head_and_direction(make_module, paired, heads, switches):
    module = make_module(n_batches=2, **heads, **switches)
    names = ["rna_from_atac", "atac_from_rna"]
    if "bridge_self_reconstruction" not in switches:
        names.append("rna_from_rna")
    if "bridge_count_loss" not in switches:
        names.append("counts_from_rna")
    ends = ["", *(f"_{k + 1}" for k in range(heads["bridge_n_heads"]))]
    expected = {"distillation"} | {name + end for name in names for end in ends}
    assert set(OBJECTIVES["bridge"](module, paired(module=module))) == expected


def test_without_their_terms_there_are_no_decoders(make_module):
    module = make_module(bridge_count_loss=0.0)
    assert module.rate_decoder is None and module.rates() == []
    assert all(head.rates is None for head in module.heads_from("rna"))
    assert len(make_module(bridge_n_heads=2).rates()) == 3
    module = make_module(bridge_self_reconstruction=0.0)
    assert all(set(head.decoders) == {"atac"} for head in module.heads_from("rna"))
    assert all(set(head.decoders) == {"rna"} for head in module.heads_from("atac"))


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES.keys())
@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
def test_every_parameter_of_stage_three_learns(make_module, paired, heads, switches):
    module = make_module(n_batches=2, **heads, **switches)
    stage_loss(module, "bridge", paired(module=module))[0].backward()
    names = {id(p): name for name, p in module.named_parameters()}
    trained = module.stage_parameters("bridge")
    assert len(trained) == len({id(p) for p in trained})
    learns = {names[id(p)] for p in trained if p.grad is not None and p.grad.any()}
    assert learns == {names[id(p)] for p in trained if p.numel()}  # no biases of a single batch


def test_each_head_learns_from_its_own_terms_alone(make_module, paired):
    module = make_module()
    terms = OBJECTIVES["bridge"](module, paired(module=module))
    for source in ("rna", "atac"):
        for k in range(3):
            module.zero_grad(set_to_none=True)
            own = [v for key, v in terms.items() if key.endswith(f"_from_{source}_{k + 1}")]
            assert len(own) == (3 if source == "rna" else 1)
            torch.stack(own).sum().backward(retain_graph=True)
            moved = {name for name, p in module.named_parameters() if p.grad is not None}
            head = f"heads.{source}.{k}."
            assert moved == {n for n, _ in module.named_parameters() if n.startswith(head)}


@torch.no_grad()
def test_rebuilding_is_weighted_and_relative_to_the_mean(make_module, paired):
    module = make_module(n_batches=2, bridge_self_reconstruction=3.0, bridge_count_loss=5.0).eval()
    module.count_baseline.fill_(7.0)
    tensors = paired(module=module)
    terms = OBJECTIVES["bridge"](module, tensors)
    z_rna = tensors["z_rna"]
    head = module.heads_from("rna")[1]
    own = head(z_rna, module.normalize("rna", tensors["rna"]))
    fused = module.fuse(module.bridge("rna", z_rna, tensors["rna"]))
    parts = {
        "": (fused, module.decoder("rna"), module.rate_decoder),
        "_2": (own, head.decoder("rna"), head.rates),
    }
    counts = to_dense(tensors["rna"], 30)
    for end, (z, decoder, rates) in parts.items():
        again = 3 * reconstruction(module, "rna", z, tensors, decoder)
        torch.testing.assert_close(terms[f"rna_from_rna{end}"], again)
        likelihood = F.cross_entropy(rates(z), counts, reduction="sum") / len(counts)
        torch.testing.assert_close(terms[f"counts_from_rna{end}"], 5 * likelihood / 7)


@torch.no_grad()
def test_stage_three_hides_embeddings_in_training_only(make_module, paired):
    module = make_module(bridge_input="embedding", bridge_dropout=0.0, bridge_embedding_dropout=0.5)
    tensors = paired(module=module)

    def loss() -> float:
        return float(OBJECTIVES["bridge"](module, tensors)["distillation"])

    assert len({loss() for _ in range(3)}) == 3
    module.eval()
    assert len({loss() for _ in range(3)}) == 1
