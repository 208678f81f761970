"""Names of perturbed genes among others: former symbols, and those that a spreadsheet made dates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from scmomer.data import GeneTable, gene_pairs
from scmomer.module import strip_versions

#: Families that were renamed because spreadsheets read their members as dates.
_FAMILIES: Final = {"MARCH": "MARCHF", "SEPT": "SEPTIN"}
_DATES: Final = {"mar": "MARCH", "sep": "SEPT"}


def other_symbols(gene: str) -> list[str]:
    """Return the other symbols of a renamed gene: MARCH8 for MARCHF8, and the reverse.

    ``"8-Mar"``, which spreadsheets make of it, has both.
    """
    if date := re.fullmatch(r"0?(\d{1,2})-(Mar|Sep)", gene, re.IGNORECASE):
        family = _DATES[date.group(2).lower()]
        return [f"{family}{date.group(1)}", f"{_FAMILIES[family]}{date.group(1)}"]
    for old, new in _FAMILIES.items():
        for one, other in ((new, old), (old, new)):
            if name := re.fullmatch(rf"{one}(\d{{1,2}})", gene, re.IGNORECASE):
                return [f"{other if gene.isupper() else other.capitalize()}{name.group(1)}"]
    return []


def find_genes(
    genes: Sequence[str], names: Sequence[str] | pd.Index, aliases: GeneTable | None = None
) -> np.ndarray:
    """Return the position of each gene among `names`, -1 where there is none, ``(n_genes,)``.

    Names are compared exactly, then without Ensembl versions in any case; genes that do not match,
    by :func:`other_symbols` and by `aliases`, in both directions.

    Parameters
    ----------
    genes
        Genes to find, possibly repeated.
    names
        Names to find them among; of repeated ones the first is found.
    aliases
        Further names of genes: two columns, or a mapping from names to other names.
    """
    vocabulary = _Names(names)
    more = _other_names(aliases)
    found = np.full(len(genes), -1)
    for i, gene in enumerate(map(str, genes)):
        others = (*other_symbols(gene), *more.get(_key(gene), ()))
        found[i] = next((at for one in (gene, *others) if (at := vocabulary.find(one)) >= 0), -1)
    return found


def own_genes(
    parts: Sequence[tuple[str, ...]], genes: pd.Index, aliases: GeneTable | None = None
) -> np.ndarray:
    """Return which genes each perturbation targets itself, bool ``(n_perturbations, n_genes)``.

    No score should count them: that a gene which is knocked out is low is no prediction.
    """
    named = sorted({part for some in parts for part in some})
    at = dict(zip(named, find_genes(named, genes, aliases), strict=True))
    own = np.zeros((len(parts), len(genes)), bool)
    for row, some in enumerate(parts):
        own[row, [at[part] for part in some if at[part] >= 0]] = True
    return own


class _Names:
    """Positions of names."""

    def __init__(self, names: Iterable[str]) -> None:
        listed = [str(name) for name in names]
        self._exact = {name: i for i, name in reversed([*enumerate(listed)])}
        keys = _keys(listed)
        repeated = set(keys[keys.duplicated(keep=False)])
        self._loose = {key: i for i, key in enumerate(keys) if key not in repeated}

    def find(self, name: str) -> int:
        """Return the position of a name, -1 if there is none."""
        return self._exact.get(name, self._loose.get(_key(name), -1))


def _keys(names: Sequence[str]) -> pd.Index:
    """Return names as they are compared."""
    return strip_versions(pd.Index(list(names), dtype=object)).str.upper()


def _key(name: str) -> str:
    return str(_keys([name])[0])


def _other_names(aliases: GeneTable | None) -> dict[str, list[str]]:
    """Return the other names of each gene of a table, both ways."""
    found: dict[str, list[str]] = {}
    if aliases is None:
        return found
    pairs = gene_pairs(aliases, "aliases", "one name", "another name")
    for one, other in pairs.itertuples(index=False):
        found.setdefault(_key(one), []).append(other)
        found.setdefault(_key(other), []).append(one)
    return found
