"""Pairs of genes without order, repeats and unknown genes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scmomer.data import examples, warn
from scmomer.tasks.genes._inputs import GeneVectors
from scmomer.tasks.genes._names import NameTables, match_names

logger = logging.getLogger(__name__)

_FOLDS = {"train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "dev": 1, "test": 2}
TRAIN, TEST = 0, 2
_DEFAULT_LABEL = "label"  # the only name that may be absent


@dataclass(frozen=True)
class GenePairs:
    """Pairs of different genes, each once."""

    genes: np.ndarray
    """Positions in the embedding, the lower one first, int ``(n_pairs, 2)``."""
    positive: np.ndarray
    """bool ``(n_pairs,)``"""
    fold: np.ndarray | None
    """int ``(n_pairs,)``: 0, 1 and 2 for train, valid and test, or numbers of folds."""
    named_folds: bool = False
    """Whether folds are train, valid and test."""

    def subset(self, rows: np.ndarray) -> GenePairs:
        """Return some pairs."""
        fold = None if self.fold is None else self.fold[rows]
        return GenePairs(self.genes[rows], self.positive[rows], fold, self.named_folds)


def codes_of(genes: np.ndarray, n_genes: int) -> np.ndarray:
    """Return one number for each pair, the same for both orders, int ``(n_pairs,)``."""
    return genes.min(axis=1).astype(np.int64) * n_genes + genes.max(axis=1)


def read_pairs(
    pairs: pd.DataFrame,
    genes: GeneVectors,
    tables: NameTables,
    *,
    columns: Sequence[str] | None,
    label_key: str,
    fold_key: str | None,
) -> GenePairs:
    """Return pairs without order; logs what is merged or left out.

    Parameters
    ----------
    pairs
        Two columns of genes, perhaps labels and folds.
    genes, tables
        The embedding, and tables of other names.
    columns
        The columns of genes; None for the first two that are neither label nor fold.
    label_key
        Column of labels; all pairs are positive if it is absent.
    fold_key
        Column of folds; None if folds are not read.

    Raises
    ------
    KeyError, TypeError, ValueError
        If columns are absent, labels are not 0 and 1, or more than half of the pairs have an
        unknown gene.
    """
    table = pd.DataFrame(gene_columns(pairs, columns, label_key, fold_key))
    table["y"] = _labels(pairs, label_key)
    table["fold"], named = _folds(pairs, fold_key)
    every = pd.Index(pd.unique(table[["a", "b"]].to_numpy().ravel()))
    rows, at = match_names(every[every != ""], genes, tables, "pairs", strict=False)
    known = pd.DataFrame({"name": every[every != ""][rows], "gene": at})
    found = table.reset_index(names="row")
    for side in ("a", "b"):
        found = found.merge(known.rename(columns={"name": side, "gene": f"gene_{side}"}), on=side)
    n_known = found["row"].nunique()
    if 2 * n_known < len(table):
        strange = every[~every.isin(known["name"])]
        msg = (
            f"Expected at least half of the pairs to have two genes of {genes.where}, found "
            f"{n_known} of {len(table)}; unknown are for example {examples(strange)}. Pass "
            "aliases= or orthologs=, or leave out pairs of genes without an embedding."
        )
        raise ValueError(msg)
    if n_known < len(table):
        logger.info(
            "%d of %d pairs have a gene without an embedding and are left out.",
            len(table) - n_known,
            len(table),
        )
    return _merge(found, len(genes.names), fold_key is not None, named)


def gene_columns(
    pairs: pd.DataFrame,
    columns: Sequence[str] | None,
    label_key: str | None = None,
    fold_key: str | None = None,
) -> dict[str, np.ndarray]:
    """Return the names in both columns of genes, ``""`` where missing, each ``(n_pairs,)``."""
    if not isinstance(pairs, pd.DataFrame):
        msg = (
            f"Expected pairs to be a DataFrame with two columns of genes, found "
            f"{type(pairs).__name__}. Run `pairs = pandas.DataFrame(pairs)`."
        )
        raise TypeError(msg)
    chosen = [c for c in pairs.columns if c not in (label_key, fold_key, "label", "fold")][:2]
    if columns is not None:
        chosen = list(columns)
    if repeated := pairs.columns[pairs.columns.duplicated()].unique().tolist():
        msg = f"Expected unique names of columns in pairs, found {repeated} twice. Rename them."
        raise ValueError(msg)
    if len(set(chosen)) != 2 or not set(chosen) <= set(pairs.columns):
        msg = (
            f"Expected two columns of genes in pairs, found {list(pairs.columns)}"
            f"{'' if columns is None else f' without {chosen}'}. Pass them as columns=."
        )
        raise KeyError(msg)
    names = (pairs[c].astype(object) for c in chosen)
    return dict(
        zip("ab", (n.where(n.notna(), "").astype(str).to_numpy() for n in names), strict=True)
    )


def _labels(pairs: pd.DataFrame, label_key: str) -> np.ndarray:
    if label_key not in pairs:
        if label_key != _DEFAULT_LABEL:
            msg = (
                f"Expected a column {label_key!r} in pairs, found {list(pairs.columns)}. Pass the "
                "name of the labels as label_key=, or leave it out if all pairs are positive."
            )
            raise KeyError(msg)
        if alike := [c for c in pairs.columns if c != "fold" and _is_binary(pairs[c])]:
            warn(
                f"All pairs are taken as positive, as there is no column {label_key!r}. If the "
                f"labels are in {alike[0]!r}, pass label_key={alike[0]!r}."
            )
        return np.ones(len(pairs), bool)
    labels = pairs[label_key]
    if not labels.isin([0, 1]).all():
        other = labels[~labels.isin([0, 1])].unique()[:3].tolist()
        msg = (
            f"Expected labels 0 and 1 in pairs[{label_key!r}], found {other}. Replace them, or "
            "drop pairs without a label."
        )
        raise ValueError(msg)
    return labels.astype(bool).to_numpy()


def _is_binary(column: pd.Series) -> bool:
    """Whether a column has both 0 and 1 and nothing else."""
    return column.nunique(dropna=False) == 2 and bool(column.isin([0, 1]).all())


def _folds(pairs: pd.DataFrame, fold_key: str | None) -> tuple[np.ndarray, bool]:
    """Return the number of the fold of each pair, and whether folds are train, valid, test."""
    if fold_key is None:
        return np.zeros(len(pairs), int), False
    if fold_key not in pairs:
        msg = (
            f"Expected a column {fold_key!r} in pairs for split='given', found "
            f"{list(pairs.columns)}. Pass fold_key= or another split=."
        )
        raise KeyError(msg)
    if pairs[fold_key].isna().any():
        n = int(pairs[fold_key].isna().sum())
        msg = f"Expected a fold for each pair in pairs[{fold_key!r}], found {n} missing. Drop these pairs."
        raise ValueError(msg)
    lower = pairs[fold_key].astype(str).str.strip().str.lower()
    named = lower.isin(_FOLDS)
    alike = named | lower.str.startswith(("train", "valid", "test"))
    if alike.any() and not named.all():  # as folds in turn, training pairs would be tested
        msg = (
            "Expected folds train, valid and test, or other names of folds that are tested in "
            f"turn, in pairs[{fold_key!r}], found {sorted(lower.unique())[:5]}. Rename them."
        )
        raise ValueError(msg)
    if named.all():
        numbers = lower.map(_FOLDS).to_numpy(int)
        if not {TRAIN, TEST} <= set(numbers):
            msg = (
                f"Expected folds train and test in pairs[{fold_key!r}], found "
                f"{sorted(lower.unique())}. Add the pairs of the other fold."
            )
            raise ValueError(msg)
        return numbers, True
    codes = pd.factorize(pairs[fold_key], sort=True)[0]
    if codes.max(initial=0) < 1:
        msg = f"Expected at least two folds in pairs[{fold_key!r}], found one. Pass another split=."
        raise ValueError(msg)
    return codes, False


def _merge(found: pd.DataFrame, n_genes: int, folds: bool, named: bool) -> GenePairs:
    """Drop self pairs and merge repeats, in either order."""
    genes = np.sort(found[["gene_a", "gene_b"]].to_numpy(np.int64), axis=1)
    same = genes[:, 0] == genes[:, 1]
    if same.any():
        logger.info("%d pairs of a gene with itself are left out.", same.sum())
    found, genes = found[~same], genes[~same]
    groups = found.assign(code=codes_of(genes, n_genes)).groupby("code")
    merged = groups.agg(
        y=("y", "max"), low=("y", "min"), fold=("fold", "min"), last=("fold", "max")
    )
    if n := len(found) - len(merged):
        logger.info("%d repeated pairs (in either order) are counted once.", n)
    if n := int((merged["y"] != merged["low"]).sum()):
        logger.info(
            "%d pairs that are positive in one row and negative in another are positive.", n
        )
    if folds and (n := int((merged["fold"] != merged["last"]).sum())):
        logger.info("%d pairs are in several folds and are kept in the first, not tested.", n)
    code = merged.index.to_numpy()
    pairs = np.stack([code // n_genes, code % n_genes], axis=1)
    if not len(pairs):
        msg = "Expected pairs of two genes with embeddings, found none. Pass other pairs."
        raise ValueError(msg)
    fold = merged["fold"].to_numpy(int) if folds else None
    return GenePairs(pairs, merged["y"].to_numpy(bool), fold, named)
