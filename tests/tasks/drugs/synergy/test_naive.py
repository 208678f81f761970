"""Synergy without features."""

from __future__ import annotations

import numpy as np
import pytest

from scmomer.tasks.drugs import NaiveSynergy

N_DRUGS, N_LINES = 7, 5


@pytest.fixture
def rows() -> np.ndarray:
    a, b = np.triu_indices(N_DRUGS, 1)
    line = np.arange(N_LINES)
    return np.stack([x.ravel() for x in (*np.broadcast_arrays(a[:, None], b[:, None], line),)], 1)


@pytest.fixture
def effects() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=N_LINES), rng.normal(size=N_DRUGS), rng.normal(size=(N_DRUGS, N_LINES))


def fit(rows, values, kind, alpha=1e-6) -> NaiveSynergy:
    return NaiveSynergy.fit(rows, values, N_DRUGS, N_LINES, kind, alpha=alpha)


def test_kinds_are_exact_where_the_world_is_so(rows, effects):
    of_line, of_drug, of_both = effects
    a, b, line = rows.T
    additive = 3 + of_line[line] + of_drug[a] + of_drug[b]
    full = additive + of_both[a, line] + of_both[b, line]
    # Rows that were left out: the pair 0 and 1 in all lines.
    kept = ~((a == 0) & (b == 1))
    for kind, values, exact in (
        ("mean", additive, False),
        ("additive", additive, True),
        ("additive", full, False),
        ("interactions", full, True),
    ):
        found = fit(rows[kept], values[kept], kind).predict(rows[~kept])
        assert np.allclose(found, values[~kept], atol=0.01) == exact, kind
    assert np.allclose(fit(rows, full, "mean").predict(rows), full.mean())


def test_pairs_are_known_in_new_lines(rows, effects):
    a, b, line = rows.T
    of_pair = np.random.default_rng(1).normal(size=(N_DRUGS, N_DRUGS))
    values = 3 + effects[1][a] + effects[1][b] + of_pair[a, b]
    kept = line != 0
    for kind, exact in (("pairs", True), ("additive", False), ("interactions", False)):
        naive = fit(rows[kept], values[kept], kind)
        found = naive.predict(np.column_stack([a, b, np.full(len(a), -1)])[~kept])
        assert np.allclose(found, values[~kept], atol=0.01) == exact, kind


@pytest.mark.parametrize("kind", ["interactions", "pairs"])
def test_order_of_drugs_does_not_matter(rows, kind):
    naive = fit(rows, np.random.default_rng(0).normal(size=len(rows)), kind)
    assert np.array_equal(naive.predict(rows), naive.predict(rows[:, [1, 0, 2]]))


@pytest.mark.parametrize("kind", ["additive", "pairs", "interactions"])
def test_what_is_new_has_no_effect(rows, effects, kind):
    a, b, line = rows.T
    values = 5 + effects[1][a] + effects[1][b] + effects[0][line]
    known = (a != 0) & (line != 0)
    naive = fit(rows[known], values[known], kind, alpha=1.0)
    as_new = np.where(rows == 0, [[-1, 0, -1]], rows)
    new = (a == 0) & (line == 0)
    assert np.allclose(naive.predict(as_new[new]), naive.predict(rows[new]))
    nothing = naive.predict(np.array([[-1, -1, -1]]))
    assert nothing == pytest.approx(naive.intercept)


def test_unknown_kind(rows, refuses):
    with refuses(ValueError, "Expected kind among ['mean'", "'best'", "Pass one of these"):
        fit(rows, np.zeros(len(rows)), "best")
