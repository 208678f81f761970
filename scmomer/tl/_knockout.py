"""Knock out genes in a trained model."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import settings

from scmomer._checks import whole_number
from scmomer._constants import RNA
from scmomer.data import (
    Cells,
    Layers,
    as_groups,
    as_text,
    check_container,
    find_parts,
    obs_column,
)
from scmomer.model import SCMOMER, feature_index, resolve_model
from scmomer.tasks.perturbation import find_genes
from scmomer.tasks.perturbation.knockout import (
    EMBEDDING,
    MIN_BACKGROUND,
    SCORE_OF,
    TOWARDS,
    Knockout,
    KnockoutNetwork,
    KnockoutOptions,
    Mode,
    make_cells,
    screen,
)

logger = logging.getLogger(__name__)
_SHOWN = 5  # names in a message


def knockout(
    data: AnnData | MuData,
    genes: str | Sequence[str] | None,
    model: SCMOMER | str | Path | None = None,
    *,
    mode: Mode = "zero",
    n_background: int = 50,
    groupby: str | None = None,
    towards: str | np.ndarray | None = None,
    rank_by: str | None = None,
    n_top: int = 10,
    min_cells: int = 10,
    max_cells: int | None = 1000,
    seed: int = 0,
    batch_size: int | None = None,
    enable_progress_bar: bool = True,
    **layers: Unpack[Layers],
) -> Knockout:
    r"""Silence genes in a trained model, one at a time, and compare with random genes.

    No perturbation screen is needed, and none was seen: a knockout tells what the model associates
    with a gene, in each cell type. It is no measured effect, and no cause.

    In cells that express gene :math:`g`, its expression is set; the mean change of the embedding
    over all cells of a group, for each unit of log expression that is taken away, is
    :math:`w_g`. The largest part of it is what removing any gene of that expression does. It is
    measured on random genes :math:`b` of equal expression and detection in the same group, and
    removed:

    .. math::

        r_g = d_g \Bigl(w_g - \frac{1}{n} \sum_b w_b\Bigr), \qquad
        z_g = \frac{s(r_g) - \mathrm{mean}_b\, s(r_b)}{\mathrm{sd}_b\, s(r_b)}

    with :math:`d_g` the change of the gene's own mean expression, and :math:`s` a score: the length
    of the shift of the embedding, or of the change of all features.

    Parameters
    ----------
    data
        AnnData with raw counts of RNA, or a MuData with it. Other modalities are not read: they
        were measured in the cell as it is, and say nothing of the knockout.
    genes
        Names of genes, in any case, or former symbols such as MARCH8; None for all that at least
        `min_cells` cells express.
    model
        Trained model, or the path of a saved one; None for the last one trained or loaded.
    mode
        ``"zero"``: the gene is not expressed. ``"top_bin"``: it is expressed as the cell's highest
        genes are (the mean of its highest expression bin), also where it was not. All cells
        change then, which takes longer.
    n_background
        Random genes that each gene is compared with, at least 20. They are drawn for up to 8 bins
        of expression; each gene is compared with those nearest to it within the group.
    groupby
        Column of obs, such as cell types: one result for each group. None: one group, ``"all"``.
    towards
        A wanted state: a group of `groupby`, or an embedding of shape ``(n_latent,)`` in the units
        of ``obsm["X_scmomer"]``. Adds the score ``"towards"``.
    rank_by
        Column of the table to sort it by, from large to small (``_p``: from small to large), as
        ``rank`` of the result does. None: ``"towards_z"`` with `towards`, else ``"embedding_z"``.
    n_top
        Features of each gene, group and modality in the table of features; 0 for none.
    min_cells
        Cells of a group that have to change; other pairs of gene and group have no score.
    max_cells
        Most cells of each group in which a gene is set; None for all. With ``"zero"``, drawn among
        those that express it.
    seed
        Of random genes and cells.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    enable_progress_bar
        Show progress over genes.
    layers
        As in :func:`embed`.

    Returns
    -------
    Knockout
        With

        ``table``
            DataFrame, a row for each gene and group: ``n_cells``, ``n_changed``, ``detection`` and
            ``mean`` log2 expression of the gene in the group, ``dose`` (change of that mean),
            ``n_background``, ``outside`` (the gene is expressed more, or less, than all genes it is
            compared with: take its z with caution), and for each score its value, ``_z``, and
            ``_p``, the share of random genes with at least this value, counting one more. Scores,
            background removed: ``embedding`` (length of the shift), ``expression`` (root mean square
            of the change of log2 expression, without the gene itself), ``accessibility`` (of log
            odds), ``protein`` (of log counts), and ``towards`` (share of the way to the wanted
            state; negative is away).
        ``features``
            DataFrame, the `n_top` features with the largest absolute ``z`` of each gene, group and
            modality: ``before`` and ``after`` at the mean embedding of the group (log2 expression,
            probability, count), ``change`` (log2 expression, log odds, log count; signed),
            ``expected`` from random genes, ``background_std`` among them, ``z``, and ``head_std``,
            the standard deviation of the model's heads (NaN for genes, which are decoded once).
        ``shift``
            Array ``(n_genes, n_groups, n_latent)``.

        and the methods ``rank(by, group)`` and ``changes(gene, modality)``, features x groups.

    Raises
    ------
    KeyError
        If a gene is not in the model or not in the data, or there is no column `groupby`.
    ValueError
        If an argument is out of range, or there is no RNA.

    Notes
    -----
    Only the gene itself is set: neither do other genes take its share of the counts, nor do they
    change their expression bins. Without random genes of equal expression, a ranking of such
    knockouts is one of expression; compare ``z`` of several seeds to see what depends on the draw.
    Changes of features are linear in the mean shift, at the mean depth and for an average batch,
    and thus exact. Memory grows with genes x groups, never with genes x cells or features.

    Examples
    --------
    >>> found = scmomer.tl.knockout(rna, ["Gad1", "Slc17a7"], model, groupby="cell_type")
    >>> found.table[["gene", "group", "embedding", "embedding_z"]]
    >>> scmomer.tl.knockout(rna, None, model, groupby="cell_type", towards="Oligo").rank(
    ...     "towards_z"
    ... )
    >>> scmomer.pl.knockout(found)
    """
    model = resolve_model(model)
    check_container(data)
    options = _options(
        mode, n_background, min_cells, max_cells, n_top, seed, batch_size, enable_progress_bar
    )
    best = "embedding_z" if towards is None else f"{TOWARDS}_z"
    best = best if rank_by is None else rank_by
    _check_rank(best, model, towards is not None)
    cells, measured = _read(data, model, layers)
    names, groups, kept = _groups(data, groupby, cells)
    towards = _check_towards(towards, names, groupby, model)
    network = KnockoutNetwork(model.module)
    expression = make_cells(
        cells.counts[RNA][kept],
        float(model.module.rna.target_sum),
        groups[kept],
        len(names),
        network.n_bins,
    )
    expressed = expression.n_expressing.sum(0)
    chosen = _genes(genes, model, measured, expressed, options.min_cells)
    found = screen(network, model.spec, expression, chosen, measured, names, towards, options)
    params = {**found.params, "groupby": groupby, "model_id": model.id}
    return replace(found, table=found.rank(best, ascending=best.endswith("_p")), params=params)


def _options(
    mode: str,
    n_background: int,
    min_cells: int,
    max_cells: int | None,
    n_top: int,
    seed: int,
    batch_size: int | None,
    progress: bool,
) -> KnockoutOptions:
    if mode not in get_args(Mode):
        msg = f"Expected mode 'zero' or 'top_bin', found {mode!r}. Pass one of them."
        raise ValueError(msg)
    n_background = whole_number("n_background", n_background)
    if n_background < MIN_BACKGROUND:
        msg = (
            f"Expected n_background of at least {MIN_BACKGROUND}, found {n_background}. Fewer "
            "random genes give no standard deviation to speak of."
        )
        raise ValueError(msg)
    return KnockoutOptions(
        mode=mode,  # type: ignore[arg-type]
        n_background=n_background,
        min_cells=whole_number("min_cells", min_cells),
        max_cells=None if max_cells is None else whole_number("max_cells", max_cells),
        n_top=0 if n_top == 0 else whole_number("n_top", n_top),
        seed=_check_seed(seed),
        batch_size=whole_number(
            "batch_size", settings.batch_size if batch_size is None else batch_size
        ),
        progress=progress,
    )


def _check_seed(seed: Any) -> int:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or seed < 0:
        msg = f"Expected seed of at least 0, a whole number, found {seed!r}. Pass 0, for example."
        raise ValueError(msg)
    return int(seed)


def _check_rank(name: str, model: SCMOMER, has_state: bool) -> None:
    """Raise before anything is computed."""
    scores = [EMBEDDING, *(SCORE_OF[m] for m in model.spec.features), *[TOWARDS] * has_state]
    known = [f"{score}{end}" for score in scores for end in ("_z", "", "_p")]
    if name not in known:
        hint = " Pass towards= for that score." if str(name).startswith(TOWARDS) else ""
        msg = f"Expected rank_by= as one of {known}, found {name!r}. Name one of them.{hint}"
        raise ValueError(msg)


def _read(data: AnnData | MuData, model: SCMOMER, layers: Any) -> tuple[Cells, np.ndarray]:
    """Return RNA, and the positions of the model's genes that the data have."""
    if RNA not in model.spec.features:
        msg = (
            f"Expected a model with RNA to knock out genes in, found one of "
            f"{list(model.spec.modalities)}. Train one on data with genes."
        )
        raise ValueError(msg)
    model._check_trained()
    parts = find_parts(data, model.spec)
    if RNA not in parts:
        msg = f"Expected RNA to knock out genes in, found {list(parts)}. Pass counts of genes."
        raise ValueError(msg)
    cells = model._read_cells(data, layers).select_modality(RNA)
    model._require_stages_for(cells)
    rows = model.module.rna.rows_in(model.spec.features[RNA], parts[RNA].names)
    return cells, np.flatnonzero(rows >= 0)


def _groups(
    data: AnnData | MuData, groupby: str | None, cells: Cells
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names of groups, the group of each cell, and the cells with RNA and a group."""
    names, codes = ["all"], np.zeros(cells.n_cells, int)
    if groupby is not None:
        found = as_groups(obs_column(data, groupby, "groupby="))
        names, codes = [str(name) for name in found.categories], found.codes.astype(int)
    has = cells.measured[RNA] & (codes >= 0)
    if not has.any():
        msg = (
            f"Expected cells with RNA{' and a group' if groupby else ''}, found none among "
            f"{cells.n_cells}. Pass other cells, or another groupby=."
        )
        raise ValueError(msg)
    if not has.all():
        logger.info("%d of %d cells have no RNA or no group.", int((~has).sum()), len(has))
    return names, codes, np.flatnonzero(has)


def _check_towards(
    towards: Any, names: list[str], groupby: str | None, model: SCMOMER
) -> str | np.ndarray | None:
    if towards is None:
        return None
    if np.ndim(towards) == 0:
        towards = as_text(towards)
        if groupby is None or towards not in names:
            known = f"one of {names}" if groupby is not None else "a group with groupby="
            msg = (
                f"Expected towards= to be {known}, or an embedding, found {towards!r}. Name a "
                "group of groupby=."
            )
            raise ValueError(msg)
        return towards
    n = model.module.config.n_latent
    try:
        wanted = np.asarray(towards, dtype=np.float64)
    except (TypeError, ValueError):
        wanted = np.full(np.shape(towards), np.nan)
    if wanted.shape != (n,) or not np.isfinite(wanted).all():
        msg = (
            f"Expected towards= as a finite embedding of shape ({n},), found "
            f"{'other values' if wanted.shape == (n,) else f'shape {wanted.shape}'}. "
            "Pass a mean such as adata.obsm['X_scmomer'][cells].mean(0)."
        )
        raise ValueError(msg)
    return wanted


def _genes(
    genes: Any, model: SCMOMER, measured: np.ndarray, expressed: np.ndarray, min_cells: int
) -> np.ndarray:
    """Return positions of genes among those of the model."""
    known = model.spec.features[RNA]
    if genes is None:
        chosen = measured[expressed[measured] >= min_cells]
        if not len(chosen):
            msg = (
                f"Expected genes that at least min_cells={min_cells} cells express, found none. Pass "
                "more cells, or lower min_cells=."
            )
            raise ValueError(msg)
        return chosen
    if (
        not isinstance(genes, Iterable)
        or np.ndim(genes if isinstance(genes, str) else [*genes]) > 1
    ):
        msg = f"Expected genes as a list of names, found {genes!r}. Pass ['A', 'B']; each is alone."
        raise TypeError(msg)
    wanted = feature_index([genes] if isinstance(genes, str) else genes)
    if not len(wanted):
        msg = "Expected genes to knock out, found none. Pass names, or None for all."
        raise ValueError(msg)
    place = find_genes(list(wanted), known)
    if (place < 0).any():
        raise KeyError(_unknown(wanted[place < 0], known, "in the model"))
    absent = ~np.isin(place, measured)
    if absent.any():
        raise KeyError(_unknown(wanted[absent], known[measured], "in the data"))
    if len(np.unique(place)) < len(place):
        logger.info("%d genes are named twice.", len(place) - len(np.unique(place)))
        place, wanted = pd.unique(place), known[pd.unique(place)]
    if silent := [str(g) for g, p in zip(wanted, place, strict=True) if not expressed[p]]:
        logger.info("%d genes are expressed in no cell, such as %s.", len(silent), silent[:_SHOWN])
    return place


def _unknown(names: pd.Index, known: pd.Index, where: str) -> str:
    """Return what to say of genes that are not there."""
    lower = {str(name).lower(): str(name) for name in known}
    alike = {
        str(name): [lower[m] for m in difflib.get_close_matches(str(name).lower(), lower, 1)]
        for name in names[:_SHOWN]
    }
    hints = [
        f"{name} (did you mean {found[0]}?)" if found else name for name, found in alike.items()
    ]
    return (
        f"Expected genes {where}, found {len(names)} that are not, such as {', '.join(hints)}. "
        "Leave them out, or use names of `model.spec.features['rna']`."
    )
