"""Feature names: duplicates, and matching a query to the model by name."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scmomer.data._messages import assigned, warn
from scmomer.module import looks_like_peaks, peaks_in_one_notation, strip_versions

logger = logging.getLogger(__name__)

FEW_MATCHES = 0.2
_PANEL = 0.5  # share of the features of a panel that the model has
_MIN_MISSPELLED = 0.05  # share of genes that deserves a warning: a few symbols differ in case


def check_unique(names: pd.Index, where: str, remedy: str | None = None) -> None:
    """Raise if a name occurs twice; `where` is the attribute, such as ``adata.var_names``."""
    if names.hasnans:
        msg = (
            f"Expected a name for each of {len(names)} in {where}, found "
            f"{int(names.isna().sum())} missing (NaN). Name or drop them."
        )
        raise ValueError(msg)
    if names.is_unique:
        return
    twice = names[names.duplicated()].unique()
    msg = (
        f"Expected unique names in {where}, found {len(twice)} that occur more than once "
        f"({', '.join(map(str, twice[:5]))}{', ...' if len(twice) > 5 else ''}). "
        f"{remedy or _unique_line(names, where)}"
    )
    raise ValueError(msg)


def _unique_line(names: pd.Index, where: str) -> str:
    """Return the line of code that makes `where`, such as ``adata.var_names``, unique."""
    owner, _, attribute = where.rpartition(".")
    # A number at the end would spoil names of peaks.
    if attribute == "var_names" and looks_like_peaks(names):
        line = f"{assigned(owner)} = {owner}[:, ~{where}.duplicated()].copy()"
        return f"Drop the repeats: `{line}`."
    if attribute == "obs_names" and owner != assigned(owner):
        line = f"{where}_make_unique(); {owner.split('[')[0]}.update()"
        return f"Run `{line}` or drop the repeats."
    return f"Run `{where}_make_unique()` or drop the repeats."


def align_by_name(
    counts: sp.csr_matrix,
    found: pd.Index,
    expected: pd.Index,
    what: str,
    where: str,
    profile: str = "counts",
) -> sp.csr_matrix:
    """Bring columns into the model's order by name, as one sparse product.

    Parameters
    ----------
    counts
        Shape ``(n_cells, len(found))``.
    found, expected
        Feature names of the query and of the model.
    what
        ``"genes"`` or ``"peaks"``, for messages.
    where
        Name of the query in messages, for example ``mdata['rna']``.
    profile
        What values of genes are, for messages.

    Returns
    -------
    csr_matrix
        Shape ``(n_cells, len(expected))``; zero for features that the query lacks.

    Raises
    ------
    ValueError
        If no name is shared, or a name occurs twice in the query.
    """
    if found.equals(expected):
        return counts
    check_unique(found, f"{where}.var_names")
    column = expected.get_indexer(found)  # position in the model, or -1
    if what == "peaks" and (column < 0).any():
        column = _by_coordinates(found, expected, column, where)
    known = np.flatnonzero(column >= 0)
    _report_matches(len(known), found, expected, what, where, profile)
    if what == "genes":
        _warn_of_spelling(found, expected, column, profile)
    selection = sp.csr_matrix(
        (np.ones(len(known), counts.dtype), (known, column[known])),
        shape=(len(found), len(expected)),
    )
    aligned = (counts @ selection).tocsr()
    aligned.sort_indices()
    return aligned


def _by_coordinates(
    found: pd.Index, expected: pd.Index, by_name: np.ndarray, where: str
) -> np.ndarray:
    """Return positions of peaks in the model by coordinates, if more match than by name."""
    ours, theirs = peaks_in_one_notation(found), peaks_in_one_notation(expected)
    if ours is None or theirs is None or not theirs.is_unique:
        return by_name
    check_unique(ours, f"{where}.var_names (as coordinates)", "Drop the repeats.")
    column = theirs.get_indexer(ours)
    if (column >= 0).sum() <= (by_name >= 0).sum():
        return by_name
    logger.info("Peaks of %s are matched by coordinates: their names differ in notation.", where)
    return column


def _warn_of_spelling(
    found: pd.Index, expected: pd.Index, column: np.ndarray, profile: str
) -> None:
    """Warn if the query has many of the model's genes under a different spelling."""
    absent = np.ones(len(expected), bool)
    absent[column[column >= 0]] = False
    missing, unmatched = (i.astype(str) for i in (expected[absent], found[column < 0]))
    same = strip_versions(missing).str.upper().isin(strip_versions(unmatched).str.upper())
    there = strip_versions(unmatched).str.upper().isin(strip_versions(missing).str.upper())
    if not len(missing) or same.sum() < max(1, _MIN_MISSPELLED * len(expected)):
        return
    warn(
        f"{int(same.sum())} of the model's {len(expected)} genes count as zero, although the query "
        f"has them with a different spelling, such as {examples(unmatched[there])}. Match them: "
        f"`adata = scmomer.pp.align_genes(adata, model{_option(profile)})`."
    )


def prefix_to_drop(found: pd.Index, expected: pd.Index, where: str) -> str | None:
    """Return the line of code that makes names match, if one side has a prefix such as GRCh38_."""
    ours, theirs = found.astype(str), expected.astype(str)
    for one, other, line in (
        (ours, theirs, "{w}.str.removeprefix({p!r})"),
        (theirs, ours, "{p!r} + {w}"),
    ):
        prefix = os.path.commonprefix(one.tolist()).rpartition("_")
        start = prefix[0] + prefix[1]
        if start and one.str.removeprefix(start).isin(other).any():
            return f"`{where} = {line.format(w=where, p=start)}`"
    return None


def _report_matches(
    n_known: int, found: pd.Index, expected: pd.Index, what: str, where: str, profile: str
) -> None:
    n = len(expected)
    if n_known == 0:
        line = prefix_to_drop(found, expected, f"{where}.var_names")
        msg = (
            f"Expected {what} of the model such as {examples(expected)}, found none of its {n} "
            f"among the query's {len(found)} (such as {examples(found)}). "
            + (
                f"One side has a prefix: run {line}."
                if line
                else "Check species and naming (symbols or Ensembl ids, peak set) of var_names; "
                f"{advice(what, where, profile)}"
            )
        )
        raise ValueError(msg)
    extra = len(found) - n_known
    text = (
        f"{n_known} of the model's {n} {what} found in the query ({n_known / n:.0%}); "
        f"{n - n_known} missing ones count as zero, {extra} more in the query are ignored."
    )
    if n_known / n < FEW_MATCHES:
        missing = expected[~expected.isin(found)]
        text = f"Only {text} Missing are for example {examples(missing)}. "
        if n_known >= _PANEL * len(found):  # names match: there is nothing to align
            warn(
                f"{text}The query is a panel of {n_known / n:.0%} of the model's {what}: results "
                f"from so few {what} are unreliable."
            )
            return
        warn(f"{text}Results from so few {what} are unreliable; {advice(what, where, profile)}")
    else:
        logger.info(text)


def advice(what: str, where: str, profile: str = "counts") -> str:
    """Return another way to match features to a model, for messages."""
    if what == "proteins":
        return "rename them to those of the model (`model.spec.features['protein']`)."
    line = f"{assigned(where)} = scmomer.pp.align_{what}({where}, model{_option(profile)})"
    return f"`{line}` matches {what} by more than their names."


def _option(profile: str) -> str:
    return "" if profile == "counts" else f", profile={profile!r}"


def examples(names: Sequence[Any] | pd.Index | np.ndarray) -> str:
    """Return the first names, quoted, for messages."""
    return ", ".join(repr(str(name)) for name in names[:3])
