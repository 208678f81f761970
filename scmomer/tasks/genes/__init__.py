"""What embeddings of genes tell: properties, interactions, variability, links to peaks."""

from scmomer.tasks.genes._classifiers import Classifier
from scmomer.tasks.genes._controls import SetCounts, expression_features
from scmomer.tasks.genes._families import read_groups
from scmomer.tasks.genes._gene_sets import GeneSets, read_gene_sets
from scmomer.tasks.genes._heads import Head
from scmomer.tasks.genes._inputs import Embeddings, GeneVectors, read_embeddings
from scmomer.tasks.genes._interactions import GeneInteractions, fit_all_pairs, score_pairs
from scmomer.tasks.genes._labels import Background, Labels, enough, read_tasks
from scmomer.tasks.genes._names import NameTables, match_names
from scmomer.tasks.genes._negatives import Negatives
from scmomer.tasks.genes._opponents import shared_genes
from scmomer.tasks.genes._pair_rows import PairProtocol
from scmomer.tasks.genes._pair_splits import PairSplit
from scmomer.tasks.genes._pairs import GenePairs, read_pairs
from scmomer.tasks.genes._property import (
    GeneProperty,
    Protocol,
    fit_all,
    score_task,
)
from scmomer.tasks.genes._variability import combine, equal_cells, variability

__all__ = [
    "Background",
    "Classifier",
    "Embeddings",
    "GeneInteractions",
    "GenePairs",
    "GeneProperty",
    "GeneSets",
    "GeneVectors",
    "Head",
    "Labels",
    "NameTables",
    "Negatives",
    "PairProtocol",
    "PairSplit",
    "Protocol",
    "SetCounts",
    "combine",
    "enough",
    "equal_cells",
    "expression_features",
    "fit_all",
    "fit_all_pairs",
    "match_names",
    "read_embeddings",
    "read_gene_sets",
    "read_groups",
    "read_pairs",
    "read_tasks",
    "score_pairs",
    "score_task",
    "shared_genes",
    "variability",
]
