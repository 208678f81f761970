"""Training: stages, their objectives, callbacks, and the closed-form fits before and after."""

from scmomer.train._callbacks import StageProgress, copied_weights
from scmomer.train._stages import (
    RunOptions,
    configure,
    n_steps,
    possible_stages,
    run_stage,
    seed_stage,
    stage_cells,
    typical_tokens,
    with_later_stages,
)
from scmomer.train._stop import Interrupted, Terminated, ends_on_sigterm
from scmomer.train.fits import (
    fit_depth_heads,
    fit_query_bias,
    measure_by_expression,
    set_even_depth,
    warm_start,
)

__all__ = [
    "Interrupted",
    "RunOptions",
    "StageProgress",
    "Terminated",
    "configure",
    "copied_weights",
    "ends_on_sigterm",
    "fit_depth_heads",
    "fit_query_bias",
    "measure_by_expression",
    "n_steps",
    "possible_stages",
    "run_stage",
    "seed_stage",
    "set_even_depth",
    "stage_cells",
    "typical_tokens",
    "warm_start",
    "with_later_stages",
]
