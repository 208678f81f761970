"""Files of a corpus: what they are, and how the counts are read from them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _counts import are_counts, pseudocounts, recover_counts
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs
from scmomer.data import modality_masks, usual_keys

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data"))
BATCH = "batch"
NAME = "name"  # column of var: the name to match
MODALITIES = ("rna", "atac")
RESTORE = {"lognorm": recover_counts, "log2": pseudocounts}
SUFFIXES = (".h5ad", ".h5mu")
Parts = dict[str, AnnData]  # by modality


@dataclass(frozen=True)
class Source:
    """One file of a corpus, or some of its cells."""

    name: str
    path: Path
    species: str = ""
    """Files with a species must agree; likewise the assembly."""
    assembly: str = ""
    batch_key: str = ""
    """Column of obs with batches of this file."""
    gene_key: str = ""
    """Column of var with gene symbols, if var_names are something else."""
    keep: str = ""
    """``column=value``: only these cells."""
    restore: str = ""
    """How RNA was transformed, if there are no counts: ``lognorm`` or ``log2``."""
    modalities: tuple[str, ...] = MODALITIES


# -- lists of files


def find_sources(paths: list[Path], batch_key: str = "") -> list[Source]:
    """Return the files of folders, of tables (CSV with fields of Source) and single files."""
    found = [source for path in paths for source in _sources_of(path, batch_key)]
    names = pd.Index([s.name for s in found])
    if names.has_duplicates:
        raise SystemExit(
            f"Expected different names of files, found {names[names.duplicated()][0]!r} twice. "
            "Rename one, or give names in a table (CSV with columns name, path)."
        )
    if not found:
        raise SystemExit(f"Expected files .h5ad or .h5mu, found none in {[*map(str, paths)]}.")
    return found


def _sources_of(path: Path, batch_key: str) -> Iterator[Source]:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES)
        yield from (Source(p.stem, p, batch_key=batch_key) for p in files)
    elif path.suffix == ".csv":
        yield from _rows(path, batch_key)
    elif path.suffix in SUFFIXES:
        yield Source(path.stem, path, batch_key=batch_key)
    else:
        raise SystemExit(f"Expected a folder, .h5ad, .h5mu or .csv, found {path}.")


def _rows(table: Path, batch_key: str) -> Iterator[Source]:
    """Yield the rows of a table; paths are relative to it."""
    known = {field.name for field in fields(Source)}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            given = {key: value for key, value in row.items() if value}
            if not given.keys() <= known or "path" not in given:
                raise SystemExit(
                    f"Expected columns among {sorted(known)} with a path in {table}, found "
                    f"{sorted(map(str, given))}. Rename them."
                )
            path = table.parent / given.pop("path")
            wanted = tuple(given.pop("modalities", " ".join(MODALITIES)).split())
            options = {"name": path.stem, "batch_key": batch_key, **given}
            yield Source(path=path, modalities=wanted, **options)


def human_rna() -> list[Source]:
    """RNA of human cells: blood, marrow, pancreas and cell lines."""
    rows: list[tuple[str, str, dict[str, str]]] = [
        ("facs", "rna/pbmc_facs_3774.h5ad", {"gene_key": "symbol"}),
        ("multiome", "multiome/pbmc10x_100.h5mu", {}),
        ("kang", "rna/kang_pbmc_lognorm.h5ad", {"restore": "lognorm"}),
        ("baron", "rna/pancreas_baron_350.h5ad", {"keep": "Batch=human", "batch_key": "Sample"}),
        ("xin", "rna/pancreas_xin_lognorm.h5ad", {"restore": "log2"}),
        ("wang", "rna/pancreas_wang_lognorm.h5ad", {"restore": "log2"}),
        ("bmmc_cite", "protein/bmmc_cite.h5mu", {"batch_key": "batch"}),
        ("bmmc_a", "multiome/bmmc_a.h5mu", {"batch_key": "batch"}),
        ("bmmc_b", "multiome/bmmc_b.h5mu", {"batch_key": "batch"}),
        ("mosaic", "protein/pbmc_rna_adt_mosaic.h5mu", {"batch_key": "batch"}),
        ("papalexi", "perturbation/papalexi_eccite.h5ad", {"batch_key": "bio_rep"}),
        ("norman", "perturbation/norman_k562_subset.h5ad", {}),
    ]
    return [
        Source(name, DATA / path, "human", modalities=("rna",), **options)
        for name, path, options in rows
    ]


def mouse_cortex() -> list[Source]:
    """SNARE-seq of the mouse cortex; each batch is a file of its own."""
    path = DATA / "multiome" / "snareseq_cortex.h5mu"
    return [
        Source(f"09{letter}", path, "mouse", "mm10", keep=f"batch=09{letter}")
        for letter in "ABCDEFGHIJ"
    ]


CORPORA = {"human_rna": human_rna, "mouse_cortex": mouse_cortex}


# -- reading


def read_source(source: Source) -> Parts:
    """Return the counts of a file as CSR, with ``obs["batch"]`` and names in ``var["name"]``."""
    data = _open(source)
    parts = {
        m: _plain(adata, data, source, m)
        for m, adata in _modalities(data).items()
        if m in source.modalities
    }
    if not parts:
        raise SystemExit(
            f"Expected {' or '.join(source.modalities)} in {source.path}, found "
            f"{list(data.mod) if isinstance(data, MuData) else 'other features'}. Leave the file out."
        )
    return parts


def _open(source: Source) -> AnnData | MuData:
    if not source.path.exists():
        raise SystemExit(f"Expected a file {source.path}, found none. Set SCMOMER_DATA?")
    if source.path.suffix == ".h5mu":
        with keep_obs():
            return md.read_h5mu(source.path)
    adata = ad.read_h5ad(source.path)
    adata.obs_names_make_unique()
    return adata


def _modalities(data: AnnData | MuData) -> Parts:
    if isinstance(data, MuData):
        keys = {m: usual_keys(data, m) for m in MODALITIES}
        return {m: data[found[0]] for m, found in keys.items() if found}
    masks = {m: mask for m, mask in modality_masks(data).items() if m in MODALITIES}
    return {m: data if mask.all() else data[:, mask] for m, mask in masks.items()}


def _plain(adata: AnnData, data: AnnData | MuData, source: Source, modality: str) -> AnnData:
    """Return what a shard needs of one modality, and nothing else."""
    if source.keep:
        column, _, value = source.keep.partition("=")
        adata = adata[(_column(adata, data, column, source) == value).to_numpy()]
    counts = _with_counts(adata, source, modality)
    batch = _column(adata, data, source.batch_key, source) if source.batch_key else ""
    key = source.gene_key if modality == "rna" else ""
    names = counts.var[key] if key and key in counts.var else counts.var_names.to_series()
    names = names.astype(object).where(names.notna(), "").astype(str).to_numpy()
    obs = pd.DataFrame({BATCH: batch}, index=adata.obs_names.astype(str), dtype=object)
    X = sp.csr_matrix(counts.X, dtype=np.float32)
    X.eliminate_zeros()
    if modality == "atac":
        once = ~pd.Index(names).duplicated()
        return AnnData(X[:, once], obs=obs, var=pd.DataFrame({NAME: names[once]}, names[once]))
    places = pd.Index([f"gene{i}" for i in range(len(names))])  # symbols may occur twice
    return AnnData(X, obs=obs, var=pd.DataFrame({NAME: names}, places))


def _column(adata: AnnData, data: AnnData | MuData, key: str, source: Source) -> pd.Series:
    """Return a column of obs for the cells of a modality, as text."""
    for obs in (adata.obs, data.obs):
        if key in obs:
            return obs[key].reindex(adata.obs_names).astype(object).fillna("unknown").astype(str)
    raise SystemExit(
        f"Expected column {key!r} in obs of {source.path}, found {adata.obs.columns.tolist()}."
    )


def _with_counts(adata: AnnData, source: Source, modality: str) -> AnnData:
    """Return the data with counts in X: from X, ``layers["counts"]`` or raw, or restored."""
    if source.restore and modality == "rna":
        if source.restore not in RESTORE:
            raise SystemExit(f"Expected restore among {[*RESTORE]}, found {source.restore!r}.")
        restored = RESTORE[source.restore](adata)
        restored.var = adata.var
        return restored
    if are_counts(adata.X):
        return adata
    if "counts" in adata.layers and are_counts(adata.layers["counts"]):
        return AnnData(adata.layers["counts"], obs=adata.obs, var=adata.var)
    if adata.raw is not None and are_counts(adata.raw.X):
        raw = AnnData(adata.raw.X, obs=adata.obs, var=adata.raw.var)
        return raw[:, modality_masks(raw)[modality]]
    raise SystemExit(
        f"Expected counts in X, layers['counts'] or raw of {source.path} ({modality}), found "
        "fractions or negative values. If X is log-normalized, list the file in a table (CSV) with "
        f"column restore: {' or '.join(RESTORE)}."
    )
