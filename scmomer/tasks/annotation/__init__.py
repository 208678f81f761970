"""Cell types from the embeddings of a model."""

from scmomer.tasks.annotation._inputs import shared_genes
from scmomer.tasks.annotation._labels import UNKNOWN
from scmomer.tasks.annotation._model import CellTypeClassifier

__all__ = ["CellTypeClassifier", "UNKNOWN", "shared_genes"]
