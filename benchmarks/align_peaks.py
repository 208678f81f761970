"""Time and memory of ``pp.align_peaks``.

    python benchmarks/align_peaks.py [--cells 100000] [--peaks 300000] [--counts 2500]
                                     [--json benchmarks/results/align_peaks.json]

Random counts (float32, CSR) on peaks like those of a peak caller, and a second peak set: the same
peaks with shifted borders, a fifth of them elsewhere. Time and memory are of one call, from AnnData
to AnnData, with its checks; memory is the peak that the call adds, including its result.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _measure import machine, peak_mb, seconds, versions
from _report import write_report
from anndata import AnnData

from scmomer.pp import align_peaks

N_CHROMOSOMES = 24
GENOME = 3_000_000_000
WIDTH = (300, 900)
JITTER = 200  # base pairs by which starts differ in the second set
NEW = 0.2  # share of new peaks in the second set
CHUNK = 1000  # cells


def peak_names(start: np.ndarray, rng: np.random.Generator) -> pd.Index:
    """Return the names of peaks at the given starts, in genomic order."""
    start = np.sort(start)
    length = GENOME // N_CHROMOSOMES + 1
    chrom, start = pd.Series(start // length + 1), pd.Series(start % length)
    end = start + rng.integers(*WIDTH, size=len(start))
    return pd.Index("chr" + chrom.astype(str) + ":" + start.astype(str) + "-" + end.astype(str))


def peak_sets(n: int, rng: np.random.Generator) -> tuple[pd.Index, pd.Index]:
    """Return two sets of `n` peaks."""
    distance = GENOME // n
    first = np.arange(n) * distance + rng.integers(0, max(distance - WIDTH[1], 1), n) + JITTER
    second = first + rng.integers(-JITTER, JITTER, n)
    second = np.where(rng.random(n) < NEW, rng.integers(0, GENOME, n), second)
    return peak_names(first, rng), peak_names(second, rng).unique()


def random_counts(n: int, n_peaks: int, counts: int, rng: np.random.Generator) -> sp.csr_matrix:
    """Return about `counts` open peaks in each of `n` cells, without further memory."""
    gap = max(n_peaks // counts, 1)
    chunks = []
    for first in range(0, n, CHUNK):
        shape = (min(CHUNK, n - first), n_peaks // gap)
        columns = np.cumsum(rng.integers(1, 2 * gap, shape, dtype=np.int32), axis=1) - 1
        inside = columns < n_peaks
        chunks.append((columns[inside], inside.sum(1)))
    indices = np.concatenate([c for c, _ in chunks]).astype(np.int32, copy=False)
    indptr = np.concatenate([[0], *(n for _, n in chunks)]).cumsum()
    data = rng.integers(1, 4, len(indices), dtype=np.int8).astype(np.float32)
    return sp.csr_matrix((data, indices, indptr), shape=(n, n_peaks))


def measure(n_cells: int, n_peaks: int, counts: int) -> dict[str, Any]:
    """Run once."""
    rng = np.random.default_rng(0)
    names, target = peak_sets(n_peaks, rng)
    X = random_counts(n_cells, n_peaks, counts, rng)
    adata = AnnData(X, var=pd.DataFrame(index=names))
    adata.obs_names = adata.obs_names.astype(str)
    found: dict[str, Any] = {}

    def run() -> None:
        found["aligned"] = align_peaks(adata, target)

    def timed() -> None:
        found["seconds"] = seconds(run, "cpu")

    mb = peak_mb(timed, "cpu")
    aligned = found["aligned"].X
    return {
        "cells": n_cells,
        "peaks": n_peaks,
        "target_peaks": len(target),
        "stored_counts": int(X.nnz),
        "stored_counts_aligned": int(aligned.nnz),
        "seconds": found["seconds"],
        "peak_mb": mb,
        "input_mb": _size_mb(X),
        "result_mb": _size_mb(aligned),
    }


def _size_mb(X: sp.csr_matrix) -> float:
    return (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20


def main() -> None:
    """Print the numbers and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--peaks", type=int, default=300_000)
    parser.add_argument("--counts", type=int, default=2500, help="open peaks of a cell")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    args = parser.parse_args()
    logging.getLogger("scmomer").setLevel(logging.WARNING)
    row = measure(args.cells, args.peaks, args.counts)
    for name, value in row.items():
        print(f"{name:24s}{value:16,.1f}" if isinstance(value, float) else f"{name:24s}{value:14,}")
    result = {"machine": machine("cpu"), "versions": versions("scmomer", "anndata", "scipy"), **row}
    if args.json:
        write_report(args.json, result)


if __name__ == "__main__":
    main()
