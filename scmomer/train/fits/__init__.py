"""Closed-form fits: start values before stage 1, and what follows stage 3 or a query."""

from scmomer.train.fits._depth import fit_depth_heads
from scmomer.train.fits._latent_basis import measure_by_expression
from scmomer.train.fits._query_bias import fit_query_bias
from scmomer.train.fits._shrinkage import set_even_depth
from scmomer.train.fits._warm_start import warm_start

__all__ = [
    "fit_depth_heads",
    "fit_query_bias",
    "measure_by_expression",
    "set_even_depth",
    "warm_start",
]
