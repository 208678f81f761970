"""Every key that scmomer registers with scvi-tools or writes into a container, once."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from scvi import REGISTRY_KEYS

Modality = Literal["rna", "atac", "protein"]
"""A measured modality."""

RNA: Final = "rna"
ATAC: Final = "atac"
PROTEIN: Final = "protein"
MODALITIES: Final[tuple[Modality, ...]] = (RNA, ATAC, PROTEIN)
"""In the order in which everything of several modalities is listed."""
FEATURE_NAMES: Final[dict[str, str]] = {RNA: "genes", ATAC: "peaks", PROTEIN: "proteins"}


class _RegistryKeys(NamedTuple):
    """Names under which fields are registered with :class:`~scvi.data.AnnDataManager`."""

    RNA: str = REGISTRY_KEYS.X_KEY
    ATAC: str = REGISTRY_KEYS.ATAC_X_KEY
    PROTEIN: str = REGISTRY_KEYS.PROTEIN_EXP_KEY
    BATCH: str = REGISTRY_KEYS.BATCH_KEY
    LABELS: str = REGISTRY_KEYS.LABELS_KEY


class _Keys(NamedTuple):
    """Names that the ``tl`` functions write."""

    OBSM: str = "X_scmomer"
    LAYER: str = "scmomer"
    STD_LAYER: str = "scmomer_std"
    UNS: str = "scmomer"


FIELDS: Final = _RegistryKeys()
KEYS: Final = _Keys()

STAGES: Final[tuple[str, ...]] = (*MODALITIES, "fusion", "bridge")
"""Training stages in order: stage 1 is each modality alone, stage 2 ``fusion``, 3 ``bridge``."""
