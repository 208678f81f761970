"""What embeddings and controls tell about classes of genes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from scmomer.data import warn
from scmomer.tasks.genes._classifiers import Classifier, fit_classifier, probability
from scmomer.tasks.genes._inputs import Embeddings, GeneVectors, read_embeddings
from scmomer.tasks.genes.properties._cross_validation import (
    METRICS,
    Features,
    corrected_se,
    make_folds,
    score_folds,
)
from scmomer.tasks.genes.properties._families import prefixes
from scmomer.tasks.genes.properties._labels import Task

logger = logging.getLogger(__name__)

EMBEDDING = "embedding"
COLUMNS = (
    "task",
    "features",
    "classifier",
    "metric",
    "mean",
    "se",
    "difference",
    "difference_se",
    "n_positive",
    "n_negative",
    "dim",
)


@dataclass(frozen=True, repr=False)
class GeneProperty:
    """Scores of embeddings and controls, and fitted classifiers; of :func:`scmomer.tl.gene_property`."""

    table: pd.DataFrame
    """Tidy table, one row for each task, features, classifier and metric."""
    folds: pd.DataFrame
    """Scores of each split: task, features, classifier, repeat, fold, auroc, average_precision."""
    predictors: Mapping[tuple[str, str], Pipeline] = field(default_factory=dict)
    """Classifiers of the embedding fitted to all labeled genes, by task and classifier."""
    key: str = "X_scmomer"
    """Key of varm that :meth:`predict` reads."""

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return self.table["task"].unique().tolist()

    def summary(self) -> pd.DataFrame:
        """Return means over tasks.

        Returns
        -------
        pandas.DataFrame
            Index features, classifier and metric; columns ``mean``, ``difference`` (embedding minus
            features), ``difference_se`` (standard deviation of the difference over tasks, divided
            by the root of their number; for one task as in :attr:`table`) and ``n_tasks``.
        """
        groups = self.table.groupby(["features", "classifier", "metric"], sort=False)
        found = groups[["mean", "difference"]].mean()
        n = groups.size()
        one = groups["difference_se"].first()
        found["difference_se"] = (groups["difference"].std() / np.sqrt(n)).where(n > 1, one)
        return found.assign(n_tasks=n)

    def predict(
        self,
        embeddings: Embeddings,
        *,
        task: str | None = None,
        classifier: Classifier | None = None,
        group: str | None = None,
    ) -> pd.Series:
        """Return the probability of the positive class for each gene with an embedding.

        Parameters
        ----------
        embeddings
            Embeddings of any genes from the same model, in a form that
            :func:`scmomer.tl.gene_property` takes.
        task
            Which one; may be left out if there is only one.
        classifier
            ``"logistic"`` or ``"forest"``; None for the first that was fitted.
        group
            Group of cells, for embeddings by group.

        Returns
        -------
        pandas.Series
            Shape ``(n_genes,)``, between 0 and 1, named as the task.

        Raises
        ------
        ValueError
            If the task or classifier is unknown, or the vectors have another length.
        """
        task = _choose("task", task, self.tasks, need=len(self.tasks) > 1)
        kinds = list(dict.fromkeys(kind for _, kind in self.predictors))
        model = self.predictors[task, _choose("classifier", classifier, kinds)]
        genes = read_embeddings(embeddings, self.key, group)
        if genes.dim != model.n_features_in_:
            msg = (
                f"Expected vectors of length {model.n_features_in_}, found {genes.dim}. Pass "
                "embeddings of the model that the classifier was fitted to."
            )
            raise ValueError(msg)
        return pd.Series(probability(model, genes.vectors), index=genes.names, name=task)

    def __repr__(self) -> str:
        first = self.table[self.table["metric"] == "auroc"]
        wide = first.assign(
            score=[f"{m:.3f} ± {s:.3f}" for m, s in zip(first["mean"], first["se"], strict=True)]
        )
        rows = wide.pivot_table(
            index=["task", "classifier"],
            columns="features",
            values="score",
            aggfunc="first",
            sort=False,
        )
        return f"GeneProperty, AUROC of {len(self.tasks)} task(s):\n{rows.to_string(na_rep='-')}"


def _choose(name: str, value: str | None, known: list[str], need: bool = False) -> str:
    if value is None and not need:
        return known[0]
    if value not in known:
        msg = f"Expected {name}= to be one of {known}, found {value!r}. Pass {name}={known[0]!r}."
        raise ValueError(msg)
    return value


@dataclass(frozen=True)
class Protocol:
    """How features are scored."""

    cv: int
    repeats: int
    classifiers: Sequence[Classifier]
    controls: bool
    seed: int
    n_jobs: int


def score_task(
    task: Task,
    genes: GeneVectors,
    others: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    how: Protocol,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of a task in ``table`` and ``folds`` of :class:`GeneProperty`.

    Parameters
    ----------
    task
        Labeled genes.
    genes
        Embedding of all genes, ``(n_genes, dim)``.
    others
        Features of controls and opponents, each ``(n_genes, .)``.
    groups
        Groups of all genes that no fold divides, ``(n_genes,)``.
    how
        Settings.
    """
    at, y = task.genes, task.positive
    splits = make_folds(y, how.cv, how.repeats, None if groups is None else groups[at], how.seed)
    features = _features(task, genes, others, how)
    parts = []
    for kind in how.classifiers:
        for name, draw in features.items():
            scores = score_folds(draw, y, splits, kind, how.cv, how.seed, how.n_jobs)
            keys = {"task": task.name, "features": name, "classifier": kind}
            number = np.arange(len(splits))
            place = {"repeat": number // how.cv, "fold": number % how.cv}
            parts.append(pd.DataFrame({**keys, **place}, index=scores.index).join(scores))
    folds = pd.concat(parts, ignore_index=True)
    n_left_out = int(folds.loc[folds["features"] == EMBEDDING, "auroc"].isna().sum())
    if n_left_out == len(splits) * len(how.classifiers):
        msg = (
            f"Expected both classes in some fold of {task.name!r}, found none: groups are too large "
            "for cv folds. Pass a smaller cv= or other groups=."
        )
        raise ValueError(msg)
    if n_left_out:
        warn(f"{n_left_out} folds of {task.name!r} have one class and are not scored.")
    sizes = {"n_positive": int(y.sum()), "n_negative": int((~y).sum())}
    dims = {name: draw(0).shape[1] for name, draw in features.items()}
    rows = []
    for (name, kind), part in folds.groupby(["features", "classifier"], sort=False):
        own = folds[(folds["features"] == EMBEDDING) & (folds["classifier"] == kind)]
        for metric in METRICS:
            score = part[metric].to_numpy()
            gain = own[metric].to_numpy() - score
            known = name != EMBEDDING
            rows.append(
                {"task": task.name, "features": name, "classifier": kind, "metric": metric}
                | {"mean": np.nanmean(score), "se": corrected_se(score, splits)}
                | {"difference": np.nanmean(gain) if known else np.nan}
                | {"difference_se": corrected_se(gain, splits) if known else np.nan}
                | sizes
                | {"dim": dims[name]}
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)), folds


def _features(
    task: Task, genes: GeneVectors, others: Mapping[str, np.ndarray], how: Protocol
) -> dict[str, Features]:
    """Return features of the genes of a task: embedding, opponents and controls."""
    fixed = {EMBEDDING: genes.vectors[task.genes]}
    fixed |= {name: values[task.genes] for name, values in others.items()}
    letters = prefixes(genes.names[task.genes]) if how.controls else None
    if letters is not None:
        fixed["prefix"] = letters
    features: dict[str, Features] = {name: _constant(x) for name, x in fixed.items()}
    if how.controls:
        shape = (len(task.genes), genes.dim)
        features["random"] = lambda r: _random(shape, how.seed + r)
    return features


def _constant(x: np.ndarray) -> Features:
    return lambda repeat: x


def _random(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return normal vectors, new ones in each repeat."""
    return np.random.default_rng((7, seed)).standard_normal(shape, dtype=np.float32)


def fit_all(
    tasks: Sequence[Task], genes: GeneVectors, how: Protocol
) -> dict[tuple[str, str], Pipeline]:
    """Return classifiers fitted to all labeled genes, by task and classifier."""
    return {
        (t.name, kind): fit_classifier(
            kind, genes.vectors[t.genes], t.positive, seed=how.seed, n_jobs=how.n_jobs
        )
        for t in tasks
        for kind in how.classifiers
    }
