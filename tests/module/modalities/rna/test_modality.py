"""RNA as a modality: its totals and library sizes."""

from __future__ import annotations

import pytest
import torch

from scmomer.module import RNAModality
from scmomer.nn import to_dense

N = 9


@pytest.fixture
def table(counts) -> torch.Tensor:
    """Counts of nine cells; three have none."""
    return counts(N, 30, empty=(0, 5, 8))


@pytest.fixture
def rna(make_module) -> RNAModality:
    """RNA in an untrained network."""
    return make_module().rna


def test_expression_is_normalized_to_the_target_sum(rna, table, sparse):
    rna.target_sum.fill_(500.0)
    totals = (2 ** to_dense(rna.normalize(sparse(table)), 30) - 1).sum(1)
    torch.testing.assert_close(totals[[1, 2, 3]], torch.full((3,), 500.0))


def test_library_sizes_are_standardized(rna, table, sparse):
    logs = torch.stack([table.sum(1), (table > 0).sum(1)], 1).log1p()
    rna.library_mean.copy_(logs.mean(0))
    rna.library_std.copy_(logs.std(0))
    expected = (logs - logs.mean(0)) / logs.std(0)
    torch.testing.assert_close(rna.library_size(sparse(table)), expected)


@pytest.mark.parametrize(("given", "expected"), [(None, 1e4), (77.0, 77.0)])
def test_the_target_sum_can_be_set(make_module, given, expected):
    assert float(make_module(rna_target_sum=given).rna.target_sum) == expected
