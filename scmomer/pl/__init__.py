"""Plots of translated ATAC, annotated cells, integration, genes and drugs; each returns axes."""

from scmomer.pl._annotation_umap import annotation_umap
from scmomer.pl._attributions import attributions
from scmomer.pl._confusion import confusion
from scmomer.pl._drug_response import drug_response
from scmomer.pl._drug_response_methods import drug_response_methods
from scmomer.pl._drug_synergy import drug_synergy
from scmomer.pl._embedding import embedding
from scmomer.pl._gene_property import gene_property
from scmomer.pl._gene_variability import gene_variability
from scmomer.pl._integration import integration
from scmomer.pl._knockout import knockout
from scmomer.pl._marker_peaks import marker_peaks
from scmomer.pl._marker_recovery import marker_recovery
from scmomer.pl._peak_gene_links import peak_gene_links
from scmomer.pl._perturbation import perturbation
from scmomer.pl._pseudobulk import pseudobulk
from scmomer.pl._rank_peaks import rank_peaks

__all__ = [
    "annotation_umap",
    "attributions",
    "confusion",
    "drug_response",
    "drug_response_methods",
    "drug_synergy",
    "embedding",
    "gene_variability",
    "gene_property",
    "integration",
    "knockout",
    "marker_peaks",
    "marker_recovery",
    "peak_gene_links",
    "perturbation",
    "pseudobulk",
    "rank_peaks",
]
