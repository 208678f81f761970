"""Data of ``deep.py``: synthetic cells, or a user's file, split into training and unseen cells."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import scanpy as sc
from _baselines import rna_pca
from _deep_cells import DeepCells
from mudata import MuData
from sklearn.model_selection import train_test_split

import scmomer

_MIN_CELLS = 10  # with a feature that is kept
_TEST_SHARE = 0.25
_N_NEIGHBORS, _RESOLUTION = 15, 1.0


@dataclass(frozen=True)
class Deep:
    """Training and unseen cells of RNA and ATAC."""

    name: str
    train: MuData
    test: MuData
    batch_key: str | None
    truth: DeepCells | None = None
    """Of synthetic cells."""
    unseen: np.ndarray | None = None
    """The unseen cells among those of `truth`."""

    def labels(self, part: MuData) -> np.ndarray:
        """Return the labels of cells, ``(n,)``."""
        return part.obs["label"].astype(str).to_numpy()

    @property
    def median_depth(self) -> dict[str, float]:
        """Genes and peaks of the typical training cell."""
        return {m: float(np.median(np.diff(self.train[m].X.indptr))) for m in ("rna", "atac")}


def synthetic(args: Namespace, seed: int) -> Deep:
    """Draw cells; the last batch is unseen."""
    sizes = {"expressed": args.expressed, "accessible": args.accessible}
    truth = DeepCells(args.cells, args.genes, args.peaks, **sizes, seed=seed)
    mdata = truth.mdata
    mdata.obs["label"] = mdata.obs["cell_type"]
    last = mdata.obs["batch"].cat.categories[-1]
    hidden = (mdata.obs["batch"] == last).to_numpy()
    parts = mdata[~hidden].copy(), mdata[hidden].copy()
    return Deep("synthetic", *parts, "batch", truth, np.flatnonzero(hidden))


def from_file(args: Namespace, seed: int) -> Deep:
    """Read a multiome; its last batch is unseen, or a quarter of the cells if it has none."""
    path = args.h5 or args.h5mu
    mdata = _usual_features(_paired(_read(path, is_h5mu=args.h5 is None)))
    batch = mdata.obs[args.batch_key].astype(str) if args.batch_key else None
    mdata.obs["label"] = _labels(mdata, args.labels_key).to_numpy()
    if batch is not None and batch.nunique() > 1:
        hidden = (batch == max(batch)).to_numpy()
        mdata.obs["batch"] = batch.to_numpy()
    else:
        hidden = np.zeros(mdata.n_obs, bool)
        hidden[
            train_test_split(np.arange(mdata.n_obs), test_size=_TEST_SHARE, random_state=seed)[1]
        ] = True
        batch = None
    parts = mdata[~hidden].copy(), mdata[hidden].copy()
    return Deep(args.name or path.stem, *parts, None if batch is None else "batch")


def _read(path: Path, *, is_h5mu: bool) -> MuData:
    if is_h5mu:
        return mudata.read_h5mu(path)
    adata = sc.read_10x_h5(path, gex_only=False)
    adata.var_names_make_unique()
    return scmomer.pp.split_modalities(adata)


def _paired(mdata: MuData) -> MuData:
    """Return the cells that have RNA and ATAC."""
    parts = {"rna": mdata["rna"], "atac": mdata["atac"]}
    both = parts["rna"].obs_names.intersection(parts["atac"].obs_names)
    if not len(both):
        msg = "Expected cells with RNA and ATAC, found none. Pass a multiome."
        raise SystemExit(msg)
    obs = mdata.obs.loc[both].copy()
    kept = MuData({m: adata[both].copy() for m, adata in parts.items()})
    for name in obs:
        kept.obs[name] = obs[name]
    print(f"{len(both)} of {mdata.n_obs} cells have RNA and ATAC")
    return kept


def _usual_features(mdata: MuData) -> MuData:
    """Return features that at least ten cells have."""
    parts = {}
    for m, adata in mdata.mod.items():
        adata.X = adata.X.tocsr().astype(np.float32)
        kept = adata.X.getnnz(axis=0) >= _MIN_CELLS
        print(f"{int(kept.sum())} of {adata.n_vars} features of {m} are in {_MIN_CELLS} cells")
        parts[m] = adata[:, kept].copy()
    found = MuData(parts)
    for name in mdata.obs:
        found.obs[name] = mdata.obs[name]
    return found


def _labels(mdata: MuData, key: str | None) -> pd.Series:
    """Return labels of cells; without a column of them, Leiden clusters of RNA."""
    if key is not None:
        return mdata.obs[key].astype(str)
    rna = mdata["rna"]
    cells = sc.AnnData(obs=pd.DataFrame(index=rna.obs_names))
    cells.obsm["X_pca"] = rna_pca(rna.X, rna.X, min(50, min(rna.shape) - 1))[0]
    sc.pp.neighbors(cells, n_neighbors=_N_NEIGHBORS, use_rep="X_pca")
    options = {"flavor": "igraph", "n_iterations": 2, "directed": False}
    sc.tl.leiden(cells, resolution=_RESOLUTION, random_state=0, **options)
    print(f"{cells.obs['leiden'].nunique()} clusters of RNA stand for cell types")
    return cells.obs["leiden"]
