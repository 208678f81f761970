"""Tools: embed, translate, annotate and compare cells; embed genes."""

from scmomer.tl._annotate import annotate
from scmomer.tl._attribute import attribute
from scmomer.tl._drug_response import drug_response
from scmomer.tl._drug_synergy import drug_synergy
from scmomer.tl._embed import embed
from scmomer.tl._gene_embeddings import gene_embeddings
from scmomer.tl._gene_interactions import gene_interactions
from scmomer.tl._gene_property import gene_property
from scmomer.tl._gene_variability import gene_variability
from scmomer.tl._integration_report import integration_report
from scmomer.tl._knockout import knockout
from scmomer.tl._map_to_reference import map_to_reference
from scmomer.tl._peak_gene_links import peak_gene_links
from scmomer.tl._perturb import perturb
from scmomer.tl._perturb_atac import perturb_atac, perturb_protein
from scmomer.tl._rank_peaks import rank_peaks
from scmomer.tl._translate import translate_atac, translate_protein, translate_rna
from scmomer.tl._write_bedpe import write_bedpe

__all__ = [
    "annotate",
    "attribute",
    "drug_response",
    "drug_synergy",
    "embed",
    "gene_embeddings",
    "gene_variability",
    "gene_interactions",
    "gene_property",
    "integration_report",
    "knockout",
    "map_to_reference",
    "peak_gene_links",
    "perturb",
    "perturb_atac",
    "perturb_protein",
    "rank_peaks",
    "translate_atac",
    "translate_protein",
    "translate_rna",
    "write_bedpe",
]
