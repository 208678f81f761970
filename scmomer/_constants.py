"""Every key that scmomer registers with scvi-tools or writes into a container, once."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from scvi import REGISTRY_KEYS

Modality = Literal["rna", "atac", "protein"]
"""A measured modality."""

RNA: Final = "rna"
ATAC: Final = "atac"
PROTEIN: Final = "protein"


class _RegistryKeys(NamedTuple):
    """Names under which fields are registered with :class:`~scvi.data.AnnDataManager`."""

    BATCH: str = REGISTRY_KEYS.BATCH_KEY
    LABELS: str = REGISTRY_KEYS.LABELS_KEY


class _Keys(NamedTuple):
    """Names that the ``tl`` functions write."""

    OBSM: str = "X_scmomer"
    LAYER: str = "scmomer"
    STD_LAYER: str = "scmomer_std"
    UNS: str = "scmomer"
    GENES_UNS: str = "scmomer_gene_embeddings"


FIELDS: Final = _RegistryKeys()
KEYS: Final = _Keys()

LINKS_KEY = "scmomer_links"
INTEGRATION_KEY = "integration_report"
INTEGRATION_BIO: dict[str, str] = {
    "isolated_labels": "isolated_labels",
    "nmi_ari_cluster_labels_kmeans_nmi": "kmeans_nmi",
    "nmi_ari_cluster_labels_kmeans_ari": "kmeans_ari",
    "silhouette_label": "silhouette_label",
    "clisi_knn": "clisi",
}
INTEGRATION_BATCH: dict[str, str] = {
    "bras": "bras",
    "ilisi_knn": "ilisi",
    "kbet_per_label": "kbet",
    "graph_connectivity": "graph_connectivity",
}
INTEGRATION_SCORES = ("bio_conservation", "batch_correction", "total")
