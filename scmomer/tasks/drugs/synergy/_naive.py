"""Synergy without features: what any model of synergy has to exceed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import Ridge

NaiveKind = Literal["mean", "additive", "pairs", "interactions"]
"""The mean; effects of drugs and lines; these and of pairs, or these and of drugs in each line."""
_ALPHA = 3.0


@dataclass(frozen=True, eq=False)
class NaiveSynergy:
    """Synergy as a sum of effects, by ridge regression on one-hot codes.

    Notes
    -----
    With ``"interactions"``, a pair in a line has the effect of the line, of both drugs, and of both
    drugs in this line. With ``"pairs"``, it has an effect of the pair, which is what there is to
    know of a line that was never seen. What training has not seen has no effect.
    """

    kind: NaiveKind
    n_drugs: int
    n_lines: int
    intercept: float
    coef: np.ndarray
    """float64: of lines, drugs, and drugs x lines (drug by drug) or pairs; empty for ``"mean"``."""

    @classmethod
    def fit(
        cls,
        rows: np.ndarray,
        values: np.ndarray,
        n_drugs: int,
        n_lines: int,
        kind: NaiveKind = "interactions",
        *,
        alpha: float = _ALPHA,
    ) -> NaiveSynergy:
        """Fit effects.

        Parameters
        ----------
        rows
            Both drugs and the line of each row, int ``(n, 3)``, from 0; -1 for one that is to have
            no effect.
        values
            Synergy, ``(n,)``.
        n_drugs, n_lines
            Numbers of drugs and lines.
        kind
            Which effects.
        alpha
            Strength of the penalty on squared effects.

        Raises
        ------
        ValueError
            If `kind` is unknown.
        """
        if kind not in get_args(NaiveKind):
            msg = (
                f"Expected kind among {[*get_args(NaiveKind)]}, found {kind!r}. Pass one of these."
            )
            raise ValueError(msg)
        if kind == "mean":
            return cls(kind, n_drugs, n_lines, float(values.mean()), np.zeros(0))
        ridge = Ridge(alpha=alpha).fit(_one_hot(rows, n_drugs, n_lines, kind), values)
        return cls(kind, n_drugs, n_lines, float(ridge.intercept_), np.asarray(ridge.coef_))

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the synergy of rows ``(n, 3)``, float64 ``(n,)``; -1 for what is new."""
        if self.kind == "mean":
            return np.full(len(rows), self.intercept)
        found = _one_hot(rows, self.n_drugs, self.n_lines, self.kind) @ self.coef
        return np.asarray(found) + self.intercept


def _one_hot(rows: np.ndarray, n_drugs: int, n_lines: int, kind: NaiveKind) -> sp.csr_matrix:
    """Return codes ``(n, n_effects)``; that of a pair is the sum of those of its drugs."""
    n = np.arange(len(rows))
    a, b, line = rows.T
    row, drug, twice = np.r_[n, n], np.r_[a, b], np.r_[line, line]
    blocks = [_codes(n, line, len(n), n_lines), _codes(row, drug, len(n), n_drugs)]
    if kind == "interactions":
        both = np.where((drug < 0) | (twice < 0), -1, drug * n_lines + twice)
        blocks.append(_codes(row, both, len(n), n_drugs * n_lines))
    if kind == "pairs":
        first, second = np.minimum(a, b), np.maximum(a, b)
        pair = np.where(first < 0, -1, first * n_drugs + second)
        blocks.append(_codes(n, pair, len(n), n_drugs**2))
    return sp.hstack(blocks, format="csr")


def _codes(row: np.ndarray, column: np.ndarray, n: int, n_columns: int) -> sp.csr_matrix:
    known = column >= 0
    ones = np.ones(known.sum())
    return sp.csr_matrix((ones, (row[known], column[known])), shape=(n, n_columns))
