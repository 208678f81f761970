"""Links between peaks and genes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import LINKS_KEY
from scmomer.data import (
    GeneSource,
    Layers,
    as_groups,
    check_chromosomes,
    check_container,
    examples,
    gene_positions,
    obs_column,
    parse_peaks,
    warn,
)
from scmomer.model import SCMOMER, resolve_model
from scmomer.tasks.genes import (
    LinkCells,
    LinkOptions,
    Null,
    Places,
    activity,
    attributed,
    candidate_pairs,
    links_of,
    read_link_cells,
)
from scmomer.tl._copy import Container, own
from scmomer.tl._record import record

logger = logging.getLogger(__name__)

Method = Literal["correlation", "attribution"]
ALL_CELLS = "all"  # the group without groupby=
_MIN_GROUP = 50  # cells


def peak_gene_links(
    data: Container,
    model: SCMOMER | str | Path | None = None,
    *,
    distance: int = 500_000,
    groupby: str | None = None,
    pooled: bool = False,
    null: Null = "distance",
    n_background: int = 200,
    min_cells: int = 10,
    method: Method = "correlation",
    genes: GeneSource | None = None,
    gene_names: Sequence[str] | None = None,
    peaks: Sequence[str] | None = None,
    use_rep: str | None = None,
    adjust_depth: bool = False,
    block_correlation: float = 0.8,
    key_added: str = LINKS_KEY,
    random_state: int = 0,
    batch_size: int | None = None,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> Container | None:
    r"""Link peaks to the genes near them whose expression they follow.

    Scores all pairs of a gene and a peak whose middle is within `distance` of the gene's
    transcription start. Log expression :math:`x` and open peaks :math:`y` (0 or 1) are both
    projected onto the fused embedding; with :math:`r_{xk}`, the correlation of :math:`x` with the
    k-th of :math:`K` uncorrelated directions of the embedding in :math:`n` cells, the score is

    .. math::

        \frac{\sum_k r_{xk} r_{yk}}
        {\sqrt{(\sum_k r_{xk}^2 + K / n) (\sum_k r_{yk}^2 + K / n)}}

    the correlation of the two projections, shrunk for features about which the cells say little.
    It takes the place of a correlation of cells smoothed over neighbors: no matrix of cells x peaks
    is made dense, and one of genes x peaks is never formed.

    A link is an association. Distance to the gene is a strong predictor of regulation by itself;
    compare with it.

    Parameters
    ----------
    data
        MuData with RNA and ATAC, raw counts; cells may lack either. With RNA alone, genes are
        linked to the accessibility that the model predicts. Names of peaks are coordinates.
    model
        Trained model of RNA and ATAC, or the path of a saved one; None for the last one trained or
        loaded.
    distance
        Largest distance of the middle of a peak from the transcription start, in base pairs.
    groupby
        Column of ``obs`` with groups of cells, such as types: links are computed within each group,
        where differences between groups cannot create them. Cells without a group and groups of
        fewer than 50 cells are left out. None: one group, ``"all"``.
    pooled
        With `groupby`: one score over all cells from which the means of the groups are removed,
        instead of one for each group.
    null
        What scores are compared with: scores of the same gene with peaks of *other chromosomes*,
        which are

        - ``"distance"``: as far from one of their own genes as this peak from this gene (one of 10
          bins with equal numbers of pairs), so that peaks near promoters are compared with peaks
          near promoters;
        - ``"trans"``: as accessible (up to 10 bins) and as wide (up to 3) as this peak. GC content is not
          matched.
    n_background
        Number of such peaks, at least 20.
    min_cells
        Pairs are tested if the gene is seen and the peak is open in so many cells of the group.
    method
        - ``"correlation"``: as above, from measured expression and accessibility.
        - ``"attribution"``: from the model alone: how the peak that it translates from RNA depends
          on the gene, by integrated gradients (see :func:`attribute`), as the cosine of both in
          the embeddings that decoders read. Needs captum; takes minutes for each group; uses at
          most 1,000 cells of a group.
    genes
        Gene coordinates: a table with columns ``chrom``, ``start``, ``end`` and optionally
        ``strand``, gene names as the index or a column; or the path of a GTF or GFF file. None:
        these columns, or ``interval`` of 10x Genomics, in ``var`` of RNA. The transcription start
        is the start of a gene on ``+``, the end on ``-`` and the middle without a strand.
        Chromosomes match with and without ``chr``.
    gene_names, peaks
        Return only links of these; p-values do not depend on it, their adjustment does.
    use_rep
        Key of ``data.obsm`` with another embedding to project onto, ``(n_cells, n_dims)``.
    adjust_depth
        Remove what follows the log depth of cells in RNA or ATAC. Depth differs between types of
        cells for biological reasons, but also makes a deep cell's peaks and genes go together.
    block_correlation
        Peaks within `distance` of each other that correlate at least so strongly form one block.
    key_added
        Key in ``uns``.
    random_state
        Seed of the choice of background peaks.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    copy
        Modify and return a copy of `data`.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=`` (MuData): layers with raw counts; by
        default as in the training data, else ``X``. ``profile=``: what the values of RNA are, as in
        :meth:`scmomer.SCMOMER.get_latent_representation`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds ``uns[key_added]``, a DataFrame with one row for each
        pair and group, by group and ascending p-value:

        ``peak``, ``gene``, ``group``
            Names.
        ``distance``
            From the transcription start to the middle of the peak, in base pairs; negative
            upstream (without strand: at lower coordinates).
        ``score``, ``sign``
            In [-1, 1]; positive if the peak is open where the gene is expressed.
        ``z``
            Score in standard deviations of its background, minus the mean.
        ``pval``
            Two-sided: rank of `z` among the pooled z of all genes with their background. NaN where
            fewer than 20 matched peaks are on other chromosomes.
        ``padj``
            Benjamini-Hochberg adjustment over the rows of the group.
        ``block``
            Number of a set of neighboring peaks that open in the same cells. Which peak of a block
            matters to a gene cannot be told from these data.
        ``chrom``, ``start``, ``end``, ``tss``, ``strand``
            Coordinates of the peak, and transcription start and strand of the gene.

    Raises
    ------
    KeyError
        If coordinates, a column, gene or peak is missing.
    RuntimeError
        If there is no trained model.
    TypeError
        If `data` is neither AnnData nor MuData.
    ValueError
        If genes and peaks are on different chromosomes, no pair is within `distance`, an option is
        out of range, or all peaks are on one chromosome.

    Notes
    -----
    The background of peaks on other chromosomes that match in accessibility and width follows
    LinkPeaks of Signac (Stuart et al., Nature Methods 18, 1333, 2021), here with empirical
    p-values; links within a type of cells follow SCENT (Sakaue et al., Nature Genetics 56, 615,
    2024).

    P-values tell whether a peak and a gene go together more than unrelated peaks and this gene do;
    they depend on the number of cells through the scores only. Cells are not independent samples:
    compare donors or batches before calling a link reproducible.

    Examples
    --------
    >>> scmomer.tl.peak_gene_links(mdata, model, genes="genes.gtf.gz")
    >>> links = mdata.uns["scmomer_links"]
    >>> links[links["padj"] < 0.05]
    >>> scmomer.tl.write_bedpe(links[links["padj"] < 0.05], "links.bedpe")
    >>> scmomer.tl.peak_gene_links(mdata, model, groupby="cell_type")  # within each type
    """
    _check_options(distance, n_background, min_cells, block_correlation, null, method)
    _check_together(groupby, method, pooled=pooled, adjust_depth=adjust_depth, use_rep=use_rep)
    check_container(data)
    model = resolve_model(model)
    cells = read_link_cells(data, model, use_rep, batch_size, layers)
    places = _locate(cells, genes, distance)
    asked = _asked(cells, places, gene_names, peaks)
    options = LinkOptions(
        int(distance),
        null,
        int(n_background),
        min_cells,
        adjust_depth,
        block_correlation,
        random_state,
    )
    groups = list(_groups(data, groupby, pooled))
    found = [activity(cells, chosen, of_cell, adjust_depth) for _, chosen, of_cell in groups]
    if method == "attribution":
        codes = np.full(data.n_obs, -1)
        for code, (_, chosen, _) in enumerate(groups):
            codes[chosen] = code
        found = list(attributed(found, model, data, cells, codes, batch_size, layers))
    names = cells.genes, cells.peaks
    tables = [
        links_of(part, places, options, name, asked, names)
        for (name, _, _), part in zip(groups, found, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    _report(table, null)
    data = own(data, copy)
    data.uns[key_added] = table
    params = {"distance": distance, "groupby": groupby, "pooled": pooled, "null": null}
    params |= {"method": method, "adjust_depth": adjust_depth, "use_rep": use_rep}
    record(data, model, "peak_gene_links", key_added=key_added, **params)
    return data if copy else None


def _check_options(
    distance: int,
    n_background: int,
    min_cells: int,
    block_correlation: float,
    null: str,
    method: str,
) -> None:
    for name, value, lowest in (
        ("distance", distance, 1),
        ("n_background", n_background, 20),
        ("min_cells", min_cells, 1),
    ):
        number = isinstance(value, int | float | np.number) and np.isfinite(value)
        if not number or value < lowest or value != int(value):
            msg = (
                f"Expected {name}= of at least {lowest}, a whole number, found {value!r}. Pass one."
            )
            raise ValueError(msg)
    if not 0 < block_correlation <= 1:
        msg = (
            f"Expected block_correlation= above 0 and up to 1, found {block_correlation}. Pass for "
            "example 0.8."
        )
        raise ValueError(msg)
    for name, text, known in (("null", null, get_args(Null)), ("method", method, get_args(Method))):
        if text not in known:
            msg = f"Expected {name}= among {list(known)}, found {text!r}. Pass one of them."
            raise ValueError(msg)


def _check_together(groupby: str | None, method: str, **options: Any) -> None:
    """Raise if options exclude each other."""
    if options["pooled"] and groupby is None:
        msg = "Expected groupby= with pooled=True, found None. Name the column with the groups."
        raise ValueError(msg)
    given = [f"{name}={value!r}" for name, value in options.items() if value]
    if method == "attribution" and given:
        msg = (
            f"Expected {given[0]} only with method='correlation', found method='attribution'. Leave "
            "it out, or use method='correlation'."
        )
        raise ValueError(msg)


def _locate(cells: LinkCells, genes: GeneSource | None, distance: int) -> Places:
    """Return the coordinates of genes and peaks and the pairs within `distance`."""
    at = gene_positions(cells.genes, genes, var=cells.var, where=cells.where)
    peaks = parse_peaks(cells.peaks)
    check_chromosomes(at, peaks)
    candidates = candidate_pairs(at, peaks, int(distance))
    if not len(candidates):
        msg = (
            f"Expected peaks within {distance} base pairs of a gene, found none: genes start at "
            f"{at.tss.min()} to {at.tss.max()}, peaks at {peaks.start.min()} to "
            f"{peaks.start.max()}. Raise distance=, or pass coordinates of the same genome."
        )
        raise ValueError(msg)
    if len(peaks.chromosomes) < 2:
        msg = (
            f"Expected peaks on at least 2 chromosomes for a background, found "
            f"{examples(peaks.chromosomes)} alone. Pass data with peaks of other chromosomes."
        )
        raise ValueError(msg)
    return Places(at, peaks, candidates, len(cells.genes))


def _asked(
    cells: LinkCells,
    places: Places,
    gene_names: Sequence[str] | None,
    peaks: Sequence[str] | None,
) -> np.ndarray:
    """Return which candidates are asked for, ``(n_candidates,)`` bool."""
    asked = np.ones(len(places.candidates), bool)
    for argument, given, names, of_pair in (
        ("gene_names", gene_names, cells.genes, places.candidates.gene),
        ("peaks", peaks, cells.peaks, places.candidates.peak),
    ):
        if given is None:
            continue
        wanted = pd.Index([given] if isinstance(given, str) else list(given))
        position = names.get_indexer(wanted)
        if (position < 0).any():
            msg = (
                f"Expected {argument}= of the data (such as {examples(names)}), found "
                f"{int((position < 0).sum())} others, such as {examples(wanted[position < 0])}. "
                "Pass names of var_names."
            )
            raise KeyError(msg)
        asked &= np.isin(of_pair, position)
    if not asked.any():
        msg = (
            "Expected genes and peaks that are near each other, found no such pair. Raise "
            "distance=, or pass other gene_names= or peaks=; genes need coordinates."
        )
        raise ValueError(msg)
    return asked


def _groups(
    data: AnnData | MuData, groupby: str | None, pooled: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield groups: their name, cells ``(n_cells,)`` bool, and indicators ``(n, n_groups)``."""
    if groupby is None:
        yield ALL_CELLS, np.ones(data.n_obs, bool), np.ones((data.n_obs, 1))
        return
    found = as_groups(obs_column(data, groupby, "groupby="))
    codes, names = found.codes, found.categories
    size = np.bincount(codes[codes >= 0], minlength=len(names))
    large = np.flatnonzero(size >= _MIN_GROUP)
    if not len(large):
        sizes = dict(zip(names, size.tolist(), strict=True))
        msg = (
            f"Expected a group of at least {_MIN_GROUP} cells in {groupby!r}, found {sizes}. Pass "
            "a column with larger groups in groupby=, or leave it out."
        )
        raise ValueError(msg)
    if (codes < 0).any():
        logger.info("%d cells without a value of %r are left out.", (codes < 0).sum(), groupby)
    if len(large) < len(size):
        small = names[np.setdiff1d(np.arange(len(size)), large)]
        warn(
            f"{len(small)} groups of {groupby!r} have fewer than {_MIN_GROUP} cells and are left "
            f"out: {examples(small)}. Merge them with others to include them."
        )
    if pooled:
        chosen = np.isin(codes, large)
        yield ALL_CELLS, chosen, (codes[chosen][:, None] == large).astype(float)
        return
    for code in large:
        chosen = codes == code
        yield names[code], chosen, np.ones((int(chosen.sum()), 1))


def _report(table: pd.DataFrame, null: str) -> None:
    unknown: Any = table["pval"].isna().sum()
    if unknown:
        warn(
            f"{unknown} of {len(table)} pairs have no p-value: too few peaks on other chromosomes "
            f"match them in {null!r}. Try the other null=, or data with more peaks."
        )
    significant = (table["padj"] < 0.05).groupby(table["group"], sort=False).sum()
    counts = ", ".join(f"{name!r} {n}" for name, n in significant.items())
    logger.info("%d pairs; links with padj < 0.05: %s.", len(table), counts)
