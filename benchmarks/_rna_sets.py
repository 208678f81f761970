"""Labeled cells of RNA alone, split in reference and query, with a model of the reference.

- ``pancreas``: Baron (human and mouse, 350 cells, counts) to Xin and Wang, shared types and genes.
  Xin and Wang are available as log2 expression of a full-length assay; ``round(2 ** x - 1)``
  replaces counts.
- ``kang``: control to interferon-stimulated PBMC. Available as log-normalized counts; the smallest
  value of a cell is one count, from which counts are recovered.
- ``facs``: five folds of 300 sorted PBMC.
- ``facs_deep``: five folds of 3,774 sorted PBMC, median 594 genes; each label was a library of its
  own.
- ``snareseq``: RNA of SNARE-seq, two batches unseen; cells without a subtype are left out.

``scanpy.datasets.pbmc68k_reduced`` is left out: it is scaled, and counts cannot be recovered.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import scipy.sparse as sp
import scvi
from _counts import pseudocounts, recover_counts
from _quality import data, kept_model
from anndata import AnnData
from sklearn.model_selection import StratifiedKFold

import scmomer

DATA = Path(os.environ.get("SCMOMER_DATA", "../shared/data")) / "rna"
Labeled = tuple[AnnData, np.ndarray]


class RnaSplit(NamedTuple):
    """Reference and query, and scMomer trained on the reference without labels."""

    name: str
    """Of the model, without the seed."""
    fold: str
    seed: int
    model: Any
    train: Labeled
    test: Labeled


def small_model(rna: AnnData, name: str, seed: int, args: Namespace, **options: Any) -> Any:
    """Return scMomer of RNA alone, with its defaults but for `options`."""

    def make() -> tuple[Any, dict[str, float]]:
        scvi.settings.seed = seed
        cells = rna.copy()
        scmomer.pp.setup_anndata(cells, modality="rna")
        model = scmomer.SCMOMER(cells, **options)
        model.train(args.max_epochs, enable_progress_bar=False)
        return model, {}

    path = None if args.models is None else args.models / f"{name}_{seed}.scmomer"
    return kept_model(path, make)[0]


def labeled(rna: AnnData) -> Labeled:
    """Return the cells of SNARE-seq that have a subtype, and their subtypes."""
    labels = rna.obs["cell_subtype"].astype(str).to_numpy()
    return rna[labels != "Mis"].copy(), labels[labels != "Mis"]


def _read(name: str) -> AnnData:
    found = ad.read_h5ad(DATA / f"{name}.h5ad")
    found.X = sp.csr_matrix(found.X)
    return found


def pancreas(args: Namespace) -> Iterator[RnaSplit]:
    """Baron to Xin and Wang."""
    baron = _read("pancreas_baron_350")
    labels = baron.obs["Group"].astype(str).replace("activated_stellate", "stellate").to_numpy()
    for seed in args.seeds:
        for name in ("xin", "wang"):
            query = pseudocounts(_read(f"pancreas_{name}_lognorm"))
            truth = query.obs["cell_type"].astype(str).to_numpy()
            known = np.isin(truth, labels)
            genes = baron.var_names[baron.var_names.isin(query.var_names)]
            train = AnnData(baron[:, genes].X.astype(np.float32), var=baron[:, genes].var[[]])
            train.obs_names = baron.obs_names
            model = small_model(train, f"baron_{name}", seed, args)
            print(f"  {name}, seed {seed}: {len(genes)} genes, {known.sum()} cells", flush=True)
            test = query[known, genes].copy(), truth[known]
            yield RnaSplit(f"baron_{name}", name, seed, model, (train, labels), test)


def kang(args: Namespace) -> Iterator[RnaSplit]:
    """Control to stimulated."""
    cells = recover_counts(_read("kang_pbmc_lognorm"))
    side = (cells.obs["condition"] == "control").to_numpy()
    labels = cells.obs["cell_type"].astype(str).to_numpy()
    train, test = ((cells[rows].copy(), labels[rows]) for rows in (side, ~side))
    for seed in args.seeds:
        model = small_model(train[0], "kang", seed, args)
        print(f"  kang, seed {seed}", flush=True)
        yield RnaSplit("kang", "stimulated", seed, model, train, test)


def facs(args: Namespace) -> Iterator[RnaSplit]:
    """Five folds of 300 sorted PBMC."""
    yield from _sorted_cells(args, "pbmc_facs_300", "cell_type", "facs")


def facs_deep(args: Namespace) -> Iterator[RnaSplit]:
    """Five folds of 3,774 sorted PBMC."""
    yield from _sorted_cells(args, "pbmc_facs_3774", "celltype", "deep")


def _sorted_cells(args: Namespace, file: str, key: str, name: str) -> Iterator[RnaSplit]:
    """Five folds; genes of at least ten cells."""
    cells = _read(file)
    cells = cells[:, np.asarray((cells.X > 0).sum(0)).ravel() >= 10].copy()
    cells = AnnData(cells.X.astype(np.float32), obs=cells.obs, var=cells.var[[]])
    labels = cells.obs[key].astype(str).to_numpy()
    for seed in args.seeds:
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(labels, labels)
        for number, (known, held_out) in enumerate(folds):
            train, test = cells[known].copy(), cells[held_out].copy()
            model = small_model(train, f"{name}{number}", seed, args)
            print(f"  {name}, fold {number}, seed {seed}", flush=True)
            parts = (train, labels[known]), (test, labels[held_out])
            yield RnaSplit(f"{name}{number}", str(number), seed, model, *parts)


def snareseq(args: Namespace) -> Iterator[RnaSplit]:
    """Two batches unseen."""
    for seed in args.seeds:
        for fold in args.folds:
            train, test = (labeled(part["rna"]) for part in data(fold, args.cells))
            model = small_model(train[0], f"snareseq_{fold}", seed, args)
            print(f"  {fold}, seed {seed}", flush=True)
            yield RnaSplit(f"snareseq_{fold}", fold, seed, model, train, test)


RNA_SETS: dict[str, Callable[[Namespace], Iterator[RnaSplit]]] = {
    s.__name__: s for s in (pancreas, kang, facs, facs_deep, snareseq)
}
