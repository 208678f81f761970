"""Pseudo-paired cells, for training where nothing was measured together."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import ATAC, RNA, Modality
from scmomer.data import check_one_modality, check_unique, get_counts
from scmomer.pp.pairing._gene_activity import linked_peaks, nearby_peaks
from scmomer.pp.pairing._pair_labels import pair_by_label
from scmomer.pp.pairing._pair_neighbors import Unmatched, pair_by_neighbors
from scmomer.pp.pairing._pair_transport import pair_by_transport
from scmomer.pp.pairing._pairs import to_mudata
from scmomer.pp.pairing._shared_space import shared_space

Way = Literal["labels", "embedding", "ot"]


def pair_cells(
    rna: AnnData,
    atac: AnnData,
    *,
    on: Way,
    labels_key: str | None = None,
    rna_layer: str | None = None,
    atac_layer: str | None = None,
    linked_key: str = "linked_gene",
    genes: pd.DataFrame | None = None,
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
    """Pair RNA cells with ATAC cells of another experiment, to train on when no multiome exists.

    Pairs are as good as what they rest on, which is never that both were measured in one cell:
    a model trained on them learns what types of cells share, and should be tested on cells that
    were measured together.

    - ``on="labels"``: a random ATAC cell of the same label, as the atlas was made on which scMomer
      was trained. ATAC cells are drawn without replacement, and again once all of a label are used.
      Cells of labels that only one side has are left out, and named in one log line.
    - ``on="embedding"``: accessibility of the peaks of each gene is summed to a gene activity;
      canonical correlation of expression and activity puts cells of both into one space, where each
      RNA cell gets its nearest mutual neighbour. Needs no labels. ATAC cells that many RNA
      cells resemble are used often, others never.
    - ``on="ot"``: the same space, and entropic optimal transport, which uses all ATAC cells alike:
      for sides that hold types of cells in about the same shares. Needs POT
      (``pip install 'scmomer[ot]'``).

    Parameters
    ----------
    rna
        Cells x genes. Raw counts, unless pairing is on labels, which looks at no count.
    atac
        Cells x peaks. Raw counts, likewise.
    on
        What pairs rest on.
    labels_key
        Column of cell types in ``rna.obs`` and ``atac.obs``; compared as text. For
        ``on="labels"`` only.
    rna_layer, atac_layer
        Layers that hold the counts; None for ``X``.
    linked_key
        Column of ``atac.var`` that names the gene of each peak (or nothing).
    genes
        Coordinates of genes instead of `linked_key`: columns ``chrom``, ``start``, ``end`` and
        optionally ``strand`` (``+``, ``-``), gene names as the index; several rows per gene are its
        transcripts. Peaks count that overlap a gene or what lies `upstream` of it; a peak can
        count for several genes. Peaks must be named by their place, as in :func:`setup_mudata`.
    upstream
        Base pairs before a gene that belong to it; on both sides where no strand is given.
    n_top_genes
        Genes, the most variable ones of RNA, that make the space.
    n_comps
        Dimensions of the space, lowered to what the data allow.
    n_neighbors
        Two cells are mutual neighbours if each is among so many nearest of the other.
    unmatched
        RNA cells without a mutual neighbour get their ``"nearest"`` ATAC cell, with confidence 0,
        or are left out (``"drop"``).
    epsilon
        Entropy of the transport plan, relative to the mean squared distance. Lower is sharper and
        slower.
    block_size
        Largest number of cells of a side in one transport plan. Plans are made between random
        blocks, so that memory does not grow with the data: about ``40 * block_size ** 2`` bytes.
    draw
        Draw the partner from the cell's row of the plan instead of taking its largest entry.
    random_state
        Seed. The same data and seed give the same pairs.

    Returns
    -------
    MuData
        Modalities ``rna`` and ``atac`` of the same ``n_pairs`` cells, named and ordered as in `rna`
        and ready for :func:`setup_mudata`. ``X``, layers, ``obs``, ``var``, ``obsm``, ``varm`` and
        ``uns`` of both are copied as they are, so that ``mdata["atac"].obs`` is of the ATAC cell;
        ``obsp`` is not. Adds:

        ``obs["atac_cell"]``
            Name of the ATAC cell.
        ``obs["pair_confidence"]``
            In [0, 1]. On the embedding and by transport: the cosine of the two cells in the shared
            space, 0 if it is negative or if cells are not mutual neighbours on the embedding. It
            ranks pairs, and is no probability. On labels: 1, for the pair agrees in all that was
            asked, and nothing tells the pairs of a label apart.
        ``uns["scmomer"]["pair_cells"]``
            Parameters.
        ``mdata["rna"].obsm["X_pairing"]``, ``mdata["atac"].obsm["X_pairing"]``
            The shared space, ``(n_pairs, n_comps)``, unless pairing is on labels.

    Raises
    ------
    TypeError
        If `rna` or `atac` is no AnnData.
    KeyError
        If a column or layer is absent; lists those present.
    ValueError
        If an option is unknown or out of range, a side is empty, names occur twice, labels are
        missing or none is common, values are no counts, no peak belongs to a gene of `rna`, or
        nothing could be paired.
    ImportError
        If POT is needed and not installed.

    Notes
    -----
    Xiong et al. (scCLIP) match cells by annotated type. Canonical correlation of expression and
    activity, and mutual neighbours, as in Stuart et al., Cell 177, 1888 (2019); here components
    are weighed by their singular values.

    Examples
    --------
    >>> mdata = scmomer.pp.pair_cells(rna, atac, on="labels", labels_key="cell_type")
    >>> scmomer.pp.setup_mudata(mdata, labels_key="cell_type")
    """
    _check_choice("on", on, get_args(Way))
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
            f"Expected labels_key= with on='labels' only, found {labels_key!r} with on={on!r}, "
            "which uses no labels. Leave it out, or pair on='labels'."
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
    """Refuse an unknown option."""
    if value not in allowed:
        msg = f"Expected {name} to be one of {list(allowed)}, found {value!r}."
        raise ValueError(msg)


def _check_above(limit: int, **values: float) -> None:
    """Refuse the first number that is not above the limit."""
    for name, value in values.items():
        if not value > limit:
            msg = f"Expected {name} to be above {limit}, found {value}."
            raise ValueError(msg)


def _check_cells(adata: AnnData, where: str, modality: Modality, layer: str | None) -> None:
    """Refuse what is no AnnData, is empty, or has a name twice."""
    if not isinstance(adata, AnnData):
        msg = (
            f"Expected {where} to be an AnnData, found {type(adata).__name__}. Pass RNA and ATAC as "
            "two AnnData objects, such as mdata['rna'] and mdata['atac']."
        )
        raise TypeError(msg)
    if adata.n_obs == 0 or adata.n_vars == 0:
        msg = f"Expected cells and features in {where}, found shape {adata.shape}."
        raise ValueError(msg)
    check_one_modality(adata, where, modality, layer)
    check_unique(adata.obs_names, f"{where}.obs_names")
    check_unique(adata.var_names, f"{where}.var_names")
