"""Links of peaks and genes: candidates, scores, background."""

from scmomer.tasks.genes.links._attributed import attributed
from scmomer.tasks.genes.links._background import Null
from scmomer.tasks.genes.links._candidates import Candidates, candidate_pairs
from scmomer.tasks.genes.links._cells import LinkCells, read_link_cells
from scmomer.tasks.genes.links._links import LinkOptions, Places, activity, links_of
from scmomer.tasks.genes.links._scores import LinkFactors

__all__ = [
    "Candidates",
    "LinkCells",
    "LinkFactors",
    "LinkOptions",
    "Null",
    "Places",
    "activity",
    "attributed",
    "candidate_pairs",
    "links_of",
    "read_link_cells",
]
