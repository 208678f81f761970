"""What is to be predicted: perturbations, groups, and control cells of new groups."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import (
    Profile,
    as_text,
    check_no_missing,
    examples,
    get_expression,
    match_genes,
    obs_column,
    warn,
    with_values,
)
from scmomer.tasks.perturbation.model._design import Parts
from scmomer.tasks.perturbation.model._fitted import FittedPerturbation, Predicted
from scmomer.tasks.perturbation.screen._checks import check_cells, check_profile
from scmomer.tasks.perturbation.screen._gene_names import find_genes
from scmomer.tasks.perturbation.screen._names import SEPARATORS, read_parts
from scmomer.tasks.perturbation.screen._status import status

logger = logging.getLogger(__name__)

_MIN_SHARE = 0.5  # of training genes in control cells
_TINY = 1e-12


def queries(
    fitted: FittedPerturbation,
    perturbations: str | Iterable[str | Sequence[str]] | None,
    groups: Sequence[str],
    controls: Collection[str] = (),
) -> tuple[list[Parts], list[str]]:
    """Return the parts and the group of each row to predict.

    Names of training perturbations are used for other symbols of the same gene. `controls` are the
    names of the control in training.
    """
    training = sorted(set(fitted.effects.parts))
    if perturbations is None:
        wanted = list(training)
    else:
        several = isinstance(perturbations, Iterable) and not isinstance(perturbations, str)
        given: list[Any] = list(perturbations) if several else [perturbations]
        if not given:
            msg = "Expected perturbations, found none. Pass names such as ['A', 'A+B']."
            raise ValueError(msg)
        wanted = [read_parts(p, controls=controls) for p in given]
    known = pd.Index(sorted({part for row in training for part in row}), dtype=object)
    asked = sorted({part for row in wanted for part in row})
    at = dict(zip(asked, find_genes(asked, known), strict=True))
    _check_joined([part for part in asked if at[part] < 0], known)
    named = {part: str(known[i]) if i >= 0 else part for part, i in at.items()}
    rows = list(dict.fromkeys(tuple(sorted({named[p] for p in row})) for row in wanted))
    return [row for row in rows for _ in groups], [g for _ in rows for g in groups]


def _check_joined(unknown: Sequence[str], known: pd.Index) -> None:
    """Raise if an unknown name is several training perturbations in one text."""
    for name in unknown:
        for separator in (*SEPARATORS, " "):
            pieces = [piece.strip() for piece in name.split(separator) if piece.strip()]
            if len(pieces) > 1 and (find_genes(pieces, known) >= 0).all():
                msg = (
                    f"Expected one perturbation or parts with '+' between, found {name!r}. Pass "
                    f"{'+'.join(pieces)!r} for all at once, or {pieces} for each alone."
                )
                raise ValueError(msg)


def control_profiles(
    fitted: FittedPerturbation,
    groups: Sequence[str] | None,
    cells: AnnData | None,
    groupby: str | None,
    layer: str | None,
    profile: Profile,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the mean control profile of each group to predict.

    Returns
    -------
    tuple
        Profiles ``(n_genes,)`` by group; and those by which new groups are compared.
    """
    effects = fitted.effects
    own = np.asarray(effects.groups, dtype=object)
    known = {g: effects.control[own == g].mean(axis=0) for g in dict.fromkeys(effects.groups)}
    groups = [groups] if isinstance(groups, str) else groups
    if groups is not None and not len(groups):
        msg = (
            "Expected groups to predict, found none. Pass names of groups, or groups=None for all."
        )
        raise ValueError(msg)
    if cells is None:
        chosen = list(known) if groups is None else [as_text(g) for g in groups]
        if unknown := [g for g in chosen if g not in known]:
            msg = (
                f"Expected groups among {list(known)}, found {unknown}. Pass their unperturbed "
                "cells: control_cells=, groupby=."
            )
            raise ValueError(msg)
        return {g: known[g] for g in chosen}, {}
    found = _profiles_of(fitted, cells, groupby, layer, profile)
    if groups is not None:
        wanted = [as_text(g) for g in groups]
        if absent := [g for g in wanted if g not in found]:
            msg = f"Expected groups {absent} in control_cells, found {list(found)}. Pass some of these."
            raise ValueError(msg)
        found = {g: found[g] for g in wanted}
    return found, {g: x for g, x in found.items() if g not in known}


def _profiles_of(
    fitted: FittedPerturbation,
    cells: AnnData,
    groupby: str | None,
    layer: str | None,
    profile: Profile,
) -> dict[str, np.ndarray]:
    """Return mean profiles of cells by group, in the genes of training; 0 for absent genes."""
    check_cells(cells, "control_cells")
    check_profile(profile)
    genes = fitted.effects.genes
    match = match_genes(cells.var_names, genes).matrix
    absent = genes[np.asarray(match.sum(axis=0)).ravel() == 0]
    share = 1 - len(absent) / len(genes)
    if share < _MIN_SHARE:
        msg = (
            f"Expected at least half of the {len(genes)} training genes in control_cells, found "
            f"{share:.0%} (it has {examples(cells.var_names)}). Name genes as in training."
        )
        raise ValueError(msg)
    counts = get_expression(cells, layer, "control_cells", profile=profile).counts @ match
    # As in training: of the genes of the screen, however many more the cells have.
    total = np.asarray(counts.sum(axis=1)).ravel()
    if not total.any():
        msg = "Expected counts above 0 in control_cells, found none. Pass layer= with counts."
        raise ValueError(msg)
    target = fitted.target_sum if np.isfinite(fitted.target_sum) else float(np.median(total))
    if len(absent):
        warn(
            f"{len(absent)} of {len(genes)} training genes are absent from control_cells (such as "
            f"{examples(absent)}): their unperturbed level is read as 0, and only "
            "layers['change'] tells of them."
        )
        level = np.expm1(fitted.effects.control.mean(axis=0))
        target *= float(level[~genes.isin(absent)].sum() / max(level.sum(), _TINY))
    values = counts.multiply((target / np.maximum(total, 1))[:, None]).tocsr().log1p()
    names = np.full(cells.n_obs, "", dtype=object)
    if groupby is not None:
        column = obs_column(cells, groupby, "groupby=")
        remedy = f"Leave them out: `{with_values(cells, groupby)}`."
        check_no_missing(column, f"a value of groupby={groupby!r}", remedy)
        names = column.map(as_text).to_numpy(dtype=object)
    return {
        str(name): np.asarray(values[names == name].mean(axis=0)).ravel()
        for name in dict.fromkeys(names)
    }


def describe_rows(
    fitted: FittedPerturbation, parts: Sequence[Parts], groups: Sequence[str], found: Predicted
) -> pd.DataFrame:
    """Return ``obs`` of a prediction, and warn of parts about which nothing is known."""
    names = sorted({part for row in parts for part in row})
    inside = fitted.knowledge.features(names).in_graph
    in_graph = {name for name, known in zip(names, inside, strict=True) if known}
    training = set(fitted.effects.parts)
    states = {row: status(row, training, in_graph) for row in dict.fromkeys(parts)}
    outside = ["+".join(row) for row, state in states.items() if state == "out_of_graph"]
    if outside:
        warn(
            f"{len(outside)} perturbations have parts that are in no gene set, embedding or "
            f"training perturbation (such as {examples(pd.Index(outside))}): nothing of their own "
            "is predicted, only what all share. See obs['status']."
        )
    trained = set(fitted.effects.groups)
    labels = ["+".join(row) for row in parts]
    index = [
        label + (f" in {group}" if group else "")
        for label, group in zip(labels, groups, strict=True)
    ]
    return pd.DataFrame(
        {
            "perturbation": labels,
            "group": list(groups),
            "status": [states[row] for row in parts],
            "group_seen": [group in trained for group in groups],
            "method": found.method.astype(str),
        },
        index=pd.Index(index),
    )
