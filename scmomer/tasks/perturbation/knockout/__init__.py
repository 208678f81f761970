"""Knockouts in a trained model, without a screen."""

from scmomer.tasks.perturbation.knockout._background import MIN_BACKGROUND
from scmomer.tasks.perturbation.knockout._cells import KnockoutCells, make_cells
from scmomer.tasks.perturbation.knockout._network import KnockoutNetwork, Mode
from scmomer.tasks.perturbation.knockout._result import Knockout
from scmomer.tasks.perturbation.knockout._run import KnockoutOptions, screen

__all__ = [
    "MIN_BACKGROUND",
    "Knockout",
    "KnockoutCells",
    "KnockoutNetwork",
    "KnockoutOptions",
    "Mode",
    "make_cells",
    "screen",
]
