"""Convert snareseq_cortex.h5mu to the bundled scmomer/datasets/snareseq_cortex.npz.

Counts are stored by feature, as byte planes of the differences of cell indices, in a plain .npz: a
quarter of the size of the HDF5 file. The result is loaded again and compared.

Run from the root of the repository: python benchmarks/convert_snareseq.py
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from scmomer._compat import keep_obs
from scmomer.datasets import _snareseq

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data"))
LIMIT = 5_000_000  # bytes; small enough for a repository and a wheel


def main() -> None:
    """Read, write, verify and report."""
    args = _arguments()
    source = _read(args.source)
    np.savez_compressed(args.out, **dict(_arrays(source)))
    size = args.out.stat().st_size
    if size > LIMIT:
        raise SystemExit(f"Expected at most {LIMIT:,} bytes, {args.out} has {size:,}.")
    seconds = _verify(source, args.out)
    print(f"{args.out}: {size:,} bytes, loads in {seconds:.2f} s, equal to the source")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = DATA / "multiome" / "snareseq_cortex.h5mu"
    parser.add_argument("--source", type=Path, default=source, help="h5mu to read (%(default)s)")
    parser.add_argument("--out", type=Path, default=_snareseq.FILE, help="npz to write")
    return parser.parse_args()


def _read(path: Path) -> MuData:
    with keep_obs():
        return mudata.read_h5mu(path)


def _arrays(mdata: MuData) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and contents of the members of the .npz."""
    for name in ("rna", "atac"):
        yield from _counts(name, mdata[name].X)
    for name in _snareseq.OBS_COLUMNS:
        yield from _categorical(name, mdata["rna"].obs[name])
    yield "barcodes", _ascii(mdata["rna"].obs_names.str.split("_").str[1])
    yield "genes", _ascii(mdata["rna"].var_names)
    peaks = mdata["atac"].var
    yield "start", peaks["start"].astype(np.int32).to_numpy()
    yield "end", peaks["end"].astype(np.int32).to_numpy()
    yield from _categorical("chrom", peaks["chrom"])
    yield from _categorical("linked_gene", peaks["linked_gene"])


def _counts(name: str, X: sparse.csr_matrix) -> Iterator[tuple[str, np.ndarray]]:
    """Inverse of ``scmomer.datasets._snareseq._counts``."""
    by_feature = X.tocsc()
    by_feature.sort_indices()
    cells = by_feature.indices
    assert cells.max() < 2**16 and by_feature.data.max() < 2**16, "values exceed 16 bits"
    yield f"{name}_nnz", np.diff(by_feature.indptr).astype(np.uint16)
    yield f"{name}_step", _planes(np.diff(cells, prepend=0) % 2**16)
    yield f"{name}_count", _planes(by_feature.data)


def _planes(values: np.ndarray) -> np.ndarray:
    """Return low and high bytes, uint8 ``(2, n)``, of integers below 2**16 ``(n,)``."""
    values = values.astype(np.uint16)
    return np.stack([values & 255, values >> 8]).astype(np.uint8)


def _categorical(name: str, column: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    categories = column.cat.categories
    yield name, column.cat.codes.to_numpy(np.uint8 if len(categories) < 256 else np.uint16)
    yield f"{name}_categories", _ascii(categories)


def _ascii(names: pd.Index) -> np.ndarray:
    return names.to_numpy(str).astype(bytes)


def _verify(source: MuData, path: Path) -> float:
    """Compare every count, name and label with the source; return the load time in seconds."""
    _snareseq.FILE = path
    start = time.perf_counter()
    loaded = _snareseq.snareseq_cortex()
    seconds = time.perf_counter() - start
    for name in ("rna", "atac"):
        ours, theirs = loaded[name], source[name]
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(ours.X, part), getattr(theirs.X, part))
        assert ours.X.dtype == theirs.X.dtype and ours.X.has_sorted_indices
        assert list(ours.var_names) == list(theirs.var_names)
    assert list(loaded.obs_names) == list(source["rna"].obs_names)
    _verify_columns(loaded.obs, source["rna"].obs)
    _verify_columns(loaded["atac"].var, source["atac"].var)
    return seconds


def _verify_columns(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    assert list(ours) == list(theirs), (list(ours), list(theirs))
    for name in theirs:
        assert (ours[name].astype(str) == theirs[name].astype(str)).all(), name


if __name__ == "__main__":
    main()
