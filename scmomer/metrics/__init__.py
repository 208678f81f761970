"""Pure functions on arrays that say how good a translation or an embedding is."""

from ._embedding import clustering_agreement
from ._pseudobulk import pseudobulk_pearson
from ._rank import auroc_per_peak, depth_strata
from ._translation import peak_auroc, peak_auroc_within_depth

__all__ = [
    "auroc_per_peak",
    "clustering_agreement",
    "depth_strata",
    "peak_auroc",
    "peak_auroc_within_depth",
    "pseudobulk_pearson",
]
