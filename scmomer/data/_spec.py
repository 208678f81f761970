"""Features, batches and labels of a model, and where they were registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from scmomer.data._profile import Profile
from scmomer.module import Encoder, ModuleConfig, SCMOMERModule


@dataclass(frozen=True)
class ModelSpec:
    """Everything but weights that inference needs; a saved model is this and its tensors."""

    features: dict[str, pd.Index]
    """Genes under ``"rna"``, peaks under ``"atac"``, proteins under ``"protein"``; in the order of
    the model's columns."""
    modality_keys: dict[str, str]
    """Key of each modality in the training MuData; empty if an AnnData was registered."""
    layers: dict[str, str | None]
    """Layer that held the counts of each modality; None for ``X``."""
    batch_key: str | None = None
    labels_key: str | None = None
    batches: list[str] = field(default_factory=list)
    """Names of the batches seen in training."""
    labels: list[str] = field(default_factory=list)
    """Names of the labels seen in training."""
    bridged: bool = False
    """One modality with a bridge to another that the model cannot read (published weights)."""
    query_batches: list[str] = field(default_factory=list)
    """Names of the batches that queries added after training."""
    profile: Profile = "counts"
    """What the values of RNA were: ``"counts"`` or ``"normalized"``."""

    @property
    def all_batches(self) -> list[str]:
        """Names of all batches, in the order of their codes."""
        return [*self.batches, *self.query_batches]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the model, RNA first."""
        return tuple(self.features)

    def build_module(
        self, config: ModuleConfig, encoders: Mapping[str, Encoder] = MappingProxyType({})
    ) -> SCMOMERModule:
        """Return an untrained network for these features."""
        module = SCMOMERModule(self.features, len(self.batches), config, self.bridged, encoders)
        if self.query_batches:
            module.add_query_batches(len(self.query_batches))
        return module

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dictionaries (JSON)."""
        return {
            "features": {m: names.astype(str).tolist() for m, names in self.features.items()},
            "modality_keys": self.modality_keys,
            "layers": self.layers,
            "batch_key": self.batch_key,
            "labels_key": self.labels_key,
            "batches": self.batches,
            "labels": self.labels,
            "bridged": self.bridged,
            "query_batches": self.query_batches,
            "profile": self.profile,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelSpec:
        """Rebuild from :meth:`to_dict`."""
        features = {m: pd.Index(names) for m, names in values["features"].items()}
        return cls(**{**values, "features": features})
