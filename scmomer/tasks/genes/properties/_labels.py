"""Labels of genes as tasks with two classes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from scmomer.data import examples, warn
from scmomer.tasks.genes._inputs import GeneVectors
from scmomer.tasks.genes._names import NameTables, match_names
from scmomer.tasks.genes.properties._gene_sets import read_gene_sets

logger = logging.getLogger(__name__)

Labels: TypeAlias = pd.Series | pd.DataFrame | Mapping[str, Any] | str | Path
Background: TypeAlias = Literal["terms", "embedding"] | Collection[str]
MIN_GENES = 10  # of each class
_MOST = 0.5  # share of a column that are names of genes


@dataclass(frozen=True)
class Task:
    """Genes of two classes."""

    name: str
    genes: np.ndarray
    """Positions in the embedding, unique, ``(n_genes,)``."""
    positive: np.ndarray
    """bool ``(n_genes,)``"""

    @property
    def smaller_class(self) -> int:
        """Number of genes of the rarer class."""
        n_positive = int(self.positive.sum())
        return min(n_positive, len(self.positive) - n_positive)

    def within(self, genes: np.ndarray) -> Task:
        """Return the task on genes of a mask over the embedding."""
        kept = genes[self.genes]
        return Task(self.name, self.genes[kept], self.positive[kept])


def read_tasks(
    labels: Labels,
    genes: GeneVectors,
    tables: NameTables,
    *,
    positive: object = None,
    background: Background = "terms",
) -> list[Task]:
    """Return the tasks in `labels`, as described in :func:`scmomer.tl.gene_property`."""
    if isinstance(labels, pd.DataFrame):
        _check_table(labels, genes)
        return [
            _task(str(name), column, genes, tables, positive, f"labels[{name!r}]")
            for name, column in labels.items()
        ]
    if isinstance(labels, pd.Series):
        return [_task(str(labels.name or "label"), labels, genes, tables, positive)]
    if isinstance(labels, str | Path):
        return _terms(read_gene_sets(labels, "labels"), genes, tables, background)
    if not isinstance(labels, Mapping):
        msg = (
            "Expected labels to be a Series or dict from genes to two classes, a DataFrame, a dict "
            f"of several, or a GMT file, found {type(labels).__name__}. Labels in the order of "
            "genes become one by `pandas.Series(labels, index=genes)`; for a list of positive "
            "genes, pass `{'name': genes}` and background='embedding'."
        )
        raise TypeError(msg)
    values = list(labels.values())
    if all(isinstance(v, pd.Series | Mapping) for v in values) and values:
        return [
            _task(str(name), pd.Series(v), genes, tables, positive, f"labels[{name!r}]")
            for name, v in labels.items()
        ]
    if all(isinstance(v, Collection) and not isinstance(v, str) for v in values) and values:
        return _terms(read_gene_sets(labels, "labels"), genes, tables, background)
    return [_task("label", pd.Series(labels, dtype=object), genes, tables, positive)]


def _check_table(labels: pd.DataFrame, genes: GeneVectors) -> None:
    """Raise if a table has no labels, or its genes in a column."""
    if labels.empty:
        msg = f"Expected labels of genes, found a DataFrame of shape {labels.shape}. Pass another."
        raise ValueError(msg)
    named = [c for c, x in labels.items() if x.astype(str).isin(genes.names).mean() > _MOST]
    if named and not labels.index.astype(str).isin(genes.names).any():
        msg = (
            f"Expected names of genes in labels.index, found {examples(labels.index.astype(str))} "
            f"there and genes in a column. Run `labels = labels.set_index({named[0]!r})`."
        )
        raise ValueError(msg)


def enough(tasks: list[Task]) -> list[Task]:
    """Return tasks with at least ten genes in each class; raise if there is none."""
    good = [task for task in tasks if task.smaller_class >= MIN_GENES]
    few = [task for task in tasks if task.smaller_class < MIN_GENES]
    if not good:
        counts = [f"{t.name!r}: {t.positive.sum()} and {(~t.positive).sum()}" for t in few[:3]]
        msg = (
            f"Expected at least {MIN_GENES} positive and {MIN_GENES} negative genes with an "
            f"embedding, found {'; '.join(counts)}. Label more genes, or embed more."
        )
        raise ValueError(msg)
    if few:
        warn(
            f"{len(few)} of {len(tasks)} tasks are left out, as fewer than {MIN_GENES} genes of a "
            f"class have an embedding: {examples([t.name for t in few])}."
        )
    return good


def _task(
    name: str,
    labels: pd.Series,
    genes: GeneVectors,
    tables: NameTables,
    positive: object,
    where: str = "labels",
) -> Task:
    """Return the task of one series, which is `where` in the caller's code."""
    labels = labels[labels.notna()]
    classes = _two_classes(labels, name, positive, where)
    known = pd.Series(classes, index=labels.index.astype(str))
    unique = known.index.unique()
    rows, columns = match_names(unique, genes, tables, f"labels ({name})")
    # All labels of all names of a gene
    at = pd.DataFrame({"name": unique[rows], "gene": columns})
    every = at.merge(known.rename("y").rename_axis("name").reset_index(), on="name")
    spread = every.groupby("gene")["y"].agg(["min", "max"])
    unclear = spread.index[spread["min"] != spread["max"]]
    if len(unclear):
        wrong = every.loc[every["gene"].isin(unclear), "name"].unique().tolist()
        msg = (
            f"Expected one label for each gene in labels ({name}), found two for {len(unclear)}. "
            f"Drop them: `{where} = pandas.Series({where}).drop({wrong})`."
        )
        raise ValueError(msg)
    if n := len(every) - len(spread):
        logger.info("%d repeated labels of the same gene are counted once (%s).", n, name)
    return Task(name, spread.index.to_numpy(), spread["min"].to_numpy(bool))


def _two_classes(labels: pd.Series, name: str, positive: object, where: str) -> np.ndarray:
    """Return True for the positive class, ``(n_labels,)``."""
    classes = sorted(labels.unique().tolist(), key=lambda value: (str(type(value)), value))
    if len(classes) != 2:
        shown = classes[:5]
        line = f"{where} = pandas.Series({where}).loc[lambda x: x.isin({shown[:2]})]"
        msg = f"Expected two classes in labels ({name}), found {len(classes)}: {shown}. " + (
            f"Choose two, such as `{line}`." if len(classes) > 2 else "Label genes of both classes."
        )
        raise ValueError(msg)
    if positive is not None and positive not in classes:
        msg = f"Expected positive= to be one of {classes} ({name}), found {positive!r}. Pass one of these."
        raise ValueError(msg)
    chosen = classes[1] if positive is None else positive
    if positive is None and isinstance(chosen, str):
        logger.info("The positive class of %s is %r; positive= chooses another.", name, chosen)
    return (labels == chosen).to_numpy(bool)


def _terms(
    terms: dict[str, list[str]], genes: GeneVectors, tables: NameTables, background: Background
) -> list[Task]:
    """Return one task for each set of genes."""
    pairs = pd.DataFrame(
        [(term, gene) for term, members in terms.items() for gene in members],
        columns=["term", "name"],
    )
    if background == "terms" and len(terms) == 1:
        msg = (
            "Expected several terms in labels, as genes of other terms are the negative ones, "
            "found 1. Pass background='embedding' or a list of genes."
        )
        raise ValueError(msg)
    names = pd.Index(pairs["name"].unique())
    # Terms cover the genome, embeddings rarely do: the share of unknown genes says nothing.
    rows, columns = match_names(names, genes, tables, "labels", strict=False)
    matches = pd.DataFrame({"name": names[rows], "gene": columns})
    members = pairs.merge(matches, on="name").groupby("term")["gene"].unique()
    universe = _universe(background, np.unique(columns), genes, tables)
    tasks = []
    for term in terms:
        inside = np.asarray(members.get(term, []), dtype=int)
        every = np.union1d(universe, inside)
        tasks.append(Task(term, every, np.isin(every, inside)))
    return tasks


def _universe(
    background: Background, annotated: np.ndarray, genes: GeneVectors, tables: NameTables
) -> np.ndarray:
    """Return positions of the genes that are negative unless a term has them."""
    if isinstance(background, str):
        if background not in ("terms", "embedding"):
            msg = (
                "Expected background to be 'terms', 'embedding' or a list of genes, found "
                f"{background!r}. Pass one of these."
            )
            raise ValueError(msg)
        return annotated if background == "terms" else np.arange(len(genes.names))
    names = pd.Index([str(name) for name in background]).unique()
    return np.unique(match_names(names, genes, tables, "background")[1])
