"""Genes: links to peaks."""

from scmomer.tasks.genes._link_background import Null
from scmomer.tasks.genes._link_cells import LinkCells, read_link_cells
from scmomer.tasks.genes._link_pairs import Candidates, candidate_pairs
from scmomer.tasks.genes._link_scores import LinkFactors
from scmomer.tasks.genes._links import LinkOptions, Places, activity, links_of

__all__ = [
    "Candidates",
    "LinkCells",
    "LinkFactors",
    "LinkOptions",
    "Null",
    "Places",
    "activity",
    "candidate_pairs",
    "links_of",
    "read_link_cells",
]
