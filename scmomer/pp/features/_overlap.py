"""How much of a peak set landed on another one: refused, warned of, or reported."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
from scvi import settings

from scmomer.data import PeakPositions, parse_peaks
from scmomer.pp.features._intervals import (
    Pairs,
    Spans,
    containing_centre,
    on_one_line,
    overlapping,
    shared_chromosomes,
)
from scmomer.pp.features._report import report

How = Literal["overlap", "centre"]


def read_peaks(names: pd.Index, where: str) -> PeakPositions:
    """Return the coordinates in names of peaks, none of them empty."""
    return parse_peaks(names, where, empty=False)


def land(
    query: PeakPositions,
    target: PeakPositions,
    how: How,
    min_overlap: int,
    min_share: float,
    argument: str,
) -> Pairs:
    """Return which peaks land on which targets.

    Raises
    ------
    ValueError
        If no chromosome is shared, or fewer than `min_share` of the query's peaks land.
    """
    _check_chromosomes(query, target, argument)
    ours, theirs = on_one_line(query, target)

    def place(spans: Spans) -> Pairs:
        if how == "centre":
            return containing_centre(spans, theirs)
        return overlapping(spans, theirs, min_overlap)

    pairs = place(ours)
    n, landed = len(ours.start), _n_different(pairs.query)
    if landed / n < min_share:
        msg = (
            f"Expected at least {min_share:.0%} of adata's peaks to lie on those of `{argument}`, "
            f"found {landed} of {n} ({landed / n:.1%}); chromosomes in common: "
            f"{len(shared_chromosomes(query, target))}. Another assembly is likely (hg19 and hg38, "
            "mm9 and mm10): lift the peaks over to that of the target (liftOver, CrossMap). If the "
            "assembly is the same and few peaks should match, lower min_share"
            f"{' or min_overlap' if min_overlap > 1 else ''}."
        )
        raise ValueError(msg)
    _warn_of_chance(landed / n, _n_different(place(ours.moved()).query) / n, argument)
    return pairs


def _check_chromosomes(query: PeakPositions, target: PeakPositions, argument: str) -> None:
    """Raise if the two sets have no chromosome in common."""
    if len(shared_chromosomes(query, target)):
        return
    ours, theirs = (", ".join(map(repr, p.chromosomes[:5])) for p in (query, target))
    msg = (
        f"Expected chromosomes in common, found none: adata has {ours}, {argument} has {theirs}. "
        "Check the species and the names of chromosomes (with or without `chr` is the same)."
    )
    raise ValueError(msg)


def check_share(share: float, name: str = "min_share") -> None:
    """Raise if a share is no number from 0 to 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"Expected {name} from 0 to 1, found {share!r}.")


def _warn_of_chance(share: float, chance: float, argument: str) -> None:
    """Warn if hardly more peaks landed than of the same peaks elsewhere."""
    if share < 2 * chance < 1:  # a target that covers half of the genome tells nothing
        warnings.warn(
            f"{share:.0%} of adata's peaks lie on those of `{argument}`, little more than by chance: "
            f"moved by 1 Mb, {chance:.0%} do. Check that both have the same assembly.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )


def report_landing(pairs: Pairs, n_query: int, n_target: int, what: str) -> None:
    """Say how many peaks landed; a warning if most new features stay empty."""
    landed, filled = (_n_different(side) for side in pairs)
    report(
        f"{landed} of {n_query} peaks ({landed / n_query:.0%}) land on {filled} of {n_target} "
        f"{what} ({filled / n_target:.0%}); the others are left out.",
        filled / n_target,
    )


def interval_var(peaks: PeakPositions, names: pd.Index) -> pd.DataFrame:
    """Return ``var`` of intervals, ``(n_peaks, 3)``."""
    chrom = pd.Categorical.from_codes(peaks.chromosome, peaks.chromosomes)
    columns = {"chrom": chrom, "start": peaks.start, "end": peaks.end}
    return pd.DataFrame(columns, index=pd.Index(names, name=None))


def _n_different(positions: np.ndarray) -> int:
    return len(np.unique(positions))
