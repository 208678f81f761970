"""Genes, peaks and proteins that a knockout changes most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from scmomer._constants import ATAC, RNA
from scmomer.tasks.perturbation.knockout._background import Background
from scmomer.tasks.perturbation.knockout._readouts import FeatureReadout
from scmomer.tasks.perturbation.knockout._scores import Comparison
from scmomer.tasks.perturbation.knockout._shifts import Shifts

COLUMNS = (
    *("gene", "group", "modality", "feature", "rank", "before", "after", "change"),
    *("expected", "background_std", "z", "head_std"),
)


def feature_table(
    shifts: Shifts,
    background: Background,
    compared: Mapping[tuple[int, int], Comparison],
    readouts: Sequence[FeatureReadout],
    center: np.ndarray,
    n_top: int,
) -> pd.DataFrame:
    """Return the features with the largest z of each gene, group and modality, in rows.

    Parameters
    ----------
    shifts, background
        Of genes and of random genes.
    compared
        Comparisons of genes (by position in `shifts`) and groups.
    readouts
        Of each modality.
    center
        Mean latents of each group, ``(n_groups, width)``.
    n_top
        Features of each modality.
    """
    parts = []
    for group in sorted({group for _, group in compared}) if n_top else []:
        members = [i for i, g in compared if g == group]
        for readout in readouts:
            pool = background.shifts
            dose = np.where(pool.dose[:, group] > 0, pool.dose[:, group], np.nan)
            each = (pool.mean[:, group] / dose[:, None]).astype(np.float32) @ readout.weights.T
            before = readout.level + readout.weights @ center[group]
            for i in members:
                pair = compared[i, group]
                found = _top(shifts, i, group, pair, each[pair.chosen], readout, n_top)
                found["before"] = _as_shown(before[found["feature"]], readout.modality)
                after = before[found["feature"]] + found["change"]
                found["after"] = _as_shown(after, readout.modality)
                found["feature"] = readout.names[found["feature"]]
                parts.append(found.assign(gene=i, group=group, modality=readout.modality))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.reindex(columns=list(COLUMNS))


def _top(
    shifts: Shifts,
    i: int,
    group: int,
    pair: Comparison,
    random: np.ndarray,
    readout: FeatureReadout,
    n_top: int,
) -> pd.DataFrame:
    """Return the top features, as positions; `random` are changes per dose ``(n, n_features)``."""
    shift, amount = shifts.mean[i, group].astype(np.float32), shifts.dose[i, group]
    change = readout.weights @ shift
    expected, spread = random.mean(0) * amount, random.std(0, ddof=1) * amount
    z = np.divide(change - expected, spread, out=np.zeros_like(change), where=spread > 0)
    if readout.modality == RNA:
        z[shifts.genes[i]] = 0.0  # the gene itself is not scored
    top = np.argsort(-np.abs(z), kind="stable")[:n_top]
    top = top[z[top] != 0]
    return pd.DataFrame(
        {
            "feature": top,
            "rank": np.arange(1, len(top) + 1),
            "change": change[top],
            "expected": expected[top],
            "background_std": spread[top],
            "z": z[top],
            "head_std": readout.spread(shift, top),
        }
    )


def _as_shown(values: np.ndarray, modality: str) -> np.ndarray:
    """Return log odds as probabilities, logs of counts as counts, log expression as it is."""
    values = np.asarray(values, np.float64)
    if modality == RNA:
        return np.maximum(values, 0)
    return 1 / (1 + np.exp(-values)) if modality == ATAC else np.exp(values)
