"""Knockouts in a trained model, without a screen."""

from scmomer.tasks.perturbation.knockout._background import MIN_BACKGROUND
from scmomer.tasks.perturbation.knockout._cells import KnockoutCells, make_cells
from scmomer.tasks.perturbation.knockout._network import KnockoutNetwork, Mode
from scmomer.tasks.perturbation.knockout._readouts import SCORE_OF
from scmomer.tasks.perturbation.knockout._result import Knockout
from scmomer.tasks.perturbation.knockout._run import KnockoutOptions, screen
from scmomer.tasks.perturbation.knockout._scores import EMBEDDING, TOWARDS

__all__ = [
    "EMBEDDING",
    "MIN_BACKGROUND",
    "SCORE_OF",
    "TOWARDS",
    "Knockout",
    "KnockoutCells",
    "KnockoutNetwork",
    "KnockoutOptions",
    "Mode",
    "make_cells",
    "screen",
]
