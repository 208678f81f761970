"""Synthetic RNA, ATAC and protein counts with known truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from mudata import MuData

from scmomer.datasets._cells import cells, presence, shares
from scmomer.datasets._genome import (
    fold_changes,
    genes,
    link_within,
    locate_genes,
    peaks,
    proteins,
)
from scmomer.datasets._mudata import join, modality
from scmomer.datasets._sampling import profiles, sample_counts


def synthetic(
    n_cells: int = 400,
    n_genes: int = 200,
    n_peaks: int = 600,
    *,
    n_proteins: int = 0,
    n_types: int = 4,
    n_batches: int = 2,
    n_chroms: int = 4,
    n_states: int = 1,
    marker_share: float = 0.5,
    linked_within: float | None = None,
    rna_depth: float = 500.0,
    atac_depth: float = 300.0,
    protein_depth: float = 1000.0,
    batch_effect: float = 0.2,
    missing: Mapping[str, float] | None = None,
    seed: int = 0,
) -> MuData:
    """Draw RNA and ATAC counts of the same cells from known programs.

    There is one program per cell type and one, ``"state"``, shared by all types. Each cell is a
    mixture: a share ``state`` of the shared program, the rest from the program of its type. Each
    program has marker genes with an eightfold activity; by default half of all genes are markers.
    Each peak is linked to one gene and follows its activity. Both modalities therefore depend on the cell type
    *and* on the state within a type. Depth is drawn per cell and modality and is uninformative.

    Parameters
    ----------
    n_cells, n_genes, n_peaks
        Size of the data, any positive numbers. Memory depends on the depth, not on
        ``n_cells * n_peaks``.
    n_proteins
        Number of surface proteins; 0 omits the modality. Each is a marker of a program.
    n_types, n_batches
        Number of cell types and of batches, of about equal size and independent of each other.
    n_chroms
        Number of chromosomes. Genes and peaks are in genomic order, with the peaks of a gene side
        by side, unless `linked_within` is given.
    n_states
        Number of shared programs, ``"state1"`` and so on if there are several: the share ``state``
        of a cell is divided among them at random, mostly to a few. Genes of one program cannot be
        told apart by their activity, so that links of peaks and genes can be found only if there
        are many programs.
    marker_share
        Share of genes that are markers, in (0, 1]. The peaks of other genes are constant.
    linked_within
        Link each peak to a random one of the genes that start within so many base pairs, instead
        of to the gene beside it. Among pairs within this distance, links are then no closer than
        other pairs: they can be found by activity only. A gene may have no peak. With the same
        seed, RNA counts, positions and depths stay the same.
    rna_depth, atac_depth, protein_depth
        Expected total counts of a cell. The depth of a cell varies by a factor of about 1.35
        (log-normal) and is at least one count.
    batch_effect
        Standard deviation of the log fold change of each feature in a batch; 0 for no batch effect.
    missing
        Fraction of cells without a modality, as in ``{"rna": 0.2, "atac": 0.3}``. These cells are
        absent from that modality; each cell has RNA or ATAC. ``None`` for fully paired data. Counts
        do not depend on it: fully paired data of the same ``seed`` have the missing counts.
    seed
        The same seed and sizes give the same data.

    Returns
    -------
    Modalities in this order, all with raw counts (csr, float32):

    - ``mdata["rna"]``: ``X`` of shape ``(n_cells, n_genes)``, genes ``Gene0001`` and so on;
      ``var["marker_of"]`` is a program, or missing for genes that are not markers; ``chrom``,
      ``start``, ``end``, ``strand`` locate the gene;
    - ``mdata["atac"]``: ``X`` of shape ``(n_cells, n_peaks)``, peaks ``chr1:1000-1500`` and so on;
      ``var`` has ``chrom``, ``start``, ``end`` and ``linked_gene``;
    - with `n_proteins`, ``mdata["protein"]``: proteins ``Protein1`` and so on,
      ``var["marker_of"]``.

    The truth:

    - ``mdata.obs``, and ``obs`` of each modality: ``batch``, ``cell_type`` (categorical) and
      ``state`` (0 to 0.5);
    - ``mdata.obsm["programs"]``: shares of the programs ``(n_cells, n_types + n_states)``, each
      row sums to 1;
    - ``mdata.uns["truth"]``: ``programs`` (names), ``rna`` and ``atac``, the profiles of shape
      ``(n_programs, n_genes)`` and ``(n_programs, n_peaks)``, and ``protein`` if there is one;
      each row sums to 1. Shares times profiles are a cell's expected counts, up to depth and batch.

    Raises
    ------
    ValueError
        If a size is not positive, or ``missing`` or ``marker_share`` is invalid.

    Examples
    --------
    >>> mdata = scmomer.datasets.synthetic(1000, missing={"atac": 0.5})
    >>> mdata["rna"].n_obs, mdata["atac"].n_obs
    (1000, 500)

    Links that distance does not give away:

    >>> scmomer.datasets.synthetic(n_states=10, marker_share=1, linked_within=200_000)
    """
    _check_positive(
        n_cells=n_cells,
        n_genes=n_genes,
        n_peaks=n_peaks,
        n_types=n_types,
        n_batches=n_batches,
        n_chroms=n_chroms,
        n_states=n_states,
        marker_share=marker_share,
        linked_within=1 if linked_within is None else linked_within,
        rna_depth=rna_depth,
        atac_depth=atac_depth,
        protein_depth=protein_depth,
    )
    if marker_share > 1:
        msg = f"Expected `marker_share` of at most 1, found {marker_share}."
        raise ValueError(msg)
    if not n_proteins and "protein" in (missing or {}):
        msg = "`missing` has 'protein', but `n_proteins` is 0."
        raise ValueError(msg)
    if n_proteins < 0:
        msg = f"Expected `n_proteins` of at least 0, found {n_proteins}."
        raise ValueError(msg)
    # One stream each, so that the size of one part does not change another part.
    streams = np.random.default_rng(seed).spawn(8)
    cell_rng, gene_rng, peak_rng, rna_rng, atac_rng, missing_rng, protein_rng, link_rng = streams

    obs = cells(cell_rng, n_cells, n_types, n_batches)
    states = ["state"] if n_states == 1 else [f"state{i + 1}" for i in range(n_states)]
    programs = [*obs["cell_type"].cat.categories, *states]
    gene_var = genes(gene_rng, n_genes, programs, marker_share)
    peak_var = peaks(peak_rng, n_peaks, gene_var.index, n_chroms)
    gene_var = gene_var.join(locate_genes(link_rng, n_genes, peak_var, n_chroms))
    if linked_within is not None:
        linked = link_within(link_rng, gene_var, peak_var, linked_within)
        peak_var["linked_gene"] = pd.Categorical.from_codes(linked, gene_var.index)
    of_gene = fold_changes(gene_var["marker_of"])
    of_peak = of_gene[:, peak_var["linked_gene"].cat.codes]
    truth = {"rna": profiles(gene_rng, of_gene), "atac": profiles(peak_rng, of_peak)}

    mixture, batch = shares(cell_rng, obs, n_states), obs["batch"].cat.codes.to_numpy()
    rna = sample_counts(rna_rng, mixture, truth["rna"], batch, rna_depth, batch_effect)
    atac = sample_counts(atac_rng, mixture, truth["atac"], batch, atac_depth, batch_effect)
    has = presence(missing_rng, n_cells, missing or {})
    parts = {
        "rna": modality(rna[has["rna"]], obs[has["rna"]], gene_var),
        "atac": modality(atac[has["atac"]], obs[has["atac"]], peak_var),
    }
    if n_proteins:
        var = proteins(n_proteins, programs)
        truth["protein"] = profiles(protein_rng, fold_changes(var["marker_of"]))
        args = mixture, truth["protein"], batch, protein_depth, batch_effect
        counts, measured = sample_counts(protein_rng, *args), has["protein"]
        parts["protein"] = modality(counts[measured], obs[measured], var)
    mdata = join(parts, obs)
    mdata.obsm["programs"] = mixture
    mdata.uns["truth"] = {"programs": np.array(programs)} | truth
    return mdata


def _check_positive(**values: float) -> None:
    """Raise for the first size or depth that is not positive."""
    for name, value in values.items():
        if not value > 0:
            msg = f"Expected `{name}` to be positive, found {value}."
            raise ValueError(msg)
