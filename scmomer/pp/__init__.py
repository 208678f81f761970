"""Preprocessing: register data, map counts to other features, pair cells."""

from scmomer.pp._setup import setup_anndata, setup_mudata
from scmomer.pp._split_modalities import drop_unmeasured, split_modalities
from scmomer.pp.features._align_genes import align_genes
from scmomer.pp.features._align_peaks import align_peaks
from scmomer.pp.features._bin_genome import bin_genome
from scmomer.pp.pairing._pair_cells import pair_cells

__all__ = [
    "align_genes",
    "align_peaks",
    "bin_genome",
    "drop_unmeasured",
    "pair_cells",
    "setup_anndata",
    "setup_mudata",
    "split_modalities",
]
