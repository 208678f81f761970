"""Names of drugs that mean the same drug."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from scmomer.data import examples

logger = logging.getLogger(__name__)

#: Other names: a mapping of name to other name, or a DataFrame of two columns.
Synonyms: TypeAlias = Mapping[str, str] | pd.Series | pd.DataFrame

_FILE = Path(__file__).with_name("drug_names.csv")
# A second screen of a drug, or its highest concentration, in names of GDSC.
_SCREEN = re.compile(r"\s*\((?:rescreen|[\d.]+\s*[un]m)\)$", re.IGNORECASE)


def plain_name(name: str) -> str:
    """Return a name without case and punctuation: ``"PLX-4720"`` is ``"plx4720"``.

    The sign of an enantiomer is kept, as (-)-JQ1 is not JQ1.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    text = re.sub(r"\([-\N{MINUS SIGN}]\)", "minus", text)
    return re.sub(r"[\W_]+", "", text) or name


def match_drug_names(
    wanted: Sequence[str],
    known: Sequence[str],
    synonyms: Synonyms | None = None,
    *,
    groups: Mapping[str, object] | pd.Series | None = None,
) -> pd.Series:
    """Match names of drugs: as they are, without case and punctuation, then by synonyms.

    Parameters
    ----------
    wanted, known
        Names of drugs. Repeats count once.
    synonyms
        Names and their other names, in any direction, beside the table of the package (code names
        and former names of GDSC, such as AZD6244 for selumetinib). One that maps a wanted to a
        known name, both as written, goes before punctuation and the package's table.
    groups
        For known names, which molecule they are, as in :func:`~scmomer.tasks.drugs.read_response`.
        A wanted name that matches several of one molecule gets the first.

    Returns
    -------
    pandas.Series
        For each wanted name (index) the known name, None where there is none. Two wanted names may
        have the same known name. How many match and how is in the log.

    Raises
    ------
    TypeError
        If `synonyms` are neither a mapping nor a table.
    ValueError
        If a wanted name matches several known names at the first step at which it matches, unless
        `groups` say that they are one molecule.

    Examples
    --------
    >>> match_drug_names(["Selumetinib", "PLX4720"], ["AZD6244", "PLX-4720"]).tolist()
    ['AZD6244', 'PLX-4720']
    """
    wanted_names, known_names = (
        pd.Index(dict.fromkeys(map(str, names))) for names in (wanted, known)
    )
    found = pd.Series(np.full(len(wanted_names), None), index=wanted_names, dtype=object)
    by_step = {}
    direct = _direct(wanted_names, known_names, synonyms)
    for step, (left, right) in {
        "as they are": (wanted_names, known_names),
        "by the given synonyms": direct,
        "without case and punctuation": tuple(
            pd.Index([plain_name(n) for n in names]) for names in (wanted_names, known_names)
        ),
        "by synonyms": _keys(wanted_names, known_names, synonyms),
    }.items():
        open_ = found.isna().to_numpy()
        pairs = pd.DataFrame({"wanted": wanted_names[open_], "key": left[open_]}).merge(
            pd.DataFrame({"known": known_names, "key": right}), on="key"
        )
        pairs = _of_one_molecule(pairs, groups)
        _refuse_several(pairs)
        found[pairs["wanted"]] = pairs["known"].to_numpy()
        by_step[step] = len(pairs)
    left_out = wanted_names[found.isna()]
    logger.info(
        "%d of %d names of drugs match: %s%s.",
        len(found) - len(left_out),
        len(found),
        ", ".join(f"{n} {step}" for step, n in by_step.items() if n) or "none",
        f"; {len(left_out)} are left, such as {examples(left_out)}" if len(left_out) else "",
    )
    return found


def drug_keys(names: Sequence[str], synonyms: Synonyms | None = None) -> np.ndarray:
    """Return one number for each name, the same for names of the same drug, int ``(n,)``.

    Names are the same without case and punctuation, by the package's table or by `synonyms`.
    ``"X, Y"`` is both names, and ``"X (rescreen)"`` and ``"X (50 uM)"`` are X.
    """
    edges = [*_built_in(), *_pairs(synonyms)]
    forms = [_forms(name) for name in names]
    edges += [(form[0], other) for form in forms for other in form[1:]]
    sides = [[plain_name(edge[i]) for edge in edges] for i in (0, 1)]
    firsts = [plain_name(form[0]) for form in forms]
    nodes = pd.Index(dict.fromkeys([*firsts, *sides[0], *sides[1]]))
    one, other = (nodes.get_indexer(side) for side in sides)
    graph = sp.coo_array((np.ones(len(edges)), (one, other)), shape=(len(nodes),) * 2)
    component = connected_components(graph, directed=False)[1]
    return component[nodes.get_indexer(firsts)]


def _forms(name: str) -> list[str]:
    """Return the names that a name consists of: "Zibotentan, ZD4054" is two."""
    name = _SCREEN.sub("", str(name).strip())
    return [part for part in re.split(r",\s+", name) if part] or [name]


def _keys(
    wanted: pd.Index, known: pd.Index, synonyms: Synonyms | None
) -> tuple[pd.Index, pd.Index]:
    keys = drug_keys([*wanted, *known], synonyms)
    return pd.Index(keys[: len(wanted)]), pd.Index(keys[len(wanted) :])


def _direct(
    wanted: pd.Index, known: pd.Index, synonyms: Synonyms | None
) -> tuple[pd.Index, pd.Index]:
    """Return the known name that `synonyms` give for a wanted one, in either direction."""
    names: dict[str, str] = {}
    for one, other in _pairs(synonyms):
        for left, right in ((one, other), (other, one)):
            if left in wanted and right in known:
                names.setdefault(left, right)
    return pd.Index([names.get(n) for n in wanted], dtype=object), known


def _of_one_molecule(
    pairs: pd.DataFrame, groups: Mapping[str, object] | pd.Series | None
) -> pd.DataFrame:
    """Keep the first known name where all of a wanted name are the same molecule."""
    if groups is None or not pairs["wanted"].duplicated().any():
        return pairs
    molecule = pairs["known"].map(dict(groups.items()))
    by_wanted = molecule.groupby(pairs["wanted"])
    one = (by_wanted.transform("nunique") == 1) & molecule.notna().groupby(
        pairs["wanted"]
    ).transform("all")
    return pairs[~(one & pairs["wanted"].duplicated())]


def _refuse_several(pairs: pd.DataFrame) -> None:
    several = pairs["wanted"].duplicated(keep=False)
    if several.any():
        name = pairs.loc[several, "wanted"].iloc[0]
        found = pairs.loc[pairs["wanted"] == name, "known"].tolist()
        msg = (
            f"Expected one known name for the drug {name!r}, found {found}. Drop all but one, give "
            "the drug the name of one of them, or pass to match_drug_names "
            f"synonyms={{{name!r}: {found[0]!r}}}."
        )
        raise ValueError(msg)


def _pairs(synonyms: Synonyms | None) -> Iterable[tuple[str, str]]:
    if synonyms is None:
        return []
    if isinstance(synonyms, pd.DataFrame) and synonyms.shape[1] == 2:
        both: Iterable[tuple[Hashable, Hashable]] = synonyms.dropna().itertuples(index=False)
    elif isinstance(synonyms, Mapping | pd.Series):
        both = synonyms.items()
    else:
        msg = (
            "Expected synonyms to be a mapping of name to other name or a DataFrame of two "
            f"columns, found {type(synonyms).__name__}"
            f"{f' of shape {synonyms.shape}' if isinstance(synonyms, pd.DataFrame) else ''}. "
            "Pass `dict(zip(names, other_names))`."
        )
        raise TypeError(msg)
    return [(str(one), str(other)) for one, other in both]


@cache
def _built_in() -> tuple[tuple[str, str], ...]:
    table = pd.read_csv(_FILE)
    return tuple((n, o) for n, others in table.itertuples(index=False) for o in others.split("|"))
