"""Pseudo-paired cells, for training without a multiome."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from anndata import AnnData
from mudata import MuData

from scmomer._constants import ATAC, RNA, Modality
from scmomer.data import GeneSource, check_one_modality, check_unique, get_counts
from scmomer.pp.pairing._gene_activity import linked_peaks, nearby_peaks
from scmomer.pp.pairing._pair_labels import pair_by_label
from scmomer.pp.pairing._pair_neighbors import Unmatched, pair_by_neighbors
from scmomer.pp.pairing._pair_transport import pair_by_transport
from scmomer.pp.pairing._pairs import to_mudata
from scmomer.pp.pairing._shared_space import shared_space

PairBy = Literal["labels", "embedding", "ot"]


def pair_cells(
    rna: AnnData,
    atac: AnnData,
    *,
    on: PairBy,
    labels_key: str | None = None,
    rna_layer: str | None = None,
    atac_layer: str | None = None,
    linked_key: str = "linked_gene",
    genes: GeneSource | None = None,
    upstream: int = 2000,
    n_top_genes: int = 2000,
    n_comps: int = 30,
    n_neighbors: int = 50,
    unmatched: Unmatched = "nearest",
    epsilon: float = 0.1,
    block_size: int = 4096,
    draw: bool = False,
    random_state: int = 0,
) -> MuData:
    """Pair RNA cells with ATAC cells of another experiment, for training without a multiome.

    Pairs are only as good as the similarity they are based on; no pair was measured in the same
    cell. A model trained on them learns what cell types have in common. Test it on cells in which
    both modalities were measured.

    - ``on="labels"``: a random ATAC cell of the same label, as in the atlas that scMomer was
      trained on. ATAC cells are drawn without replacement until all cells of a label are used, then
      again. Cells whose label is on one side only are left out and logged.
    - ``on="embedding"``: accessibility of the peaks of each gene is summed to a gene activity.
      Canonical correlation of expression and activity embeds all cells in a shared space, where
      each RNA cell is paired with its nearest mutual neighbor. Needs no labels. ATAC cells may be
      used many times or never.
    - ``on="ot"``: the same space and entropic optimal transport, which gives all ATAC cells equal
      weight. For two sides with similar proportions of cell types. Needs POT
      (``pip install 'scmomer[ot]'``).

    Parameters
    ----------
    rna
        Cells x genes. Raw counts; with ``on="labels"`` counts are not used.
    atac
        Cells x peaks. Raw counts, as for `rna`.
    on
        What pairs are based on.
    labels_key
        Column of cell types in ``rna.obs`` and ``atac.obs``, compared as text. Only for
        ``on="labels"``.
    rna_layer, atac_layer
        Layers with the counts; None for ``X``.
    linked_key
        Column of ``atac.var`` with the gene of each peak, or a missing value.
    genes
        Gene coordinates, instead of `linked_key`: a table with columns ``chrom``, ``start``,
        ``end`` and optionally ``strand`` (``+``, ``-``), with gene names as the index or a column,
        or the path of a GTF or GFF file; several rows per gene are transcripts. Chromosomes match
        with and without ``chr``. A gene gets the peaks that overlap it or lie within `upstream` bases before
        it; a peak may count for several genes. Peak names must be coordinates, as in
        :func:`setup_mudata`.
    upstream
        Base pairs before a gene that belong to it; on both sides if the strand is unknown.
    n_top_genes
        Number of most variable RNA genes that define the space.
    n_comps
        Dimensions of the space; reduced if the data are too small.
    n_neighbors
        Number of neighbors: two cells are mutual neighbors if each is among the `n_neighbors`
        nearest cells of the other.
    unmatched
        RNA cells without a mutual neighbor get their ``"nearest"`` ATAC cell, with confidence 0,
        or are left out (``"drop"``).
    epsilon
        Entropic regularization of the transport plan, relative to the mean squared distance. Lower
        values give sharper plans and take longer.
    block_size
        Maximum number of cells per side in one transport plan. Plans are computed between random
        blocks, so that memory does not grow with the data: about ``40 * block_size ** 2`` bytes.
    draw
        Draw the partner from the cell's row of the plan instead of taking the largest entry.
    random_state
        Seed. The same data and seed give the same pairs.

    Returns
    -------
    MuData
        Modalities ``rna`` and ``atac`` of the same ``n_pairs`` cells, named and ordered as in `rna`
        and ready for :func:`setup_mudata`. ``X``, layers, ``obs``, ``var``, ``obsm``, ``varm`` and
        ``uns`` of both are copied unchanged (``mdata["atac"].obs`` describes the ATAC cell);
        ``obsp`` is dropped. Adds:

        ``obs["atac_cell"]``
            Name of the ATAC cell.
        ``obs["pair_confidence"]``
            In [0, 1]. With ``"embedding"`` and ``"ot"``: cosine of the two cells in the shared
            space; 0 if it is negative or, with ``"embedding"``, if the cells are not mutual
            neighbors. It ranks pairs and is not a probability. With ``"labels"``: always 1.
        ``uns["scmomer"]["pair_cells"]``
            Parameters.
        ``mdata["rna"].obsm["X_pairing"]``, ``mdata["atac"].obsm["X_pairing"]``
            The shared space, ``(n_pairs, n_comps)``; not with ``"labels"``.

    Raises
    ------
    TypeError
        If `rna` or `atac` is not an AnnData.
    KeyError
        If a column or layer is missing; the message lists those that exist.
    ValueError
        If an option is unknown or out of range, a side is empty, names are not unique, labels are
        missing or not shared, values are not counts, no peak belongs to a gene of `rna`, or no
        cells could be paired.
    ImportError
        If POT is needed and not installed.

    Notes
    -----
    Xiong et al. (scCLIP) match cells by annotated type. Canonical correlation of expression and
    activity and mutual neighbors follow Stuart et al., Cell 177, 1888 (2019); here components are
    weighted by their singular values.

    Examples
    --------
    >>> mdata = scmomer.pp.pair_cells(rna, atac, on="labels", labels_key="cell_type")
    >>> scmomer.pp.setup_mudata(mdata, labels_key="cell_type")
    """
    _check_choice("on", on, get_args(PairBy))
    _check_choice("unmatched", unmatched, get_args(Unmatched))
    _check_above(-1, upstream=upstream)
    _check_above(
        0,
        n_top_genes=n_top_genes,
        n_comps=n_comps,
        n_neighbors=n_neighbors,
        epsilon=epsilon,
        block_size=block_size,
    )
    _check_cells(rna, "rna", RNA, rna_layer)
    _check_cells(atac, "atac", ATAC, atac_layer)
    rng = np.random.default_rng(random_state)
    params: dict[str, Any] = {"on": on, "random_state": random_state}
    if on == "labels":
        pairs = pair_by_label(rna, atac, labels_key, rng)
        return to_mudata(pairs, rna, atac, None, {**params, "labels_key": labels_key})
    if labels_key is not None:
        msg = (
            f"Expected labels_key= only with on='labels', found {labels_key!r} with on={on!r}, "
            "which does not use labels. Drop labels_key=, or use on='labels'."
        )
        raise ValueError(msg)
    expression = get_counts(rna, rna_layer, "rna", "rna_layer")
    if genes is None:
        links = linked_peaks(atac, rna.var_names, linked_key)
        params["linked_key"] = linked_key
    else:
        links = nearby_peaks(atac, rna.var_names, genes, upstream)
        params["upstream"] = upstream
    activity = get_counts(atac, atac_layer, "atac", "atac_layer") @ links  # (n_atac, n_genes)
    sizes = {"n_comps": n_comps, "n_top_genes": n_top_genes}
    space = shared_space(expression, activity, **sizes, random_state=random_state)
    params |= {"rna_layer": rna_layer, "atac_layer": atac_layer, **sizes}
    if on == "embedding":
        pairs = pair_by_neighbors(space, n_neighbors, unmatched, random_state)
        params |= {"n_neighbors": n_neighbors, "unmatched": unmatched}
    else:
        pairs = pair_by_transport(space, epsilon, block_size, draw, rng)
        params |= {"epsilon": epsilon, "block_size": block_size, "draw": draw}
    return to_mudata(pairs, rna, atac, space, params)


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise if an option is unknown."""
    if value not in allowed:
        msg = f"Expected {name} to be one of {list(allowed)}, found {value!r}."
        raise ValueError(msg)


def _check_above(limit: int, **values: float) -> None:
    """Raise for the first number that is not above the limit."""
    for name, value in values.items():
        if not value > limit:
            msg = f"Expected {name} to be above {limit}, found {value}."
            raise ValueError(msg)


def _check_cells(adata: AnnData, where: str, modality: Modality, layer: str | None) -> None:
    """Raise if this is not an AnnData, is empty, or has duplicate names."""
    if not isinstance(adata, AnnData):
        msg = (
            f"Expected {where} to be an AnnData, found {type(adata).__name__}. Pass RNA and "
            "ATAC as "
            "two AnnData objects, such as mdata['rna'] and mdata['atac']."
        )
        raise TypeError(msg)
    if adata.n_obs == 0 or adata.n_vars == 0:
        msg = f"Expected cells and features in {where}, found shape {adata.shape}."
        raise ValueError(msg)
    check_one_modality(adata, where, modality, layer)
    check_unique(adata.obs_names, f"{where}.obs_names")
    check_unique(adata.var_names, f"{where}.var_names")
