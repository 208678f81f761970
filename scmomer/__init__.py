"""scMomer: multi-omics single-cell embeddings and translation when a modality is missing."""

from importlib.metadata import version

from scmomer import datasets, metrics, pl, pp, pretrained, tl
from scmomer._logging import set_up_logging
from scmomer.model import SCMOMER, CellTypeClassifier, load

__version__ = version("scmomer")
__all__ = [
    "SCMOMER",
    "CellTypeClassifier",
    "datasets",
    "load",
    "metrics",
    "pl",
    "pp",
    "pretrained",
    "tl",
]

set_up_logging()
