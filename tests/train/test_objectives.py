"""Losses of the stages: negatives, finite values, what each stage moves, learning."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scmomer.module import SCMOMERModule
from scmomer.nn import CellBatch, to_dense
from scmomer.train._objectives import (
    bridge,
    fusion,
    negatives,
    pair_matching,
    stage_loss,
    unimodal,
)

CPU = torch.device("cpu")
STAGES = ("rna", "atac", "fusion", "bridge")
NETWORKS = {
    "small": {},
    "paper-like": {
        "tokens": "all",
        "binning": "log2",
        "rna_value_skip": False,
        "rna_frozen_positions": True,
        "atac_patch_weights": "shared",
        "atac_peak_skip": False,
        "latent_norm": "layer",
        "bridge_reads": "features",
        "atac_depth_term": False,
    },
    "mlp": {"rna_encoder": "mlp", "atac_encoder": "mlp"},
    "softmax": {"rna_attention": "softmax"},
}
# Stages in which a network differs from the first one.
CASES = [
    *(("small", stage) for stage in STAGES),
    *(("paper-like", stage) for stage in STAGES),
    *(("mlp", stage) for stage in ("rna", "atac", "fusion")),
    ("softmax", "rna"),
]
# Tokens are predicted in stage 1 only; positions may be frozen.
STAGE_ONE_HEADS = (
    "modalities.rna.encoder.model.to_out.",
    "modalities.atac.encoder.decoder_pred.",
    "modalities.atac.encoder.mask_token",
)


@pytest.fixture
def module(make_module) -> SCMOMERModule:
    """An untrained network for two batches."""
    return make_module(n_batches=2)


@pytest.fixture
def paired(counts, sparse):
    """Builds a minibatch of paired cells of two types; those in `empty` have no counts."""

    def make(n: int = 24, empty=(), module: SCMOMERModule | None = None) -> CellBatch:
        rna, atac = counts(n, 30, empty=empty), counts(n, 40, seed=1, empty=empty)
        rna[: n // 2, :10] *= 5  # one type is high in some genes and closed in some peaks
        atac[: n // 2, :20] = 0
        rows = {"rna": sparse(rna), "atac": sparse(atac)}
        encoded = {} if module is None else module.embed(rows).single
        encoded = {m: z.detach() for m, z in encoded.items()}
        return CellBatch(rows, encoded, batch=torch.arange(n) % 2)

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


# -- profiles


def test_error_of_rna_is_weighted_and_relative(module, paired):
    kind = module.eval().rna
    torch.nn.init.uniform_(kind.gene_weight, 0.1, 0.3)
    kind.baseline.fill_(3.0)
    cells, z = paired(), torch.randn(24, 8)
    rows = cells.counts["rna"]
    target = to_dense(kind.normalize(rows), 30)
    predicted = kind.decoder(z, cells.batch)
    expected = ((predicted - target).square() * kind.gene_weight).sum(1).mean() / 3
    torch.testing.assert_close(kind.relative_error(z, rows, cells.batch), expected)


def test_a_gene_far_from_its_spread_counts_as_ten_deviations(make_module, paired):
    kind = make_module().eval().rna
    kind.gene_weight.fill_(100.0)  # a spread of 0.1
    rows, z = paired().counts["rna"], torch.randn(24, 8)
    target = to_dense(kind.normalize(rows), 30)
    assert (target > 1).any()
    predicted = kind.decoder(z)
    expected = ((predicted - target.clamp_max(1)).square() * 100).sum(1).mean()
    torch.testing.assert_close(kind.relative_error(z, rows, None), expected)


def test_error_of_atac_is_the_cross_entropy_at_the_cells_depth(make_module, paired):
    kind = make_module(n_batches=2, atac_pos_weight=4.0).eval().modality("atac")
    kind.baseline.fill_(3.0)
    cells, z = paired(), torch.randn(24, 8)
    rows = cells.counts["atac"]
    target = (to_dense(rows, 40) > 0).float()
    logits = kind.decoder(z, cells.batch, kind.depth(rows))
    each = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=torch.tensor(4.0), reduction="none"
    )
    torch.testing.assert_close(
        kind.relative_error(z, rows, cells.batch), each.sum(1).mean() / 3, rtol=1e-4, atol=1e-5
    )


def error(module, modality: str, z: torch.Tensor, cells: CellBatch, decoder=None) -> torch.Tensor:
    """The relative error of a modality."""
    kind = module.modality(modality)
    return kind.relative_error(z, cells.counts[modality], cells.batch, decoder)


@pytest.mark.parametrize("modality", ["rna", "atac"])
@torch.no_grad()
def test_stage_one_rebuilds_from_the_own_embedding(module, paired, modality, monkeypatch):
    cells, kind = paired(), module.eval().modality(modality)
    encoded = kind.encoder(kind.normalize(cells.counts[modality]))
    hidden = torch.tensor(3.0)
    monkeypatch.setattr(kind.encoder, "masked", lambda features, fraction: (encoded, hidden))
    terms = unimodal(module, modality, cells)
    assert set(terms) == {"masked", f"{modality}_reconstruction"} and terms["masked"] is hidden
    expected = error(module, modality, encoded.cell, cells)
    torch.testing.assert_close(terms[f"{modality}_reconstruction"], expected)


@torch.no_grad()
def test_stage_two_rebuilds_from_the_fused_embedding(module, paired):
    cells = paired()
    z = module.eval().embed(cells.counts).z
    terms = fusion(module, cells)
    for m in ("rna", "atac"):
        torch.testing.assert_close(terms[f"{m}_reconstruction"], error(module, m, z, cells))


@torch.no_grad()
def test_stage_three_wants_the_missing_embedding_and_profile(module, paired):
    """Bridges that know the other embedding have no distance and rebuild as fusion does."""
    cells = paired(module=module.eval())
    before = bridge(module, cells)
    assert before["distillation"] > 0.01
    module.bridge = lambda source, cell, features: cells.encoded
    terms = bridge(module, cells)
    assert terms["distillation"] == 0
    fused = module.fuse(cells.encoded)
    for name, m in (("atac_from_rna", "atac"), ("rna_from_atac", "rna")):
        torch.testing.assert_close(terms[name], error(module, m, fused, cells))
        assert not torch.allclose(terms[name], before[name], rtol=1e-6, atol=0)


# -- stages


def gradients(module) -> dict[str, torch.Tensor]:
    """All gradients by name."""
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("network", "stage", "empty"),
    [
        *((*case, (0, 5, 23)) for case in CASES),
        *(("small", stage, tuple(range(24))) for stage in STAGES),
    ],
)
def test_losses_and_gradients_are_finite(make_module, paired, network, stage, empty):
    module = make_module(n_batches=2, **NETWORKS[network])
    loss, terms = stage_loss(module, stage, paired(empty=empty, module=module))
    assert loss.isfinite() and all(term.isfinite() for term in terms.values())
    loss.backward()
    found = gradients(module)
    assert found and all(grad.isfinite().all() for grad in found.values())


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


@pytest.mark.parametrize(("network", "stage"), CASES)
def test_a_stage_moves_its_parameters_and_no_others(make_module, paired, network, stage):
    module = make_module(n_batches=2, **NETWORKS[network])
    cells = paired(module=module)._replace(labels=torch.arange(24) % 3)
    stage_loss(module, stage, cells)[0].backward()
    names = {id(p): name for name, p in module.named_parameters()}
    trained = {names[id(p)] for p in module.stage_parameters(stage)}
    if stage == "fusion":
        trained = {name for name in trained if not name.startswith(STAGE_ONE_HEADS)}
    moved = set(gradients(module))
    assert moved == trained
    if stage == "bridge":
        assert not any(".encoder." in name for name in moved)


def test_frozen_positions_are_trained_in_no_stage(make_module):
    for frozen in (True, False):
        module = make_module(rna_frozen_positions=frozen)
        positions = module.rna.encoder.model.pos_emb.emb.weight
        trained = any(p is positions for s in STAGES for p in module.stage_parameters(s))
        assert trained != frozen


@pytest.mark.parametrize(("network", "stage"), CASES)
def test_a_few_steps_lower_the_loss(make_module, paired, network, stage):
    module = make_module(n_batches=2, **NETWORKS[network])
    cells = paired(empty=(7,), module=module)

    @torch.no_grad()
    def loss() -> float:
        torch.manual_seed(0)
        return float(stage_loss(module.eval(), stage, cells)[0])

    before = loss()
    optimizer = torch.optim.AdamW(module.stage_parameters(stage), lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        stage_loss(module.train(), stage, cells)[0].backward()
        optimizer.step()
    assert loss() < 0.95 * before


@pytest.mark.parametrize(("network", "stage"), CASES)
def test_mixed_precision(make_module, paired, network, stage):
    module = make_module(n_batches=2, **NETWORKS[network])
    cells = paired(empty=(7,), module=module)
    torch.manual_seed(0)
    expected = stage_loss(module.eval(), stage, cells)[0]
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = stage_loss(module, stage, cells)[0]
    found.backward()
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.0)
    assert all(grad.isfinite().all() for grad in gradients(module).values())


def test_stage_two_hides_counts_in_training_only(make_module, paired):
    module, cells = make_module(discriminator_weight=0.0, input_dropout=0.5), paired()
    losses = {float(stage_loss(module, "fusion", cells)[0].detach()) for _ in range(3)}
    assert len(losses) == 3
    module.eval()
    assert len({float(stage_loss(module, "fusion", cells)[0].detach()) for _ in range(3)}) == 1


# -- stage three


# One switch at a time, and both terms of RNA alone.
BRIDGES = {
    "default": {},
    "no heads": {"bridge_n_heads": 0},
    "one head": {"bridge_n_heads": 1},
    "no expression": {"bridge_self_reconstruction": 0.0},
    "no counts": {"bridge_count_loss": 0.0},
    "neither": {"bridge_self_reconstruction": 0.0, "bridge_count_loss": 0.0},
}


@pytest.mark.parametrize("options", BRIDGES.values(), ids=BRIDGES.keys())
def test_stage_three_has_one_term_per_head_and_direction(make_module, paired, options):
    module = make_module(n_batches=2, **options)
    names = ["rna_from_atac", "atac_from_rna"]
    if "bridge_self_reconstruction" not in options:
        names.append("rna_from_rna")
    if "bridge_count_loss" not in options:
        names.append("counts_from_rna")
    ends = ["", *(f"_{k + 1}" for k in range(options.get("bridge_n_heads", 3)))]
    expected = {"distillation"} | {name + end for name in names for end in ends}
    assert set(bridge(module, paired(module=module))) == expected


def test_without_their_terms_there_are_no_decoders(make_module):
    def count_decoders(module) -> int:
        return sum(one.count_decoder is not None for one in module.bridges_from("rna"))

    assert count_decoders(make_module(bridge_count_loss=0.0)) == 0
    module = make_module(bridge_n_heads=2)
    assert count_decoders(module) == 3
    assert all(one.count_decoder is None for one in module.bridges_from("atac"))
    module = make_module(bridge_self_reconstruction=0.0)
    assert all(set(head.decoders) == {"atac"} for head in module.heads_from("rna"))
    assert all(set(head.decoders) == {"rna"} for head in module.heads_from("atac"))


@pytest.mark.parametrize("options", BRIDGES.values(), ids=BRIDGES.keys())
def test_every_parameter_of_stage_three_learns(make_module, paired, options):
    module = make_module(n_batches=2, **options)
    stage_loss(module, "bridge", paired(module=module))[0].backward()
    names = {id(p): name for name, p in module.named_parameters()}
    trained = module.stage_parameters("bridge")
    assert len(trained) == len({id(p) for p in trained})
    learns = {name for name, grad in gradients(module).items() if grad.any()}
    assert learns == {names[id(p)] for p in trained if p.numel()}  # no biases of a single batch


def test_each_head_learns_from_its_own_terms_alone(make_module, paired):
    module = make_module()
    terms = bridge(module, paired(module=module))
    for source in ("rna", "atac"):
        for k in (1, 2, 3):
            module.zero_grad(set_to_none=True)
            own = [v for key, v in terms.items() if key.endswith(f"_from_{source}_{k}")]
            assert len(own) == (3 if source == "rna" else 1)
            torch.stack(own).sum().backward(retain_graph=True)
            head = f"bridges.{source}.{k}."
            expected = {name for name, _ in module.named_parameters() if name.startswith(head)}
            assert expected and set(gradients(module)) == expected


@torch.no_grad()
def test_rebuilding_is_weighted_and_relative_to_the_mean(make_module, paired):
    module = make_module(n_batches=2, bridge_self_reconstruction=3.0, bridge_count_loss=5.0).eval()
    module.rna.count_baseline.fill_(7.0)
    cells = paired(module=module)
    terms = bridge(module, cells)
    z, features = cells.encoded["rna"], module.rna.normalize(cells.counts["rna"])
    first, _, head, _ = module.bridges_from("rna")
    fused = module.fuse(module.bridge("rna", z, features))
    parts = {
        "": (fused, module.rna.decoder, first.count_decoder),
        "_2": (head(z, features), head.decoder("rna"), head.count_decoder),
    }
    counts = to_dense(cells.counts["rna"], 30)
    for end, (own, decoder, count_decoder) in parts.items():
        again = 3 * error(module, "rna", own, cells, decoder)
        torch.testing.assert_close(terms[f"rna_from_rna{end}"], again)
        likelihood = F.cross_entropy(count_decoder(own), counts, reduction="sum") / len(counts)
        torch.testing.assert_close(terms[f"counts_from_rna{end}"], 5 * likelihood / 7)


@torch.no_grad()
def test_stage_three_hides_embeddings_in_training_only(make_module, paired):
    options = {"bridge_dropout": 0.0, "bridge_input_dropout": 0.0}
    module = make_module(bridge_embedding_dropout=0.5, **options)
    cells = paired(module=module)

    def losses() -> set[float]:
        return {float(bridge(module, cells)["distillation"]) for _ in range(3)}

    assert len(losses()) == 3
    module.eval()
    assert len(losses()) == 1
