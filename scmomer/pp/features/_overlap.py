"""Match one peak set to another, with checks, warnings and a report."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
from scvi import settings

from scmomer.data import PeakPositions, parse_peaks
from scmomer.module import (
    IntervalPairs,
    Spans,
    containing_center,
    on_one_line,
    overlapping,
    shared_chromosomes,
)
from scmomer.pp.features._report import report

How = Literal["overlap", "center"]


def read_peaks(names: pd.Index, where: str) -> PeakPositions:
    """Return the coordinates of peak names; raise if a peak is empty."""
    return parse_peaks(names, where, empty=False)


def match_intervals(
    query: PeakPositions,
    target: PeakPositions,
    how: How,
    min_overlap: int,
    min_share: float,
    argument: str,
) -> IntervalPairs:
    """Return which peaks match which targets.

    Raises
    ------
    ValueError
        If no chromosome is shared, or less than `min_share` of the query's peaks match.
    """
    _check_chromosomes(query, target, argument)
    ours, theirs = on_one_line(query, target)

    def match(spans: Spans) -> IntervalPairs:
        if how == "center":
            return containing_center(spans, theirs)
        return overlapping(spans, theirs, min_overlap)

    pairs = match(ours)
    n, matched = len(ours.start), _n_unique(pairs.query)
    if matched / n < min_share:
        msg = (
            f"Expected at least {min_share:.0%} of adata's peaks to match those of `{argument}`, "
            f"found {matched} of {n} ({matched / n:.1%}); shared chromosomes: "
            f"{len(shared_chromosomes(query, target))}. The assemblies probably differ (hg19 "
            "and hg38, "
            "mm9 and mm10): lift the peaks over to the target assembly (liftOver, CrossMap). "
            "If the "
            "assembly is the same and few peaks should match, lower min_share"
            f"{' or min_overlap' if min_overlap > 1 else ''}."
        )
        raise ValueError(msg)
    _warn_of_chance(matched / n, _n_unique(match(ours.shifted()).query) / n, argument)
    return pairs


def _check_chromosomes(query: PeakPositions, target: PeakPositions, argument: str) -> None:
    """Raise if the two sets share no chromosome."""
    if len(shared_chromosomes(query, target)):
        return
    ours, theirs = (", ".join(map(repr, p.chromosomes[:5])) for p in (query, target))
    msg = (
        f"adata and {argument} share no chromosomes: adata has {ours}, {argument} has {theirs}. "
        "Check the species and the chromosome names (`chr` is ignored)."
    )
    raise ValueError(msg)


def check_share(share: float, name: str = "min_share") -> None:
    """Raise if a share is not between 0 and 1."""
    if not 0 <= share <= 1:
        msg = f"Expected {name} from 0 to 1, found {share!r}."
        raise ValueError(msg)


def _warn_of_chance(share: float, chance: float, argument: str) -> None:
    """Warn if hardly more peaks match than the same peaks shifted."""
    if share < 2 * chance < 1:  # not informative if targets cover half of the genome
        warnings.warn(
            f"{share:.0%} of adata's peaks match those of `{argument}`, little more than by chance "
            f"({chance:.0%} after a shift by 1 Mb). Check that both have the same assembly.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )


def report_overlap(pairs: IntervalPairs, n_query: int, n_target: int, what: str) -> None:
    """Log how many peaks match; warn if most new features are empty."""
    matched, filled = (_n_unique(side) for side in pairs)
    report(
        f"{matched} of {n_query} peaks ({matched / n_query:.0%}) match {filled} of {n_target} "
        f"{what} ({filled / n_target:.0%}); the rest are left out.",
        filled / n_target,
    )


def interval_var(peaks: PeakPositions, names: pd.Index) -> pd.DataFrame:
    """Return ``var`` of intervals, ``(n_peaks, 3)``."""
    chrom = pd.Categorical.from_codes(peaks.chromosome, peaks.chromosomes)
    columns = {"chrom": chrom, "start": peaks.start, "end": peaks.end}
    return pd.DataFrame(columns, index=pd.Index(names, name=None))


def _n_unique(positions: np.ndarray) -> int:
    return len(np.unique(positions))
