"""scMomer: multi-omics single-cell embeddings and translation when a modality is missing."""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

from scmomer import datasets, metrics, pp, pretrained, tl
from scmomer._logging import set_up_logging
from scmomer.model import SCMOMER, load
from scmomer.tasks.annotation import CellTypeClassifier
from scmomer.tasks.drugs import DrugResponseModel, DrugSynergyModel
from scmomer.tasks.perturbation import PerturbationModel

if TYPE_CHECKING:
    from scmomer import pl

__version__ = version("scmomer")
__all__ = [
    "SCMOMER",
    "CellTypeClassifier",
    "DrugResponseModel",
    "DrugSynergyModel",
    "PerturbationModel",
    "datasets",
    "load",
    "metrics",
    "pl",
    "pp",
    "pretrained",
    "tl",
]

set_up_logging()


def __getattr__(name: str) -> ModuleType:
    """Import plots when they are asked for: a server that trains needs no matplotlib."""
    if name == "pl":
        return import_module("scmomer.pl")
    msg = f"module 'scmomer' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """Names for completion, with those that are not imported yet."""
    return sorted({*globals(), *__all__})
