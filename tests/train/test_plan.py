"""One stage as a Lightning module: schedule, optimizer, fixed validation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scmomer.module import StageConfig
from scmomer.train import init_from_data
from scmomer.train._plan import StagePlan, warmup_cosine


@pytest.mark.parametrize(("n_steps", "warmup"), [(100, 0.1), (1000, 0.0), (37, 0.5)])
def test_warmup_cosine_rises_and_falls(n_steps, warmup):
    factors = torch.tensor([warmup_cosine(i, n_steps, warmup) for i in range(n_steps + 1)])
    n_warm = max(1, int(n_steps * warmup))
    rise, fall = factors[:n_warm], factors[n_warm - 1 :]
    torch.testing.assert_close(rise, torch.arange(1, n_warm + 1) / n_warm)
    assert factors.max() == 1 and (factors > 0).all()
    assert (fall.diff() <= 0).all()
    assert factors[-1] == pytest.approx(0.01)
    middle = n_warm + (n_steps - n_warm) / 2
    assert factors[round(middle)] == pytest.approx(0.505, abs=0.05)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_warmup_cosine_of_few_steps(n_steps):
    factors = [warmup_cosine(i, n_steps, 0.1) for i in range(5)]
    assert factors[0] == 1 and all(0.01 <= f <= 1 for f in factors)


def plan(module, stage: str = "fusion", **kwargs) -> StagePlan:
    """A plan of a hundred steps."""
    config = StageConfig(max_epochs=1, lr=0.02, batch_size=8, weight_decay=0.3, **kwargs)
    return StagePlan(module, stage, config, n_steps=100)


@pytest.mark.parametrize("stage", ["rna", "atac", "fusion", "bridge"])
def test_optimizer_has_each_parameter_of_the_stage_once(make_module, stage):
    module = make_module()
    optimizer = plan(module, stage).configure_optimizers()["optimizer"]
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in module.stage_parameters(stage))
    # Everything moves in stage 3.
    slow = set() if stage == "bridge" else {id(p) for p in module.slow_parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            assert group["weight_decay"] == (0.3 if p.ndim >= 2 else 0.0)
            assert group["initial_lr"] == pytest.approx(0.02 * (0.05 if id(p) in slow else 1))


@pytest.mark.parametrize("encoder", [{}, {"rna_encoder": "mlp", "atac_encoder": "mlp"}], ids=str)
def test_only_what_starts_from_data_learns_slowly(make_module, make_cells, encoder):
    module = make_module(**encoder)
    names = {id(p): name for name, p in module.named_parameters()}
    slow = {names[id(p)] for p in module.slow_parameters()}
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    init_from_data(module, make_cells(), np.arange(60))
    started = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert slow <= started
    # Decoders start at the mean, which is no map that could be unlearned; vectors of tokens are
    # inputs of blocks that start at random and learn with them.
    assert {name for name in started if ".encoder." in name} - slow <= {
        "modalities.atac.encoder.projection.weight",
        "modalities.rna.encoder.model.pos_emb.emb.weight",
    }
    assert make_module(warm_start=False, **encoder).slow_parameters() == []


def test_schedule_steps_per_batch(make_module):
    made = plan(make_module(), warmup=0.1).configure_optimizers()
    schedule = made["lr_scheduler"]
    assert schedule["interval"] == "step"
    rates = []
    for _ in range(100):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        schedule["scheduler"].step()
    expected = [warmup_cosine(i, 100, 0.1) for i in range(100)]
    assert [r / max(rates) for r in rates] == pytest.approx(expected)


def test_validation_is_the_same_each_time_and_leaves_the_random_stream(make_module):
    made = plan(make_module())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    for _ in range(2):
        made.on_validation_epoch_start()
        drawn.append(torch.rand(4))
        made.on_validation_epoch_end()
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("precision", "fused"), [("32-true", True), ("bf16-mixed", True), ("16-mixed", False)]
)
def test_the_optimizer_is_one_kernel_except_with_float16(make_module, precision, fused):
    made = plan(make_module())
    made._trainer = SimpleNamespace(precision=precision)
    optimizer = made.configure_optimizers()["optimizer"]
    assert all(group["fused"] is fused for group in optimizer.param_groups)


@pytest.mark.parametrize(("algorithm", "largest"), [("norm", 0.5), ("value", 0.5), (None, 0.5)])
def test_gradients_are_clipped_under_bfloat16(make_module, algorithm, largest):
    made = plan(make_module())
    made._trainer = SimpleNamespace(precision="bf16-mixed")
    optimizer = made.configure_optimizers()["optimizer"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def clipped(value: float | None) -> torch.Tensor:
        for p in parameters:
            p.grad = torch.full_like(p, 3.0)
        made.configure_gradient_clipping(optimizer, value, algorithm)
        return torch.cat([p.grad.ravel() for p in parameters])

    grad = clipped(largest)
    found = grad.abs().max() if algorithm == "value" else grad.norm()
    assert float(found) == pytest.approx(largest, rel=1e-4)
