"""Names of cell lines that mean the same line, and the systems of ids they are from."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from scmomer.data import examples, warn
from scmomer.tasks.drugs.tables._synonyms import plain_name

logger = logging.getLogger(__name__)

_SYSTEMS = {
    "DepMap ids (ACH-000001)": r"ACH-\d{6}",
    "Sanger ids (SIDM00001)": r"SIDM\d{5}",
    "Cellosaurus ids (CVCL_0001)": r"CVCL_[A-Z0-9]{4}",
    "COSMIC ids (905954)": r"\d{5,8}",
    "CCLE names (HT29_LARGE_INTESTINE)": r"[A-Z0-9]+_[A-Z_]{3,}",
}
_NAMES = "names (HT-29)"


def match_line_names(wanted: Sequence[str], known: Sequence[str]) -> pd.Series:
    """Match names of cell lines: as they are, then without case and punctuation.

    Parameters
    ----------
    wanted, known
        Names or ids of cell lines. Repeats count once.

    Returns
    -------
    pandas.Series
        For each wanted name (index) the known name, None where there is none. Each known name is
        that of at most one wanted name: TT and T-T are different lines. A name that differs from
        another only in case and punctuation matches only as it is; a warning says which.

    Raises
    ------
    ValueError
        If no name matches; the message says which ids were found. Ids of one system are not
        translated to another.

    Examples
    --------
    >>> match_line_names(["HT29", "MCF7"], ["HT-29", "A549"]).tolist()
    ['HT-29', None]
    """
    wanted_names, known_names = (
        pd.Index(dict.fromkeys(map(str, names))) for names in (wanted, known)
    )
    exact = wanted_names.isin(known_names)
    names = np.where(exact, wanted_names.to_numpy(object), None)
    found = pd.Series(names, index=wanted_names, dtype=object)
    left = _unique_plain(wanted_names)
    right = _unique_plain(known_names)
    pairs = left[~left["name"].isin(wanted_names[exact])].merge(right, on="plain")
    pairs = pairs[~pairs["name_y"].isin(wanted_names[exact])]
    alone = pairs["alone_x"] & pairs["alone_y"]
    if not alone.all():
        doubtful = pairs[~alone]
        warn(
            f"{doubtful['name_x'].nunique()} names of cell lines are left without a match, as "
            "several differ only in case and punctuation: "
            f"{examples(pd.unique(doubtful['name_x']))} may be "
            f"{examples(pd.unique(doubtful['name_y']))}. Rename those that are the same line."
        )
    pairs = pairs[alone]
    found[pairs["name_x"]] = pairs["name_y"].to_numpy()
    if found.isna().all():
        raise ValueError(_no_match(wanted_names, known_names))
    left_out = wanted_names[found.isna()]
    logger.info(
        "%d of %d cell lines match: %d as they are, %d without case and punctuation%s.",
        *(len(found) - len(left_out), len(found), exact.sum(), len(pairs)),
        f"; {len(left_out)} are left, such as {examples(left_out)}" if len(left_out) else "",
    )
    return found


def _unique_plain(names: pd.Index) -> pd.DataFrame:
    """Return plain forms, and whether a form is that of one name only."""
    plain = pd.Series([plain_name(name) for name in names], dtype=object)
    alone = ~plain.duplicated(keep=False)
    return pd.DataFrame({"name": names, "plain": plain, "alone": alone.to_numpy()})


def _system(names: pd.Index) -> str:
    """Return the system of ids that most names are of."""
    text = names.astype(str).str
    shares = {s: float(text.fullmatch(p).mean()) for s, p in _SYSTEMS.items()} if len(names) else {}
    best = max(shares, key=lambda system: shares[system], default=_NAMES)
    return best if shares.get(best, 0) > 0.5 else _NAMES


def _no_match(wanted: pd.Index, known: pd.Index) -> str:
    one, other = _system(wanted), _system(known)
    text = (
        f"Expected cell lines of one naming in both tables, found {one} such as "
        f"{examples(wanted)} and {other} such as {examples(known)}; none match. "
    )
    wanted_numbers, known_numbers = (
        {number for name in names if name.isdecimal() and (number := name.lstrip("0"))}
        for names in (wanted, known)
    )
    if wanted_numbers & known_numbers:
        return (
            f"Expected the same cell lines in both tables, found {examples(wanted)} and "
            f"{examples(known)}, which differ by zeros in front. Read both as text, "
            "`pandas.read_csv(path, dtype={column: str})`, or pad both: "
            "`table[key] = table[key].astype(str).str.zfill(10)`."
        )
    if one == other:
        return text + "Pass tables of the same cell lines."
    return text + (
        "Rename one side by a table of both, such as Model.csv of DepMap or model_list of Cell "
        "Model Passports: `table[key] = table[key].map(other_name)`."
    )
