"""Changes by perturbations: screens, simple predictions, models."""

from scmomer.tasks.perturbation.screen._cells import ScreenCells, read_screen, read_screen_cells
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._gene_names import find_genes, other_symbols
from scmomer.tasks.perturbation.screen._names import (
    Perturbations,
    is_usual_control,
    parse_perturbations,
    read_parts,
)
from scmomer.tasks.perturbation.screen._status import status

__all__ = [
    "Effects",
    "Perturbations",
    "ScreenCells",
    "find_genes",
    "is_usual_control",
    "other_symbols",
    "parse_perturbations",
    "read_parts",
    "read_screen",
    "read_screen_cells",
    "status",
]
