"""Classes of genes: tasks, folds, controls, classifiers."""

from scmomer.tasks.genes.properties._controls import SetCounts
from scmomer.tasks.genes.properties._families import read_groups
from scmomer.tasks.genes.properties._gene_sets import GeneSets, read_gene_sets
from scmomer.tasks.genes.properties._labels import Background, Labels, enough, read_tasks
from scmomer.tasks.genes.properties._property import GeneProperty, Protocol, fit_all, score_task

__all__ = [
    "Background",
    "GeneProperty",
    "GeneSets",
    "Labels",
    "Protocol",
    "SetCounts",
    "enough",
    "fit_all",
    "read_gene_sets",
    "read_groups",
    "read_tasks",
    "score_task",
]
