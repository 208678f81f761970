"""The modalities. A further one is a folder beside these and a line in :data:`KINDS`."""

from scmomer.module.modalities._base import Features, ModalityKind, n_features
from scmomer.module.modalities.atac._kind import ATACKind
from scmomer.module.modalities.protein._kind import ProteinKind
from scmomer.module.modalities.rna._kind import RNAKind

KINDS: dict[str, ModalityKind] = {k.name: k for k in (RNAKind(), ATACKind(), ProteinKind())}
"""All modalities by name, in the order of :data:`scmomer._constants.MODALITIES`."""

__all__ = ["KINDS", "Features", "ModalityKind", "n_features"]
