"""The three stages: sparse loaders, plan, schedule, callbacks."""

from scmomer.train._callbacks import StageProgress
from scmomer.train._cells import Cells
from scmomer.train._loader import cell_loader
from scmomer.train._splitter import SparseDataSplitter, split_cells
from scmomer.train._stages import RunOptions, possible_stages, run_stage
from scmomer.train._warm_start import warm_start

__all__ = [
    "Cells",
    "RunOptions",
    "SparseDataSplitter",
    "StageProgress",
    "cell_loader",
    "possible_stages",
    "run_stage",
    "split_cells",
    "warm_start",
]
