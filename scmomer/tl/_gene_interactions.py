"""What gene embeddings tell about pairs of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd

from scmomer._checks import whole_number
from scmomer._constants import KEYS
from scmomer.data import GeneTable
from scmomer.tasks.genes import (
    Embeddings,
    GeneInteractions,
    GenePairs,
    Head,
    NameTables,
    Negatives,
    PairProtocol,
    PairSplit,
    fit_all_pairs,
    read_embeddings,
    read_pairs,
    score_pairs,
    shared_genes,
)


def gene_interactions(
    embeddings: Embeddings,
    pairs: pd.DataFrame,
    *,
    split: PairSplit = "c3",
    negatives: Negatives = "degree",
    head: Head = "symmetric",
    columns: Sequence[str] | None = None,
    label_key: str = "label",
    fold_key: str = "fold",
    n_splits: int = 5,
    max_train_pairs: int = 50_000,
    n_bootstrap: int = 200,
    controls: bool = True,
    opponents: Mapping[str, Embeddings] | None = None,
    aliases: GeneTable | None = None,
    orthologs: GeneTable | None = None,
    key: str = KEYS.OBSM,
    group: str | None = None,
    seed: int = 0,
) -> GeneInteractions:
    """Predict interactions of genes from their embeddings, beside controls without an embedding.

    A predictor of pairs can reach a high score without any biology: a gene with many known partners
    is in many positive pairs, also in test pairs, and any vector identifies it. By default no gene
    of a test pair was trained on, and a gene is as often in negative as in positive pairs.

    Parameters
    ----------
    embeddings
        As in :func:`scmomer.tl.gene_property`.
    pairs
        DataFrame with two columns of genes, perhaps labels (0 or 1; without them all pairs are
        positive) and folds. (A, B) and (B, A) are one pair, which is positive if one of them is.
        Pairs of a gene with itself or with a gene that has no embedding are left out. All of
        this is counted in the log.
    split
        Park and Marcotte's classes of test pairs: ``"c1"``, both genes were trained on; ``"c2"``,
        exactly one; ``"c3"``, none. ``"given"``: by the column `fold_key`, either train, valid
        (not used) and test, or folds that are tested in turn. A pair in several folds stays in the
        first.
    negatives
        ``"given"``: those labeled 0. Else these are replaced by as many sampled pairs that are not
        positive, on each side of a split: ``"uniform"``, of any genes in positive pairs;
        ``"degree"``, by exchanging partners, so that each gene keeps its number of pairs (nearly, if
        it interacts with most others).
    head
        Features of a pair, for L2 logistic regression with C chosen on a split of the same kind.
        None depends on the order of genes.

        - ``"symmetric"``: sum, absolute difference and product of the standardized vectors;
        - ``"similarity"``: cosine and distance of the standardized vectors. Two numbers overfit
          least, where signals are weak;
        - ``"bilinear"``: products of the first 20 principal components of both genes, a symmetric
          bilinear form;
        - ``"concatenated"``: both vectors in both orders, as in publications. Such a model is
          additive, a score of one gene plus a score of the other, and cannot express an interaction.
    columns
        The columns of genes; None for the first two.
    label_key, fold_key
        Columns of labels and folds. Another name than ``"label"`` must exist.
    n_splits
        Parts of pairs (C1) or genes (C2, C3), each tested once. With 5, C3 tests about a
        twenty-fifth of all pairs in each split.
    max_train_pairs
        Training pairs of a split beyond this number are left out at random. Memory is about 1 kB
        for each pair and 64 dimensions.
    n_bootstrap
        Number of times that genes are drawn again for standard errors and intervals.
    controls
        Whether to score the control rows.
    opponents
        Other embeddings by name. Genes that one of them lacks are left out everywhere, with counts
        in the log.
    aliases, orthologs
        As in :func:`scmomer.tl.gene_property`; a pair counts for all orthologs of its genes.
    key, group
        As in :func:`scmomer.tl.gene_property`.
    seed
        Seed of splits, negative pairs, random vectors and the bootstrap.

    Returns
    -------
    GeneInteractions
        ``table`` has one row per features and metric (``"auroc"``, ``"average_precision"``) with
        columns ``split``, ``negatives``, ``head``, ``mean`` (over splits), ``se``, ``low`` and
        ``high`` (95 % interval), ``difference`` (embedding minus the features of the row),
        ``difference_se``, ``n_positive``, ``n_negative`` and ``n_genes`` of the test pairs, and
        ``dim``. Features are ``"embedding"``, the opponents and, as controls, ``"expression"``
        (mean and detection, if known) and ``"random"`` (vectors of the same length), all with the
        same head; ``"additive"``, the embedding with the head ``"concatenated"``; ``"degree"``,
        the number of training partners of both genes; and ``"gene_score"``, the share of positive
        pairs of both genes among the *other test pairs*. The last is no predictor, but tells how
        much the labels are a matter of single genes; with degree-preserving negative pairs it has
        no meaning and is left out, and "additive" is near 0.5 by construction. ``folds`` describes
        the splits, ``predict(pairs)`` gives probabilities for other pairs.

    Raises
    ------
    KeyError
        If a column is absent.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If labels are not 0 and 1, more than half of the pairs have an unknown gene, a split has
        fewer than ten pairs of a class, or one side has Ensembl ids and the other symbols.

    Warns
    -----
    UserWarning
        If the test pairs of a given split are of several classes, more than a twentieth of the
        negative pairs cannot be drawn, or there are no labels but another column has 0 and 1.

    Notes
    -----
    Classes of test pairs: Park and Marcotte, Nature Methods 2012. Standard errors and intervals are
    those of a bootstrap of genes, in which a pair weighs the product of the number of times
    that its genes were drawn (Owen 2007); they are wider than those of pairs, which are not
    independent.

    Examples
    --------
    >>> found = scmomer.tl.gene_interactions(genes, pairs)
    >>> found.table
    >>> found.predict(pandas.DataFrame({"a": ["GAD1"], "b": ["SST"]}))
    """
    how = PairProtocol(
        split,
        negatives,
        head,
        whole_number("n_splits", n_splits),
        whole_number("max_train_pairs", max_train_pairs),
        whole_number("n_bootstrap", n_bootstrap),
        controls,
        seed,
    )
    _check_choices(how)
    tables = NameTables(aliases, orthologs)
    genes = read_embeddings(embeddings, key, group)
    shared, vectors = shared_genes(genes, opponents, NameTables(aliases), key, group)
    found = read_pairs(
        pairs,
        shared,
        tables,
        columns=columns,
        label_key=label_key,
        fold_key=fold_key if split == "given" else None,
    )
    _check_classes(found, label_key, negatives)
    if negatives != "given":
        found = found.subset(np.flatnonzero(found.positive))
    table, folds = score_pairs(found, shared, vectors, how)
    predictor = fit_all_pairs(
        found, shared, replace(how, split="c3" if split == "given" else split)
    )
    return GeneInteractions(table, folds, predictor, shared, tables, key)


def _check_choices(how: PairProtocol) -> None:
    for name, value, choices in (
        ("split", how.split, get_args(PairSplit)),
        ("negatives", how.negatives, get_args(Negatives)),
        ("head", how.head, get_args(Head)),
    ):
        if value not in choices:
            msg = f"Expected {name} to be one of {choices}, found {value!r}. Pass one of these."
            raise ValueError(msg)
    if how.n_splits < 2:
        msg = f"Expected n_splits of at least 2, found {how.n_splits}. Pass 5, for example."
        raise ValueError(msg)


def _check_classes(pairs: GenePairs, label_key: str, negatives: Negatives) -> None:
    if not pairs.positive.any():
        msg = (
            f"Expected positive pairs, found none of {len(pairs.positive)} with 1 in {label_key!r}. "
            "Pass label_key=, or pairs that interact."
        )
        raise ValueError(msg)
    if negatives == "given" and pairs.positive.all():
        msg = (
            f"Expected pairs labeled 0 and 1 in {label_key!r} for negatives='given', found only "
            "positive pairs. Pass negatives='degree', or labels of both kinds."
        )
        raise ValueError(msg)
