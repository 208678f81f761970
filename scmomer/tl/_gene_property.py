"""What gene embeddings tell about classes of genes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from scmomer._checks import whole_number
from scmomer._constants import KEYS
from scmomer.data import GeneTable
from scmomer.tasks.genes import (
    Background,
    Classifier,
    Embeddings,
    GeneProperty,
    GeneSets,
    GeneVectors,
    Labels,
    NameTables,
    Protocol,
    SetCounts,
    enough,
    expression_features,
    fit_all,
    match_names,
    read_embeddings,
    read_gene_sets,
    read_groups,
    read_tasks,
    score_task,
    shared_genes,
)

logger = logging.getLogger(__name__)


def gene_property(
    embeddings: Embeddings,
    labels: Labels,
    *,
    cv: int = 5,
    repeats: int = 5,
    groups: str | pd.Series | Mapping[str, object] | None = None,
    classifier: Classifier | Sequence[Classifier] = "logistic",
    positive: object = None,
    background: Background = "terms",
    gene_sets: GeneSets | None = None,
    controls: bool = True,
    opponents: Mapping[str, Embeddings] | None = None,
    aliases: GeneTable | None = None,
    orthologs: GeneTable | None = None,
    key: str = KEYS.OBSM,
    group: str | None = None,
    seed: int = 0,
    n_jobs: int = 1,
) -> GeneProperty:
    r"""Predict classes of genes from their embeddings, beside controls without an embedding.

    Classifiers are scored in repeated stratified folds, the same for the embedding, opponents and
    controls. Much of what is published as a property of an embedding is reached by the name of a
    gene, by its expression or by how well it is annotated: compare with these rows.

    Parameters
    ----------
    embeddings
        DataFrame genes x dim with names in the index; AnnData genes x dim; or cells (AnnData or
        MuData) whose ``varm[key]`` has the embedding, as :func:`scmomer.tl.gene_embeddings` writes
        it. Genes with NaN are left out; repeated names need equal vectors and count once.
    labels
        - Series or dict from genes to two classes (bool, 0/1 or any two values; NaN is unlabeled);
        - several such tasks: a DataFrame with one column each, or a dict of Series;
        - sets of genes: a dict from terms to genes or a GMT file. Each term is a task whose
          negative genes are those of `background`.
    cv, repeats
        Folds, and times that genes are divided anew.
    groups
        Genes that stay in one fold: ``"family"`` (first three letters of the symbol) or a Series
        from gene to group.
    classifier
        ``"logistic"``, L2 logistic regression with C chosen in inner folds, or ``"forest"``, 500
        trees, or both. A forest takes about a hundred times as long.
    positive
        The positive class; None for True, 1 or the last class in sorted order.
    background
        Negative genes of a term: ``"terms"``, the embedded genes of any other term (those in no
        term are less studied, which is easy to predict); ``"embedding"``, all others; or a list.
    gene_sets
        GMT file or dict, for the control "number of sets that a gene is in" (bias of annotation). A
        set with the name of a task is not counted there.
    controls
        Whether to score the control rows.
    opponents
        Other embeddings by name. Genes that one of them lacks are left out everywhere, with counts
        in the log.
    aliases
        Other names: a table of two columns or a mapping, read in both directions. Used for names
        that do not match otherwise.
    orthologs
        Orthologs of the labeled genes in the embedding, as in :func:`scmomer.pp.align_genes`; a
        label counts for each ortholog.
    key
        Key of varm.
    group
        Group of cells, if ``varm[key]`` has the shape genes x dim x groups.
    seed
        Seed of folds, forests and random vectors.
    n_jobs
        Threads of forests.

    Returns
    -------
    GeneProperty
        ``table`` has one row per task, features, classifier and metric (``"auroc"``,
        ``"average_precision"``) with columns ``mean``, ``se``, ``difference`` (embedding minus the
        features of the row), ``difference_se``, ``n_positive``, ``n_negative``, ``dim``. Features
        are ``"embedding"``, the opponents and, as controls, ``"expression"`` (mean and detection
        of a gene, if known), ``"gene_sets"``, ``"prefix"`` (letters that the name begins with) and
        ``"random"`` (vectors of the same length, drawn anew in each repeat). ``folds`` has the
        scores of each split, ``summary()`` means over tasks, ``predict(embeddings)`` probabilities
        for other genes.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a task has not two classes, or fewer than ten genes in one; a gene has two labels; more
        than half of the labeled genes are unknown (for terms: all); or one side has Ensembl ids and
        the other symbols.

    Warns
    -----
    UserWarning
        If some of several tasks have too few genes and are left out.

    Notes
    -----
    Names match in any case and without Ensembl versions. Standard errors are those of Nadeau and
    Bengio (2003) for repeated folds, of a score and of the paired difference:
    :math:`\sqrt{(1/J + n_\mathrm{test} / n_\mathrm{train})\, s^2}` with the variance
    :math:`s^2` over :math:`J` splits.

    Examples
    --------
    >>> found = scmomer.tl.gene_property(genes, labels, gene_sets="go_bp.gmt.gz")
    >>> found.table
    >>> scmomer.pl.gene_property(found)
    >>> found.predict(genes).nlargest(10)
    """
    how = _protocol(cv, repeats, classifier, controls, seed, n_jobs)
    tables = NameTables(aliases, orthologs)
    genes = read_embeddings(embeddings, key, group)
    tasks = read_tasks(labels, genes, tables, positive=positive, background=background)
    shared, vectors = shared_genes(genes, opponents, NameTables(aliases), key, group)
    new = np.full(len(genes.names), -1)
    new[genes.names.get_indexer(shared.names)] = np.arange(len(shared.names))
    tasks = enough([task.within(new >= 0) for task in tasks])
    tasks = [type(task)(task.name, new[task.genes], task.positive) for task in tasks]
    _check_cv(how.cv, tasks)
    others = vectors | (expression_features(shared) if controls else {})
    sets = _n_sets(gene_sets, shared, tables) if controls else None
    in_group = read_groups(groups, shared, tables)
    parts = []
    for task in tasks:
        annotation = {} if sets is None else {"gene_sets": sets.for_task(task)}
        parts.append(score_task(task, shared, others | annotation, in_group, how))
    return GeneProperty(
        table=pd.concat([table for table, _ in parts], ignore_index=True),
        folds=pd.concat([folds for _, folds in parts], ignore_index=True),
        predictors=fit_all(tasks, shared, how),
        key=key,
    )


def _protocol(
    cv: int,
    repeats: int,
    classifier: Classifier | Sequence[Classifier],
    controls: bool,
    seed: int,
    n_jobs: int,
) -> Protocol:
    kinds = [classifier] if isinstance(classifier, str) else list(classifier or ())
    if not kinds or not set(kinds) <= {"logistic", "forest"}:
        msg = f"Expected classifier to be 'logistic' or 'forest', or both, found {classifier!r}. Pass one of these."
        raise ValueError(msg)
    cv = whole_number("cv", cv, " Pass 5, for example.")
    if cv < 2:
        msg = f"Expected cv of at least 2, found {cv}. Pass 5, for example."
        raise ValueError(msg)
    return Protocol(cv, whole_number("repeats", repeats), kinds, controls, seed, n_jobs)


def _check_cv(cv: int, tasks: Sequence[object]) -> None:
    smallest = min(task.smaller_class for task in tasks)  # type: ignore[attr-defined]
    if cv > smallest:
        msg = (
            f"Expected cv of at most {smallest}, the number of genes in the rarest class, found {cv}. "
            f"Pass cv={smallest} or less."
        )
        raise ValueError(msg)


def _n_sets(gene_sets: GeneSets | None, genes: GeneVectors, tables: NameTables) -> SetCounts | None:
    if gene_sets is None:
        return None
    sets = read_gene_sets(gene_sets, "gene_sets")
    members = pd.Series(
        [gene for genes in sets.values() for gene in dict.fromkeys(genes)], dtype=object
    )
    counts = members.value_counts()
    rows, columns = match_names(pd.Index(counts.index), genes, tables, "gene_sets", strict=False)
    number = np.bincount(columns, counts.to_numpy()[rows], minlength=len(genes.names))
    return SetCounts(number.astype(int), frozenset(sets))
