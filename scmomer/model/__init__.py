"""The user's object: registration, training, results, files."""

from scmomer.model._folder import Folder
from scmomer.model._gene_embeddings import GeneSource
from scmomer.model._io import make_ready
from scmomer.model._load import load, resolve_model
from scmomer.model._results import feature_index
from scmomer.model._scmomer import SCMOMER

__all__ = [
    "Folder",
    "GeneSource",
    "feature_index",
    "SCMOMER",
    "load",
    "make_ready",
    "resolve_model",
]
