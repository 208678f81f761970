"""Integrated gradients through a trained network."""

from scmomer.tasks.genes.attribution._integrator import (
    MAX_ERROR,
    Attributions,
    Integrator,
    average_cell,
    import_captum,
)
from scmomer.tasks.genes.attribution._links import attribution_factors, link_attributions
from scmomer.tasks.genes.attribution._paths import PathNetwork, Reference
from scmomer.tasks.genes.attribution._readouts import Prediction, Readout
from scmomer.tasks.genes.attribution._targets import (
    OBS,
    Target,
    choose_source,
    classifier_readout,
    feature_readout,
    probe_readout,
)

__all__ = [
    "Attributions",
    "Integrator",
    "MAX_ERROR",
    "OBS",
    "PathNetwork",
    "Prediction",
    "Readout",
    "Reference",
    "Target",
    "attribution_factors",
    "average_cell",
    "choose_source",
    "classifier_readout",
    "feature_readout",
    "import_captum",
    "link_attributions",
    "probe_readout",
]
