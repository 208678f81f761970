"""Changes of one modality from changes of another."""

from scmomer.tasks.perturbation.across._apply import MAX_FOLD, apply_folds, fold_changes
from scmomer.tasks.perturbation.across._changes import (
    Changes,
    Means,
    group_means,
    measured_changes,
    predicted_change,
)

__all__ = [
    "MAX_FOLD",
    "Changes",
    "Means",
    "apply_folds",
    "fold_changes",
    "group_means",
    "measured_changes",
    "predicted_change",
]
