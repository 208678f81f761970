"""What every modality has, whichever it is."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch

from scmomer._constants import Modality
from scmomer.module import MODALITY_TYPES, ModalityModule, StageConfig

N = 9


@pytest.fixture(params=MODALITY_TYPES)
def name(request) -> str:
    """Each modality."""
    return request.param


@pytest.fixture
def kind(name, make_module) -> ModalityModule:
    """It, as a part of an untrained network of all, in double precision."""
    return make_module(n_proteins=12, protein_hidden=16).double().eval().modality(name)


@pytest.fixture
def table(kind, counts) -> torch.Tensor:
    """Counts of nine cells; two have none."""
    return counts(N, kind.n_features, empty=(0, 5))


@pytest.fixture
def rows(table, sparse):
    """The same as a minibatch."""
    return sparse(table, torch.float64)


# -- properties of a type


def test_types_are_listed_by_name_and_in_order():
    assert tuple(MODALITY_TYPES) == get_args(Modality)
    assert all(kind.name == name for name, kind in MODALITY_TYPES.items())


def test_keys_and_names_are_unique():
    kinds = MODALITY_TYPES.values()
    for field in ("registry_key", "feature_name", "usual_names", "config_type"):
        assert len({getattr(kind, field) for kind in kinds}) == len(kinds), field


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        *((name, name) for name in MODALITY_TYPES),
        *((kind.feature_name, name) for name, kind in MODALITY_TYPES.items()),
        ("gex", "rna"),
        ("gene expression", "rna"),
        ("snrna seq", "rna"),
        ("chromatin accessibility", "atac"),
        ("scatac", "atac"),
        ("adt", "protein"),
        ("antibody capture", "protein"),
        ("other", None),
        ("rna velocity", None),
    ],
)
def test_usual_names_are_those_of_one_modality(found, expected):
    matches = [m for m, kind in MODALITY_TYPES.items() if re.fullmatch(kind.usual_names, found)]
    assert matches == ([] if expected is None else [expected])


@pytest.mark.parametrize("size", ["small", "base", "paper"])
def test_every_size_has_a_preset(name, size):
    kind = MODALITY_TYPES[name]
    config, stage = kind.preset(size)
    assert type(config) is kind.config_type and isinstance(stage, StageConfig)
    assert "custom" in str(kind.config_type.__annotations__["encoder"])
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, None)


def test_only_peaks_need_names_of_a_form(name):
    check, names = MODALITY_TYPES[name].check_names, pd.Index(["CD3E", "CD19"])
    if name == "atac":
        with pytest.raises(ValueError, match=r"Expected peak names.*here"):
            check(names, "here", pd.DataFrame(index=names))
    else:
        check(names, "here", pd.DataFrame(index=names))


# -- depth


def test_decoders_have_a_depth_term_if_the_modality_has_depth(kind):
    assert (kind.decoder.depth_slope is not None) == kind.has_depth
    assert 0 < kind.depth_share <= 1


def test_depth_is_standardized(kind, table, rows):
    total = (table > 0).sum(1) if kind.name == "atac" else table.sum(1)
    torch.testing.assert_close(kind.total(rows).double(), total.double())
    kind.set_depth(total)
    logs = total.double().log1p()
    expected = (logs - logs.mean()) / logs.std(correction=0)
    torch.testing.assert_close(kind.depth(rows), expected)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_depth_of_training_cells(kind, convert):
    kind.set_depth(convert([0, 7, 100]))
    logs = np.log1p([0, 7, 100])
    assert float(kind.depth_mean) == pytest.approx(logs.mean())
    assert float(kind.depth_std) == pytest.approx(logs.std())


def test_cells_of_equal_depth_have_a_finite_one(kind, rows):
    kind.set_depth(np.full(4, 50))
    assert float(kind.depth_std) > 0 and kind.depth(rows).isfinite().all()


# -- features, errors


def test_features_are_normalized(kind, table, rows):
    features = kind.normalize(rows)
    assert features.n_rows == N and features.values.isfinite().all()
    stored = features.lengths == ((table > 0).sum(1) if kind.name != "protein" else 12)
    assert stored.all()
    assert torch.equal(rows.values, table[table > 0].double())  # counts stay as they are


def test_inputs_are_hidden_unless_a_missing_one_shifts_all_others(kind, rows):
    torch.manual_seed(0)
    left = kind.mask_inputs(rows, 0.5)
    assert (left is rows) == (kind.name == "protein")
    assert kind.name == "protein" or 0 < len(left.values) < len(rows.values)


def test_errors_are_relative_to_those_of_the_mean(kind, rows):
    z, other = torch.randn(N, 8, dtype=torch.float64), kind.make_decoder().double()
    kind.baseline.fill_(4.0)
    for decoder, found in (
        (kind.decoder, kind.relative_error(z, rows, None)),
        (other, kind.relative_error(z, rows, None, other)),
    ):
        torch.testing.assert_close(found, kind.error(decoder, z, kind.loss_target(rows), None) / 4)


def test_derivatives_are_those_of_the_error(kind, rows):
    z, decoder = torch.randn(N, 8, dtype=torch.float64), kind.decoder
    values = decoder(z, None, kind.depth(rows)).detach()
    slope, curvature = kind.derivatives(decoder, values, rows)
    (found,) = torch.autograd.grad(
        kind.error(decoder, z, kind.loss_target(rows), None), decoder.linear.bias
    )
    half = 2 if kind.name == "rna" else 1  # those of half the squared error
    torch.testing.assert_close(found, half * slope.mean(0))
    step = 1e-5
    above, below = (kind.derivatives(decoder, values + d, rows)[0] for d in (step, -step))
    torch.testing.assert_close((above - below) / (2 * step), curvature, rtol=1e-5, atol=1e-7)
