"""Weights that an older scmomer wrote, under today's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from scmomer.module import SCMOMERModule, former_state, with_later_tensors

MODALITIES = ("rna", "atac", "protein")
# Today's names and former ones, first match wins.
FORMER = (
    (r"modalities\.(\w+)\.encoder\.median_n_open", r"encoders.\1.typical_depth"),
    (r"modalities\.(\w+)\.(encoder|decoder)\.", r"\2s.\1."),
    (r"modalities\.rna\.(target_sum|gene_weight|count_baseline)$", r"\1"),
    (r"bridges\.rna\.0\.count_decoder\.", "rate_decoder."),
    (r"bridges\.(\w+)\.0\.", r"bridges.\1."),
    (r"co_measured$", "measured_together"),
)

LATER = "modalities.protein.log_shift"  # of which nothing was written


def to_former(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Today's weights as they were written before modalities held their own state."""
    found: dict[str, Tensor] = {}
    baseline, sizes = torch.ones(3), torch.tensor([[0.0, 1.0]] * 4)
    for name, value in state.items():
        *_, m, last = ("", *name.split("."))
        if last == "baseline":
            baseline[MODALITIES.index(m)] = value
        elif last in ("library_mean", "library_std"):  # of counts, of expressed genes
            sizes[1:3, int(last == "library_std")] = value
        elif last in ("depth_mean", "depth_std"):
            if m != "rna":
                sizes[0 if m == "atac" else 3, int(last == "depth_std")] = value
        elif name not in ("basis", LATER):
            found[former_name(name)] = value
    # Also without RNA.
    found.setdefault("target_sum", torch.tensor(1e4))
    found.setdefault("gene_weight", torch.ones(0))
    found.setdefault("count_baseline", torch.tensor(1.0))
    return {**found, "baseline": baseline, "size_stats": sizes}


def former_name(name: str) -> str:
    """The former name of a tensor."""
    head = re.match(r"bridges\.(\w+)\.([1-9])\.(.*)", name)
    if head is not None:
        source, k, rest = head.group(1), int(head.group(2)) - 1, head.group(3)
        rest = rest.replace("count_decoder.", "rates.")
        if not rest.startswith(("rates.", "decoders.")):
            rest = f"bridge.{rest}"
        return f"heads.{source}.{k}.{rest}"
    for pattern, former in FORMER:
        if re.match(pattern, name):
            return re.sub(pattern, former, name)
    return name


def with_random_state(module: SCMOMERModule) -> SCMOMERModule:
    """Every tensor gets values of its own; RNA has no depth, and an old basis is the identity."""
    kept = ("modalities.rna.depth_mean", "modalities.rna.depth_std", "basis", LATER)
    for name, value in module.state_dict().items():
        if value.is_floating_point() and name not in kept:
            value.normal_()
    return module


@pytest.fixture(
    params=[
        {},
        {"n_peaks": 0},
        {"n_genes": 0},
        {"n_proteins": 12},
        {"n_genes": 0, "n_proteins": 12},
        {"n_peaks": 0, "n_proteins": 12, "bridge_n_heads": 0, "bridge_refine_source": False},
        {"rna_encoder": "mlp", "atac_encoder": "mlp", "bridge_reads": "features"},
        {"bridge_count_loss": 0.0, "rna_scale_genes": False, "atac_depth_term": False},
    ],
    ids=str,
)
def module(request, make_module) -> SCMOMERModule:
    """An untrained network with random statistics."""
    return with_random_state(make_module(n_batches=2, **request.param))


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[k], other[k]) for k in one)


def test_former_weights_get_todays_names(module):
    state = module.state_dict()
    former = to_former(state)
    assert not any(name.startswith("modalities.") for name in former)
    before = dict(former)
    found = with_later_tensors(former_state(former), module.config)
    assert same(found, state)
    assert list(former) == list(before)  # the input stays as it was


def test_a_released_bridge_without_atac(make_module):
    rna = make_module(n_peaks=0)
    names = {"rna": [f"gene {i}" for i in range(30)]}
    bridged = with_random_state(SCMOMERModule(names, 1, rna.config, bridged=True))
    assert same(former_state(to_former(bridged.state_dict())), bridged.state_dict())


def test_some_names_by_hand(make_module):
    former = set(to_former(make_module(n_proteins=12).state_dict()))
    assert former >= {
        "encoders.rna.pool.projection",
        "encoders.atac.typical_depth",
        "encoders.protein.skip.weight",
        "decoders.rna.scale",
        "decoders.protein.log_dispersion",
        "bridges.rna.features",
        "bridges.atac.embedding.weight",
        "rate_decoder.linear.weight",
        "heads.rna.0.bridge.rest.3.weight",
        "heads.rna.2.rates.linear.bias",
        "heads.atac.1.decoders.rna.linear.weight",
        "depth_heads.protein.weight",
        "measured_together",
        "even_depth",
        "refines",
        "size_stats",
    }


def test_statistics_go_to_their_modalities(make_module):
    former = to_former(make_module(n_proteins=12).state_dict())
    former["baseline"] = torch.tensor([1.0, 2.0, 3.0])
    former["size_stats"] = torch.arange(8.0).view(4, 2)
    found = {k.removeprefix("modalities."): v.tolist() for k, v in former_state(former).items()}
    assert [found[f"{m}.baseline"] for m in MODALITIES] == [1, 2, 3]
    assert [found[f"{m}.depth_mean"] for m in MODALITIES] == [0, 0, 6]
    assert [found[f"{m}.depth_std"] for m in MODALITIES] == [1, 1, 7]
    assert (found["rna.library_mean"], found["rna.library_std"]) == ([2, 4], [3, 5])
    assert found["basis"] == torch.eye(8).tolist()


def test_todays_weights_stay_as_they_are(module):
    state = module.state_dict()
    assert same(former_state(state), state)


def test_a_perceptron_without_a_linear_map_gets_zeros(make_module):
    module = make_module(rna_encoder="mlp")
    state = {k: v.clone() for k, v in module.state_dict().items()}
    former = {
        k: v for k, v in state.items() if not k.endswith((".encoder.linear", ".encoder.bias"))
    }
    assert len(former) == len(state) - 2
    found = with_later_tensors(former, module.config)
    assert found.keys() == state.keys()
    assert not found["modalities.rna.encoder.linear"].any()
    module.load_state_dict(found)
    assert with_later_tensors(state, module.config).keys() == state.keys()
    without = make_module(rna_encoder="mlp", rna_value_skip=False)
    assert (
        with_later_tensors(without.state_dict(), without.config).keys()
        == without.state_dict().keys()
    )
    performer = make_module(rna_encoder="performer")
    assert with_later_tensors(performer.state_dict(), performer.config).keys() == (
        performer.state_dict().keys()
    )


def test_proteins_without_a_shift_get_zeros(make_module):
    module = make_module(n_proteins=5)
    state = module.state_dict()
    former = {k: v for k, v in state.items() if not k.endswith(".log_shift")}
    assert len(former) == len(state) - 1
    found = with_later_tensors(former, module.config)
    assert found.keys() == state.keys() and not found["modalities.protein.log_shift"].any()
    module.modality("protein").log_shift.fill_(2)
    kept = with_later_tensors(module.state_dict(), module.config)
    assert (kept["modalities.protein.log_shift"] == 2).all()
