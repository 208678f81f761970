"""Feature names: duplicates, peak coordinates, matching a query to the model by name."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scvi import settings

from scmomer._constants import ATAC, PROTEIN, RNA, Modality

logger = logging.getLogger(__name__)

_PEAK = r"^(?P<chrom>.+)[:_-](?P<start>\d{1,12})[-_](?P<end>\d{1,12})$"
FEW_MATCHES = 0.2
_ANTIBODIES = "Antibody Capture"


def check_unique(names: pd.Index, where: str, remedy: str | None = None) -> None:
    """Raise if a name occurs twice; `where` is the attribute, such as ``adata.var_names``."""
    if names.is_unique:
        return
    twice = names[names.duplicated()].unique()
    msg = (
        f"Expected unique names in {where}, found {len(twice)} that occur more than once "
        f"({', '.join(map(str, twice[:5]))}{', ...' if len(twice) > 5 else ''}). "
        f"{remedy or f'Run `{where}_make_unique()` or drop the repeats.'}"
    )
    raise ValueError(msg)


@dataclass(frozen=True)
class PeakPositions:
    """Coordinates of peaks."""

    chromosome: np.ndarray
    """Position in `chromosomes`, ``(n_peaks,)`` int64."""
    start: np.ndarray
    """First base, ``(n_peaks,)`` int64."""
    end: np.ndarray
    """Base after the last, ``(n_peaks,)`` int64."""
    chromosomes: pd.Index
    """Chromosomes as the names write them, in natural order (chr2 before chr10)."""


def looks_like_peaks(names: pd.Index) -> bool:
    """Say whether most of the first names parse as genomic intervals."""
    head = names[:200].astype(str)
    return bool(len(head)) and float(head.str.match(_PEAK).mean()) > 0.5


def looks_like(adata: AnnData) -> Modality:
    """Return the modality that an AnnData seems to hold, by feature names and types.

    Proteins are known by the feature type ``"Antibody Capture"`` of 10x files; a name such as CD4
    can be that of a gene.
    """
    types = adata.var.get("feature_types")
    if types is not None and (types.astype(str) == _ANTIBODIES).mean() > 0.5:
        return PROTEIN
    return ATAC if looks_like_peaks(adata.var_names) else RNA


def parse_peaks(
    names: pd.Index, where: str = "the ATAC modality's var_names", *, empty: bool = True
) -> PeakPositions:
    """Read ``chrom:start-end``, ``chrom_start_end`` or ``chrom-start-end``.

    Parameters
    ----------
    names
        Names of peaks.
    where
        How messages name their place.
    empty
        Accept peaks that end where they start.

    Raises
    ------
    ValueError
        If a name does not parse, or ends before it starts.
    """
    parts = names.to_series().astype(str).str.extract(_PEAK)
    bad = parts["chrom"].isna().to_numpy()
    if not bad.any():
        start, end = (parts[c].astype(np.int64).to_numpy() for c in ("start", "end"))
        bad = end < start if empty else end <= start
    if bad.any():
        msg = (
            "Expected peak names such as chr1:1000-1500, chr1_1000_1500 or chr1-1000-1500, found "
            f"{int(bad.sum())} of {len(names)} that are not: "
            f"{', '.join(repr(str(n)) for n in names[bad][:5])}. "
            f"Rename them in {where}."
        )
        raise ValueError(msg)
    chromosomes = pd.Index(sorted(pd.unique(parts["chrom"]), key=_natural), dtype=object)
    codes = chromosomes.get_indexer(parts["chrom"]).astype(np.int64)
    return PeakPositions(codes, start, end, chromosomes)


def _natural(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", name)
    return [(0, int(p)) if p.isdigit() else (1, p) for p in parts]


def align_by_name(
    counts: sp.csr_matrix, found: pd.Index, expected: pd.Index, what: str, where: str
) -> sp.csr_matrix:
    """Bring columns into the model's order by name, as one sparse product.

    Parameters
    ----------
    counts
        Shape ``(n_cells, len(found))``.
    found, expected
        Feature names of the query and of the model.
    what
        ``"genes"`` or ``"peaks"``, for messages.
    where
        How messages name the query, for example ``mdata['rna']``.

    Returns
    -------
    csr_matrix
        Shape ``(n_cells, len(expected))``; features that the query lacks are empty.

    Raises
    ------
    ValueError
        If no name is shared, or a name of the query occurs twice.
    """
    if found.equals(expected):
        return counts
    check_unique(found, f"{where}.var_names")
    column = expected.get_indexer(found)  # position in the model, -1 if unknown to it
    known = np.flatnonzero(column >= 0)
    _report_matches(len(known), found, expected, what)
    selection = sp.csr_matrix(
        (np.ones(len(known), counts.dtype), (known, column[known])),
        shape=(len(found), len(expected)),
    )
    aligned = (counts @ selection).tocsr()
    aligned.sort_indices()
    return aligned


def _report_matches(n_known: int, found: pd.Index, expected: pd.Index, what: str) -> None:
    n = len(expected)
    if n_known == 0:
        msg = (
            f"Expected {what} of the model such as {examples(expected)}, found none of its {n} "
            f"among the query's {len(found)} (such as {examples(found)}). "
            f"Check species and naming (symbols or Ensembl ids, peak set) of var_names; {_advice(what)}"
        )
        raise ValueError(msg)
    extra = len(found) - n_known
    text = (
        f"{n_known} of the model's {n} {what} found in the query ({n_known / n:.0%}); "
        f"{n - n_known} missing ones count as zero, {extra} others are left out."
    )
    if n_known / n < FEW_MATCHES:
        missing = expected[~expected.isin(found)]
        warnings.warn(
            f"Only {text} Missing are for example {examples(missing)}. Results from so few "
            f"{what} are unreliable; {_advice(what)}",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    else:
        logger.info(text)


def _advice(what: str) -> str:
    if what == "proteins":
        return "rename them after the model's (`model.spec.features['protein']`)."
    return f"`scmomer.pp.align_{what}(adata, model)` matches {what} by more than their names."


def examples(names: Sequence[Any] | pd.Index | np.ndarray) -> str:
    """Return the first names, quoted, for messages."""
    return ", ".join(repr(str(name)) for name in names[:3])
