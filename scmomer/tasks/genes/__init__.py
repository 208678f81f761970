"""Genes: what a trained network makes of them, and their links to peaks."""

from scmomer.tasks.genes._attribution import (
    MAX_ERROR,
    Attributions,
    Integrator,
    average_cell,
    import_captum,
)
from scmomer.tasks.genes._link_attributions import link_attributions
from scmomer.tasks.genes._link_background import Null
from scmomer.tasks.genes._link_cells import LinkCells, read_link_cells
from scmomer.tasks.genes._link_factors import attributed
from scmomer.tasks.genes._link_pairs import Candidates, candidate_pairs
from scmomer.tasks.genes._link_scores import LinkFactors
from scmomer.tasks.genes._links import LinkOptions, Places, activity, links_of
from scmomer.tasks.genes._paths import PathNetwork, Reference
from scmomer.tasks.genes._readouts import Prediction, Readout
from scmomer.tasks.genes._targets import (
    OBS,
    Target,
    choose_source,
    classifier_readout,
    feature_readout,
    probe_readout,
)

__all__ = [
    "attributed",
    "Attributions",
    "Candidates",
    "Integrator",
    "LinkCells",
    "LinkFactors",
    "LinkOptions",
    "MAX_ERROR",
    "Null",
    "OBS",
    "PathNetwork",
    "Places",
    "Prediction",
    "Readout",
    "Reference",
    "Target",
    "activity",
    "average_cell",
    "candidate_pairs",
    "choose_source",
    "classifier_readout",
    "feature_readout",
    "import_captum",
    "link_attributions",
    "links_of",
    "probe_readout",
    "read_link_cells",
]
