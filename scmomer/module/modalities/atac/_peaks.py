"""Peak names as genomic intervals."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

_INT = r"\d{1,3}(?:,\d{3})+|\d{1,12}"
_PEAK = rf"^\s*(?P<chrom>\S.*)[:_.|\s-](?P<start>{_INT})(?:[:_.|\s-]|\.\.)(?P<end>{_INT})\s*$"
_COLUMNS = (
    ("chrom", "chr", "seqnames", "chromosome"),
    ("start", "chromstart"),
    ("end", "chromend"),
)


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


def are_peaks(names: pd.Index) -> np.ndarray:
    """Return which names parse as genomic intervals, ``(n_names,)`` bool."""
    return np.asarray(names.astype(str).str.match(_PEAK), bool)


def looks_like_peaks(names: pd.Index) -> bool:
    """Whether most of the first names parse as genomic intervals."""
    head = names[:200]
    return bool(len(head)) and float(are_peaks(head).mean()) > 0.5


def parse_peaks(
    names: pd.Index,
    where: str = "the ATAC modality's var_names",
    *,
    empty: bool = True,
    var: pd.DataFrame | None = None,
) -> PeakPositions:
    """Parse ``chrom:start-end``, ``chrom_start_end``, ``chrom-start-end`` or ``chrom.start.end``.

    Numbers may have commas (``chr1:1,000-2,000``).

    Parameters
    ----------
    names
        Names of peaks.
    where
        Where they are, for messages.
    empty
        Accept peaks that end where they start.
    var
        Annotation of the peaks, which may hold better names to suggest.

    Raises
    ------
    ValueError
        If a name does not parse, or ends before it starts.
    """
    parts = names.to_series().astype(str).str.extract(_PEAK)
    bad = parts["chrom"].isna().to_numpy()
    if not bad.any():
        start, end = (
            parts[c].str.replace(",", "").astype(np.int64).to_numpy() for c in ("start", "end")
        )
        bad = end < start if empty else end <= start
    if bad.any():
        msg = (
            "Expected peak names such as chr1:1000-1500, chr1_1000_1500 or chr1-1000-1500, found "
            f"{int(bad.sum())} of {len(names)} that are not: "
            f"{', '.join(repr(str(n)) for n in names[bad][:5])}. "
            f"{_remedy(var, where.removesuffix('.var_names')) or f'Rename them in {where}.'}"
        )
        raise ValueError(msg)
    chromosomes = pd.Index(sorted(pd.unique(parts["chrom"]), key=_natural), dtype=object)
    codes = chromosomes.get_indexer(parts["chrom"]).astype(np.int64)
    return PeakPositions(codes, start, end, chromosomes)


def peaks_in_one_notation(names: pd.Index) -> pd.Index | None:
    """Return names of any notation as ``1:1000-1500``; None if one does not parse."""
    parts = names.to_series().astype(str).str.extract(_PEAK)
    if parts["chrom"].isna().any():
        return None
    chrom = plain_chromosomes(pd.Index(parts["chrom"])).to_numpy(object)
    start, end = (
        parts[c].str.replace(",", "").astype(np.int64).astype(str).to_numpy(object)
        for c in ("start", "end")
    )
    return pd.Index(chrom + ":" + start + "-" + end, dtype=object)


def plain_chromosomes(names: pd.Index) -> pd.Index:
    """Return chromosomes without ``chr`` or ``Chr``; ``M`` becomes ``MT``."""
    plain = names.astype(str).str.replace(r"^chr", "", case=False, regex=True)
    return plain.where(plain != "M", "MT")


def _remedy(var: pd.DataFrame | None, owner: str) -> str | None:
    """Return the line of code that names peaks by their annotation, if that has intervals."""
    if var is None:
        return None
    for column in var.columns:
        if len(var) and are_peaks(pd.Index(var[column].astype(str))).all():
            return (
                "Name them by their intervals: "
                f"`{owner}.var_names = {owner}.var[{column!r}].to_numpy()`."
            )
    lower = {str(column).lower(): column for column in var.columns}
    found = [next((lower[n] for n in names if n in lower), None) for names in _COLUMNS]
    if any(column is None for column in found):
        return None
    chrom, start, end = found
    return (
        f"Name them by their intervals: `v = {owner}.var; {owner}.var_names = "
        f"v[{chrom!r}].astype(str) + ':' + v[{start!r}].astype(str) + '-' + "
        f"v[{end!r}].astype(str)`."
    )


def _natural(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", name)
    return [(0, int(p)) if p.isdigit() else (1, p) for p in parts]
