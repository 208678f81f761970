"""Bundled example data: SNARE-seq of the adult mouse cortex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from scmomer.datasets._mudata import join, modality

FILE = Path(__file__).with_name("snareseq_cortex.npz")
SOURCE = "SNARE-seq adult mouse cortex, Chen et al. 2019 (GSE126074)"
GENOME = "mm10"
OBS_COLUMNS = ("batch", "cell_type", "cell_subtype")

Arrays = Mapping[str, np.ndarray]


def snareseq_cortex(*, batches: Sequence[str] | None = None) -> MuData:
    """Load SNARE-seq of the adult mouse cortex: RNA and ATAC of the same 8,685 cells.

    Real data, bundled (2 MB) and available offline. The assay is sparse: the median cell has 98
    expressed genes and 81 open peaks. Includes 10 of the 12 batches of the study, with the genes
    and peaks of its processed release.

    Parameters
    ----------
    batches
        Names of the batches to keep, ``"09A"`` to ``"09J"``. ``None`` keeps all ten. Cells
        keep the order of the file; genes and peaks do not depend on the batches.

    Returns
    -------
    Modalities in this order, both with raw counts (csr, float32):

    - ``mdata["rna"]``: ``X`` of shape ``(8685, 1677)``, counts 0 to 525;
    - ``mdata["atac"]``: ``X`` of shape ``(8685, 25734)``, counts 0 to 5; ``var`` has ``chrom``,
      ``start``, ``end`` (mm10) and ``linked_gene``, a gene of ``mdata["rna"]``.

    ``mdata.obs`` and the ``obs`` of each modality have the categorical columns ``batch`` (10),
    ``cell_type`` (15, where ``"Mis"`` is unassigned) and ``cell_subtype`` (23).
    ``mdata.uns`` has the ``source`` and the ``genome``.

    Raises
    ------
    ValueError
        If ``batches`` is empty or has an unknown name.

    Notes
    -----
    Chen, Lake and Zhang (2019), *High-throughput sequencing of the transcriptome and chromatin
    accessibility in the same cell*, Nature Biotechnology 37, 1452-1457. GEO: GSE126074.

    Examples
    --------
    >>> mdata = scmomer.datasets.snareseq_cortex(batches=["09A", "09B"])
    >>> mdata.shape
    (1723, 27411)
    """
    with np.load(FILE, allow_pickle=False) as file:
        arrays = dict(file)
    obs = _obs(arrays)
    rna, atac = _counts(arrays, "rna", len(obs)), _counts(arrays, "atac", len(obs))
    if batches is not None:
        keep = _in_batches(obs["batch"], [batches] if isinstance(batches, str) else batches)
        obs, rna, atac = _subset(obs, keep), rna[keep], atac[keep]
    genes = pd.DataFrame(index=_text(arrays["genes"]))
    parts = {"rna": modality(rna, obs, genes), "atac": modality(atac, obs, _peaks(arrays))}
    mdata = join(parts, obs)
    mdata.uns.update(source=SOURCE, genome=GENOME)
    return mdata


def _counts(arrays: Arrays, name: str, n_obs: int) -> sp.csr_matrix:
    """Return counts of shape ``(n_obs, n_vars)``: stored by feature, returned by cell.

    ``{name}_nnz`` is the number of cells per feature, ``(n_vars,)``. ``{name}_step`` holds the
    differences of the cell indices modulo 2**16, ``{name}_count`` the values, both as byte planes.
    """
    cells = np.cumsum(_from_planes(arrays[f"{name}_step"]), dtype=np.uint16)
    counts = _from_planes(arrays[f"{name}_count"]).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(arrays[f"{name}_nnz"], dtype=np.int32)])
    by_feature = sp.csc_matrix(
        (counts, cells.astype(np.int32), indptr), shape=(n_obs, len(indptr) - 1)
    )
    return by_feature.tocsr()  # also sorts the indices


def _from_planes(planes: np.ndarray) -> np.ndarray:
    """Return uint16 ``(n,)`` from low and high bytes ``(2, n)``, which compress better."""
    low, high = planes.astype(np.uint16)
    return low | high << 8


def _obs(arrays: Arrays) -> pd.DataFrame:
    """Return the labels of cells, named by batch and barcode."""
    obs = pd.DataFrame({name: _categorical(arrays, name) for name in OBS_COLUMNS})
    barcodes = pd.Series(_text(arrays["barcodes"]))
    return obs.set_index(pd.Index(obs["batch"].astype(str) + "_" + barcodes, name=None))


def _peaks(arrays: Arrays) -> pd.DataFrame:
    """Return ``var`` of ATAC; peak names are coordinates, ``chr1:4914570-4914685``."""
    var = pd.DataFrame(
        {
            "chrom": _categorical(arrays, "chrom"),
            "start": arrays["start"].astype(np.int64),
            "end": arrays["end"].astype(np.int64),
            "linked_gene": _categorical(arrays, "linked_gene"),
        }
    )
    position = var["start"].astype(str) + "-" + var["end"].astype(str)
    return var.set_index(pd.Index(var["chrom"].astype(str) + ":" + position, name=None))


def _categorical(arrays: Arrays, name: str) -> pd.Categorical:
    """Return a categorical from stored codes and categories."""
    return pd.Categorical.from_codes(arrays[name], _text(arrays[f"{name}_categories"]))


def _text(names: np.ndarray) -> pd.Index:
    """Return an index of strings from fixed-width ASCII."""
    return pd.Index(names.astype(str).astype(object))


def _in_batches(batch: pd.Series, wanted: Sequence[str]) -> np.ndarray:
    """Return which cells are in the wanted batches, bool ``(n_obs,)``."""
    known = list(batch.cat.categories)
    unknown = sorted(set(wanted) - set(known))
    if unknown or not len(wanted):
        found = f"unknown {unknown}" if unknown else "an empty list"
        msg = f"Expected `batches` among {known}, found {found}."
        raise ValueError(msg)
    return batch.isin(wanted).to_numpy()


def _subset(obs: pd.DataFrame, keep: np.ndarray) -> pd.DataFrame:
    """Return the kept cells, without unused categories."""
    return obs[keep].apply(lambda column: column.cat.remove_unused_categories())
