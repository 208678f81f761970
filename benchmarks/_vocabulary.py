"""Common features of a corpus: which genes and peaks, and which files share too few of them.

One rule for both: a feature is kept if it was measured in at least `min_files` files. 1 is the
union, the number of files the intersection; more than there are files counts as all. Genes also need
`min_cells` cells of the corpus that express them; peaks were called from cells that have them. The
file that shares least is left out if that is less than `MIN_SHARE`, and features are chosen again,
until every file shares enough: its cells would be zero in most features, which nobody measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _sources import NAME, Parts, Source

from scmomer.module import parse_peaks, plain_chromosomes, strip_versions

MIN_SHARE = 0.2
WHAT = {"rna": "genes", "atac": "peaks"}
_CHUNK = 1_000_000  # counts
Tables = dict[str, pd.DataFrame]  # features by file


@dataclass(frozen=True)
class Survey:
    """What one pass over a file finds."""

    source: Source
    n_cells: dict[str, int]
    """Cells of each modality."""
    n_paired: int
    features: Tables
    """By modality. Index: gene in one spelling, or peak; columns ``name``, ``cells`` with counts."""

    def n_with(self, modalities: tuple[str, ...]) -> int:
        """Return the number of cells that have any of the modalities."""
        return sum(self.n_cells[m] for m in modalities) - self.n_paired * (len(modalities) > 1)


@dataclass(frozen=True)
class Rule:
    """Where a feature must occur."""

    min_files: int = 1
    min_cells: int = 10

    def in_enough(self, files: pd.Series | np.ndarray, n_files: int) -> pd.Series | np.ndarray:
        """Return whether the numbers of files are enough, of `n_files`."""
        return files >= min(self.min_files, n_files)


def survey(source: Source, parts: Parts) -> Survey:
    """Count cells, and cells with counts of each feature."""
    cells = [p.obs_names for p in parts.values()]
    paired = len(cells[0].intersection(cells[1])) if len(cells) == 2 else 0
    features = {}
    for m, part in parts.items():
        names = pd.Index(part.var[NAME], dtype=object)
        table = pd.DataFrame({"name": names, "cells": cells_with_counts(part.X)})
        table = table[(table["name"] != "").to_numpy()]
        keys = one_spelling(table["name"]) if m == "rna" else table["name"]
        features[m] = table.groupby(keys.to_numpy(), sort=False).agg(
            {"name": "first", "cells": "sum"}
        )
    return Survey(source, {m: p.n_obs for m, p in parts.items()}, paired, features)


def cells_with_counts(X: sp.csr_matrix) -> np.ndarray:
    """Return the stored counts of each feature, without a copy of all indices as int64."""
    parts = (X.indices[i : i + _CHUNK] for i in range(0, X.nnz, _CHUNK))
    return sum((np.bincount(p, minlength=X.shape[1]) for p in parts), np.zeros(X.shape[1], int))


def one_spelling(names: pd.Series) -> pd.Index:
    """Return genes in upper case without Ensembl versions, as ``pp.align_genes`` matches them."""
    return strip_versions(pd.Index(names, dtype=object)).str.upper()


# -- genes


def common_genes(tables: Tables, rule: Rule) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the genes of the vocabulary, and the share of them in each file."""
    groups = pd.concat(tables.values()).groupby(level=0, sort=False)
    found = groups.agg(name=("name", "first"), files=("name", "size"), cells=("cells", "sum"))
    enough = rule.in_enough(found["files"], len(tables))
    found = found[enough & (found["cells"] >= rule.min_cells)]
    return found, {n: float(found.index.isin(t.index).mean()) for n, t in tables.items()}


# -- peaks


def common_peaks(tables: Tables, rule: Rule) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return peaks that do not overlap each other, and the share of them in each file.

    Files go by their number of peaks: those of the largest, then those of the next that overlap
    none so far, and so on. Peaks keep their width, which unions of many files would not.
    """
    spans = _spans(tables)
    kept = pd.DataFrame({"name": [], "start": [], "end": []})
    for name in sorted(spans, key=lambda n: (-len(spans[n]), n)):
        kept = _with_new(kept, spans[name])
    hit = {name: _overlapped(kept, span) for name, span in spans.items()}
    found = kept[rule.in_enough(np.sum([*hit.values()], axis=0), len(tables))]
    return found, {n: float(hit[n][found.index].mean()) for n in tables}


def _spans(tables: Tables) -> dict[str, pd.DataFrame]:
    """Return name, start and end of the peaks, all chromosomes on one line, in order."""
    order: dict[str, int] = {}
    spans = {}
    for name, table in tables.items():
        peaks = parse_peaks(pd.Index(table.index), f"the peaks of {name}")
        plain = plain_chromosomes(pd.Index(peaks.chromosomes))
        offset = np.array([order.setdefault(c, len(order)) for c in plain], np.int64) << 32
        at = offset[peaks.chromosome]
        span = table.assign(start=at + peaks.start, end=at + peaks.end)
        spans[name] = span[span["end"] > span["start"]].sort_values("start", ignore_index=True)
    return spans


def _with_new(kept: pd.DataFrame, span: pd.DataFrame) -> pd.DataFrame:
    """Add the peaks that overlap none so far; of peaks that overlap each other, the first."""
    left = span[["name", "start", "end"]]
    while True:
        first, last = _range(kept, left)
        left = left[last <= first]
        if left.empty:
            return kept
        reach = np.r_[-1, np.maximum.accumulate(left["end"].to_numpy())[:-1]]
        fresh = left[left["start"].to_numpy() >= reach]
        kept = pd.concat([kept, fresh]) if len(kept) else fresh
        kept = kept.sort_values("start", ignore_index=True)


def _range(kept: pd.DataFrame, span: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the first kept peak that each peak overlaps, and the one after the last."""
    first = np.searchsorted(kept["end"].to_numpy(), span["start"].to_numpy(), side="right")
    return first, np.searchsorted(kept["start"].to_numpy(), span["end"].to_numpy(), side="left")


def _overlapped(kept: pd.DataFrame, span: pd.DataFrame) -> np.ndarray:
    """Return which of the kept peaks a peak of a file overlaps."""
    first, last = _range(kept, span)
    steps = np.zeros(len(kept) + 1, int)
    np.add.at(steps, first[last > first], 1)
    np.add.at(steps, last[last > first], -1)
    return steps.cumsum()[:-1] > 0


# -- both

Chooser = Callable[[Tables, Rule], tuple[pd.DataFrame, dict[str, float]]]
CHOOSERS: dict[str, Chooser] = {"rna": common_genes, "atac": common_peaks}


def choose(surveys: list[Survey], modality: str, rule: Rule) -> tuple[pd.Index, dict[str, str]]:
    """Return the common features of a modality, and the files left out with the reason."""
    tables = {s.source.name: s.features[modality] for s in surveys if modality in s.features}
    dropped: dict[str, str] = {}
    while True:
        found, shares = CHOOSERS[modality](tables, rule)
        if found.empty:
            raise SystemExit(
                f"Expected features of {modality} in at least {min(rule.min_files, len(tables))} of "
                f"{len(tables)} files and genes in {rule.min_cells} cells, found none. Lower "
                "--min-files or --min-cells; check that files have one species and kind of names."
            )
        worst = min(shares, key=lambda name: shares[name])
        if shares[worst] >= MIN_SHARE:
            return pd.Index(found["name"].to_numpy(dtype=object)), dropped
        dropped[worst] = f"shared {shares[worst]:.1%} of {len(found)} common {WHAT[modality]}"
        del tables[worst]


def shared_table(surveys: list[Survey], modality: str) -> pd.DataFrame:
    """Return how many features of each file, in rows, each other one has: genes, or overlaps."""
    tables = {s.source.name: s.features[modality] for s in surveys if modality in s.features}
    if modality == "rna":
        n = {a: {b: x.index.isin(y.index) for b, y in tables.items()} for a, x in tables.items()}
    else:
        spans = _spans(tables)
        n = {a: {b: _any_overlap(x, y) for b, y in spans.items()} for a, x in spans.items()}
    rows = {a: {b: int(found.sum()) for b, found in row.items()} for a, row in n.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _any_overlap(span: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """Return which peaks overlap any of the other peaks."""
    before = np.searchsorted(other["start"].to_numpy(), span["end"].to_numpy(), side="left")
    reach = np.r_[-1, np.maximum.accumulate(other["end"].to_numpy())]
    return reach[before] > span["start"].to_numpy()
