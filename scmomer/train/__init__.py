"""Training: stages, their objectives, callbacks, and the closed-form fits before and after."""

from scmomer.train._callbacks import StageProgress, clone_state
from scmomer.train._memory import tokens_per_cell
from scmomer.train._stages import (
    RunOptions,
    builds_on,
    configure,
    has_cells,
    held,
    invalidated_stages,
    n_steps,
    possible_stages,
    run_stage,
    seed_stage,
    stage_cells,
)
from scmomer.train._stop import Interrupted, Terminated, ends_on_sigterm
from scmomer.train.fits import (
    fit_query_bias,
    init_from_data,
    run_after,
    run_before,
)

__all__ = [
    "Interrupted",
    "RunOptions",
    "StageProgress",
    "Terminated",
    "builds_on",
    "has_cells",
    "held",
    "configure",
    "clone_state",
    "ends_on_sigterm",
    "fit_query_bias",
    "init_from_data",
    "n_steps",
    "possible_stages",
    "run_after",
    "run_before",
    "run_stage",
    "seed_stage",
    "stage_cells",
    "tokens_per_cell",
    "invalidated_stages",
]
