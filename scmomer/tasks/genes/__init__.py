"""Genes: what a trained network makes of them."""

from scmomer.tasks.genes._attribution import (
    MAX_ERROR,
    Attributions,
    Integrator,
    average_cell,
    import_captum,
)
from scmomer.tasks.genes._link_attributions import link_attributions
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
    "MAX_ERROR",
    "OBS",
    "Attributions",
    "Integrator",
    "PathNetwork",
    "Prediction",
    "Readout",
    "Reference",
    "Target",
    "average_cell",
    "choose_source",
    "classifier_readout",
    "feature_readout",
    "import_captum",
    "link_attributions",
    "probe_readout",
]
