"""What embeddings and controls tell about pairs of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scmomer.data import warn
from scmomer.tasks.genes._inputs import Embeddings, GeneVectors, read_embeddings
from scmomer.tasks.genes._names import NameTables, match_names
from scmomer.tasks.genes.interactions._gene_bootstrap import METRICS, RankedPairs, resampled
from scmomer.tasks.genes.interactions._heads import PairClassifier, fit_pairs
from scmomer.tasks.genes.interactions._pairs import GenePairs, gene_columns
from scmomer.tasks.genes.interactions._rows import (
    PairProtocol,
    Side,
    complete,
    describe,
    inner_splits,
    predict_split,
    subsample,
)
from scmomer.tasks.genes.interactions._splits import split_pairs

_MIN_PAIRS = 10  # of each class in the test pairs of a split


@dataclass(frozen=True, repr=False)
class GeneInteractions:
    """Scores of embeddings and controls on pairs; of :func:`scmomer.tl.gene_interactions`."""

    table: pd.DataFrame
    """Tidy table, one row for each features and metric."""
    folds: pd.DataFrame
    """Numbers of pairs of each split, shares by seen genes, and AUROC of each features."""
    predictor: PairClassifier
    """Classifier of the embedding, fitted to all pairs."""
    genes: GeneVectors
    """The embedding."""
    tables: NameTables = NameTables()
    """Other names of genes."""
    key: str = "X_scmomer"
    """Key of varm that :meth:`predict` reads."""

    def predict(
        self,
        pairs: pd.DataFrame,
        *,
        embeddings: Embeddings | None = None,
        columns: Sequence[str] | None = None,
        group: str | None = None,
    ) -> pd.Series:
        """Return the probability that the genes of each pair interact.

        It is the same for both orders of a pair. With sampled negative pairs it ranks pairs, but is
        no share of true ones.

        Parameters
        ----------
        pairs
            DataFrame with two columns of genes.
        embeddings
            Embeddings with further genes, of the same model; None for those that were fitted.
        columns
            The columns of genes; None for the first two.
        group
            Group of cells, for embeddings by group.

        Returns
        -------
        pandas.Series
            Shape ``(n_pairs,)``, with the index of `pairs`; NaN if a gene has no embedding. A gene
            with several orthologs is represented by the first.

        Raises
        ------
        ValueError
            If no gene is known, or vectors have another length.

        Warns
        -----
        UserWarning
            If pairs have unknown genes.
        """
        genes = self.genes if embeddings is None else read_embeddings(embeddings, self.key, group)
        if genes.dim != self.genes.dim:
            msg = (
                f"Expected vectors of length {self.genes.dim}, found {genes.dim}. Pass embeddings "
                "of the model that the classifier was fitted to."
            )
            raise ValueError(msg)
        sides = gene_columns(pairs, columns)
        if pairs.empty:
            return pd.Series(np.empty(0), index=pairs.index, name="interaction")
        names = pd.Index(pd.unique(np.concatenate([sides["a"], sides["b"]])))
        rows, found = match_names(names, genes, self.tables, "pairs", strict=False)
        position = np.full(len(names), -1)
        position[rows[::-1]] = found[::-1]
        at = np.stack([position[names.get_indexer(sides[s])] for s in "ab"], axis=1)
        known = np.asarray((at >= 0).all(axis=1))
        if not known.all():
            warn(f"{(~known).sum()} of {len(known)} pairs have a gene without an embedding: NaN.")
        result = np.full(len(pairs), np.nan)
        result[known] = self.predictor(genes.vectors, at[known])
        return pd.Series(result, index=pairs.index, name="interaction")

    def __repr__(self) -> str:
        rows = self.table[self.table["metric"] == "auroc"]
        first = rows.iloc[0]
        shown = rows.set_index("features")[["mean", "se", "difference", "difference_se"]]
        return (
            f"GeneInteractions, AUROC of {first['n_positive']} + {first['n_negative']} test pairs "
            f"({first['split']}, negatives {first['negatives']}, head {first['head']}):\n"
            f"{shown.to_string(float_format='{:.3f}'.format, na_rep='-')}"
        )


def score_pairs(
    pairs: GenePairs,
    genes: GeneVectors,
    opponents: Mapping[str, np.ndarray],
    how: PairProtocol,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``table`` and ``folds`` of :class:`GeneInteractions`."""
    n_genes, tests, folds, ranked = len(genes.names), [], [], []
    for number, split in enumerate(split_pairs(pairs, how.split, how.n_splits, how.seed)):
        train, test = complete(pairs, split, how, n_genes, number)
        _check(train, test, how)
        predicted = predict_split(train, test, genes, opponents, how, number)
        ranks = {name: RankedPairs(score, test.positive) for name, score in predicted.items()}
        tests.append(test)
        ranked.append(ranks)
        found = {f"auroc_{name}": r.scores()[0] for name, r in ranks.items()}
        folds.append(describe(train, test, number) | found)
    dims = {"embedding": genes.dim, "random": genes.dim, "additive": genes.dim, "expression": 2}
    dims |= {name: x.shape[1] for name, x in opponents.items()}
    table = _table(ranked, tests, n_genes, how).assign(
        dim=lambda t: [dims.get(name, 1) for name in t["features"]]
    )
    return table, pd.DataFrame(folds)


def _table(
    ranked: list[dict[str, RankedPairs]], tests: list[Side], n_genes: int, how: PairProtocol
) -> pd.DataFrame:
    names = list(ranked[0])

    def means(weights: Sequence[np.ndarray | None]) -> np.ndarray:
        """Scores averaged over splits, ``(n_features, n_metrics)``."""
        scores = [[r[n].scores(w) for n in names] for r, w in zip(ranked, weights, strict=True)]
        return np.mean(scores, axis=0)

    best = means([None] * len(tests))
    draws = resampled([t.genes for t in tests], n_genes, how.n_bootstrap, how.seed)
    spread = np.stack([means(weights) for weights in draws])  # draws x features x metrics
    gain = best[:1] - best
    with np.errstate(invalid="ignore"):
        se, gain_se = np.nanstd(spread, axis=0), np.nanstd(spread[:, :1] - spread, axis=0)
        low, high = np.nanpercentile(spread, [2.5, 97.5], axis=0)
    positive = np.concatenate([t.positive for t in tests])
    known = {
        "n_positive": int(positive.sum()),
        "n_negative": int((~positive).sum()),
        "n_genes": len(np.unique(np.concatenate([t.genes for t in tests]))),
    }
    rows = [
        {"features": name, "split": how.split, "negatives": how.negatives, "head": how.head}
        | {"metric": metric, "mean": best[i, j], "se": se[i, j]}
        | {"low": low[i, j], "high": high[i, j]}
        | {"difference": gain[i, j] if i else np.nan}
        | {"difference_se": gain_se[i, j] if i else np.nan}
        | known
        for i, name in enumerate(names)
        for j, metric in enumerate(METRICS)
    ]
    return pd.DataFrame(rows)


def _check(train: Side, test: Side, how: PairProtocol) -> None:
    """Raise if pairs of a class are absent, or too few to score."""
    for what, side in (("training", train), ("test", test)):
        counts = int(side.positive.sum()), int((~side.positive).sum())
        if min(counts) < _MIN_PAIRS:
            msg = (
                f"Expected at least {_MIN_PAIRS} positive and {_MIN_PAIRS} negative {what} pairs in "
                f"each split ({how.split}, negatives={how.negatives!r}), found {counts[0]} and "
                f"{counts[1]}. Pass more pairs, fewer n_splits=, or other negatives=."
            )
            raise ValueError(msg)


def fit_all_pairs(pairs: GenePairs, genes: GeneVectors, how: PairProtocol) -> PairClassifier:
    """Return a classifier fitted to all pairs and, unless given, negative ones."""
    rows = np.arange(len(pairs.genes))
    side = complete(pairs, (rows, rows[:0]), how, len(genes.names), how.n_splits)[0]
    chosen = subsample(side, how.max_train_pairs, np.random.default_rng(how.seed))
    kind = "c3" if how.split == "given" else how.split
    inner = inner_splits(chosen, kind, how.seed)
    return fit_pairs(how.head, genes.vectors, chosen.genes, chosen.positive, inner)
