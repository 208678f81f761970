"""Do the features of new data fit a model to begin with?"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scvi import settings

from scmomer._constants import ATAC, RNA
from scmomer.data import FEW_MATCHES, examples
from scmomer.module import MODALITY_TYPES, on_one_line, overlapping, parse_peaks

_FEW_PEAKS = 0.1


def check_features(modality: str, features: pd.Index, source: pd.Index, rows: np.ndarray) -> None:
    """Raise if hardly any feature of the data, or of the model, is in the other.

    Parameters
    ----------
    modality
        What they are of.
    features, source
        Names of both.
    rows
        Position of each feature of the data in the source, -1 if it is new.
    """
    what, n = MODALITY_TYPES[modality].feature_name, int((rows >= 0).sum())
    share = n / min(len(features), len(source))
    found = (
        f"{n} of the {len(features)} {what} of the data (such as {examples(features)}) among the "
        f"{len(source)} of the model (such as {examples(source)})"
    )
    if modality == ATAC:
        _check_peaks(features, source, share, found)
    elif share < FEW_MATCHES:
        msg = f"Expected data of the same species and names as the model in init_from=, found {found}."
        if modality == RNA:
            msg += (
                " Map genes to the model first: `rna = scmomer.pp.align_genes(rna, model, "
                "orthologs=table)` for another species, or gene_key= for other names."
            )
        raise ValueError(msg)


def _check_peaks(features: pd.Index, source: pd.Index, share: float, found: str) -> None:
    """Raise if peaks are probably of another assembly; warn if they match as by chance."""
    if share < _FEW_PEAKS:
        msg = (
            f"Expected peaks of the same assembly as the model in init_from=, found {found}. Lift "
            "the peaks over (liftOver, CrossMap)."
        )
        raise ValueError(msg)
    ours, theirs = on_one_line(parse_peaks(features), parse_peaks(source))
    chance = len(np.unique(overlapping(ours.shifted(), theirs).query)) / len(features)
    if share < 2 * chance < 1:
        warnings.warn(
            f"Found {found}, little more than by chance ({chance:.0%} after a shift by 1 Mb). Check "
            "that both have the same assembly.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
