"""The model class: registration, training, results, files. No tensor maths here."""

from scmomer.model._classifier import CellTypeClassifier
from scmomer.model._current import resolve_model
from scmomer.model._io import load
from scmomer.model._scmomer import SCMOMER

__all__ = ["SCMOMER", "CellTypeClassifier", "load", "resolve_model"]
