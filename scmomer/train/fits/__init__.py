"""Closed-form fits: start values before stage 1, and what precedes and follows stages.

:data:`BEFORE` and :data:`AFTER` list what belongs to a stage, in order, and :data:`START` what
precedes it only if it was never trained. After stage 1 the embedding of RNA alone gets its unit.
After stage 3 decoders and depth heads come first, then the shrinkage of measured ATAC, which the
outputs of bridges into RNA are fitted with. Typical counts of proteins describe the result and come
last.
"""

from __future__ import annotations

from collections.abc import Callable

from scmomer.data import Cells, Split
from scmomer.module import SCMOMERModule
from scmomer.train.fits._bridge_outputs import fit_bridge_outputs
from scmomer.train.fits._bridge_state import record_co_measured, reset_bridge_fits, start_refining
from scmomer.train.fits._depth import fit_depth_heads
from scmomer.train.fits._encoder_cache import cache_encoders
from scmomer.train.fits._expression_decoders import fit_expression_decoders
from scmomer.train.fits._fusion_start import start_fusion
from scmomer.train.fits._latent_basis import fit_latent_basis, fit_rna_basis
from scmomer.train.fits._query_bias import fit_query_bias
from scmomer.train.fits._shared_profiles import share_profiles
from scmomer.train.fits._shrinkage import fit_shrinkage
from scmomer.train.fits._start_values import init_from_data
from scmomer.train.fits._typical_counts import fit_typical_counts

Fit = Callable[[SCMOMERModule, Cells, Split, int], None]
"""Changes a network in place, given cells, their split and a seed."""

START: dict[str, tuple[Fit, ...]] = {
    "fusion": (start_fusion,),
}
BEFORE: dict[str, tuple[Fit, ...]] = {
    "bridge": (cache_encoders, record_co_measured, start_refining),
}
AFTER: dict[str, tuple[Fit, ...]] = {
    "rna": (fit_rna_basis,),
    "bridge": (
        share_profiles,
        fit_expression_decoders,
        fit_depth_heads,
        fit_latent_basis,
        fit_shrinkage,
        fit_bridge_outputs,
        fit_typical_counts,
    ),
}


def run_before(
    stage: str, module: SCMOMERModule, cells: Cells, split: Split, seed: int, anew: bool = False
) -> None:
    """Prepare a stage: drop what an earlier stage 3 left, then the stage's own fits.

    With `anew` also those that replace weights which training would go on from.
    """
    start = START.get(stage, ()) if anew else ()
    for fit in (reset_bridge_fits, *start, *BEFORE.get(stage, ())):
        fit(module, cells, split, seed)


def run_after(stage: str, module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Fit what follows a stage."""
    for fit in AFTER.get(stage, ()):
        fit(module, cells, split, seed)


__all__ = [
    "AFTER",
    "BEFORE",
    "START",
    "Fit",
    "cache_encoders",
    "fit_bridge_outputs",
    "fit_depth_heads",
    "fit_expression_decoders",
    "fit_latent_basis",
    "fit_query_bias",
    "fit_rna_basis",
    "fit_shrinkage",
    "fit_typical_counts",
    "init_from_data",
    "record_co_measured",
    "reset_bridge_fits",
    "run_after",
    "run_before",
    "share_profiles",
    "start_fusion",
    "start_refining",
]
