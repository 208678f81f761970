"""Pairs of genes: splits, negative pairs, heads, errors."""

from scmomer.tasks.genes.interactions._heads import Head
from scmomer.tasks.genes.interactions._interactions import (
    GeneInteractions,
    fit_all_pairs,
    score_pairs,
)
from scmomer.tasks.genes.interactions._negatives import Negatives
from scmomer.tasks.genes.interactions._pairs import GenePairs, read_pairs
from scmomer.tasks.genes.interactions._rows import PairProtocol
from scmomer.tasks.genes.interactions._splits import PairSplit

__all__ = [
    "GeneInteractions",
    "GenePairs",
    "Head",
    "Negatives",
    "PairProtocol",
    "PairSplit",
    "fit_all_pairs",
    "read_pairs",
    "score_pairs",
]
