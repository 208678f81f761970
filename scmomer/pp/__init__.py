"""Containers to containers: registering data, bringing them onto other features, pairing cells."""

from scmomer.pp._align_genes import align_genes
from scmomer.pp._align_peaks import align_peaks
from scmomer.pp._bin_genome import bin_genome
from scmomer.pp._pair_cells import pair_cells
from scmomer.pp._setup import setup_anndata, setup_mudata

__all__ = [
    "align_genes",
    "align_peaks",
    "bin_genome",
    "pair_cells",
    "setup_anndata",
    "setup_mudata",
]
