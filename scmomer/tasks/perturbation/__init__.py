"""Changes by perturbations: screens, simple predictions, models."""

from scmomer.tasks.perturbation.model._model import PerturbationModel
from scmomer.tasks.perturbation.naive._gene_sets import (
    gene_set_kernel_ridge,
    gene_set_neighbors,
    jaccard,
    memberships,
)
from scmomer.tasks.perturbation.naive._linear import embedding_ridge, linear_gwp, part_sums
from scmomer.tasks.perturbation.naive._means import (
    additive,
    matching_mean,
    no_change,
    other_groups,
    part_changes,
    training_mean,
)
from scmomer.tasks.perturbation.screen._cells import ScreenCells, read_screen, read_screen_cells
from scmomer.tasks.perturbation.screen._checks import text_column
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._gene_names import find_genes, other_symbols, own_genes
from scmomer.tasks.perturbation.screen._names import (
    Perturbations,
    find_controls,
    is_usual_control,
    parse_perturbations,
    read_parts,
)
from scmomer.tasks.perturbation.screen._splits import (
    ScreenSplit,
    combinations_out,
    groups_out,
    leave_one_out,
    one_combination_out,
    simulation_split,
    split_groups,
)
from scmomer.tasks.perturbation.screen._status import status

__all__ = [
    "Effects",
    "PerturbationModel",
    "Perturbations",
    "ScreenCells",
    "ScreenSplit",
    "additive",
    "combinations_out",
    "embedding_ridge",
    "find_controls",
    "find_genes",
    "gene_set_kernel_ridge",
    "gene_set_neighbors",
    "groups_out",
    "is_usual_control",
    "jaccard",
    "leave_one_out",
    "linear_gwp",
    "matching_mean",
    "memberships",
    "no_change",
    "one_combination_out",
    "other_groups",
    "other_symbols",
    "own_genes",
    "parse_perturbations",
    "part_changes",
    "part_sums",
    "read_parts",
    "read_screen",
    "read_screen_cells",
    "simulation_split",
    "split_groups",
    "status",
    "text_column",
    "training_mean",
]
