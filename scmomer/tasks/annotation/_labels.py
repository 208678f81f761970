"""Labels: those of the reference, and those assigned to a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._deprecated import warn_renamed
from scmomer.data import as_text, check_no_missing, examples, obs_column, warn, with_values

if TYPE_CHECKING:
    from scmomer.tasks.annotation._fitted import FittedClassifier

UNKNOWN = "unknown"
_UNKNOWN_SHARE = 0.05  # of reference cells that "auto" calls unknown, half by each criterion
Threshold = float | Literal["auto"] | None
_FORMER_ATTRIBUTES: Final = {
    "modalities_": "modalities",
    "genes_": "genes",
    "heads_": "heads",
    "centres_": "mahalanobis",
    "pcs_": "pcs",
    "votes_": "gene_classifiers",
    "epochs_": "epochs",
    "fine_epoch_": "fine_epoch",
}


def reference_labels(
    reference: AnnData | MuData, labels: str | Sequence[str] | np.ndarray | pd.Series
) -> np.ndarray:
    """Return the label of each reference cell as text, ``(n_cells,)``.

    Parameters
    ----------
    reference
        Labeled cells.
    labels
        Column of obs, or one label for each cell. A series is matched by its index, if that holds
        names of cells.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If labels are missing or those of other cells.
    """
    cells, drop = reference.obs_names, "Drop these cells and their labels."
    if isinstance(labels, str):
        column = obs_column(reference, labels)
        drop, labels = f"Drop these cells: `{with_values(reference, labels)}`.", column
    elif isinstance(labels, pd.Series):
        labels = _in_order(labels, cells)
    array = np.asarray(labels, dtype=object)
    if array.shape != (len(cells),):
        msg = f"Expected a label for each of {len(cells)} cells, found shape {array.shape}."
        raise ValueError(msg)
    check_no_missing(array, "a label", drop, "cell of the reference")
    array = np.array([as_text(value) for value in array], dtype=str)
    return array


def usable_labels(labels: np.ndarray) -> np.ndarray:
    """Return which cells can be learned from, ``(n_cells,)`` bool: not a class's only cell.

    Such classes are named in a warning.

    Raises
    ------
    ValueError
        If fewer than two classes are left.
    """
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if single := names[counts < 2].tolist():
        warn(
            f"{len(single)} of {len(names)} classes have a single cell and are left out, such as "
            f"{examples(single)}: one cell to train and one to validate on are needed."
        )
    if (counts > 1).sum() < 2:
        msg = (
            "Expected labels of at least two classes with two cells or more, found "
            f"{names[counts > 1].tolist()}. Pass a reference with more cell types."
        )
        raise ValueError(msg)
    return counts[codes] > 1


def _in_order(labels: pd.Series, cells: pd.Index) -> pd.Series:
    """Return labels in the order of `cells`: by name, unless their index is a plain range."""
    names = labels.index
    if isinstance(names, pd.RangeIndex) or names.equals(cells):
        return labels
    if names.is_unique and cells.isin(names).all():
        return labels.astype(object).reindex(cells)
    lacking = cells[~cells.isin(names)]
    msg = (
        f"Expected labels of the cells of the reference, found none of {len(lacking)} cells, such "
        f"as {examples(lacking)} (the index has {examples(names)}). If labels are in the order of "
        "the cells, pass labels.to_numpy()."
    )
    raise ValueError(msg)


def check_threshold(value: object) -> float:
    """Return a probability; raise ValueError if it is not a number in [0, 1]."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 1:  # type: ignore[arg-type]
        msg = (
            f"Expected unknown_threshold None, 'auto' or a probability in [0, 1], found {value!r}."
        )
        raise ValueError(msg)
    return float(value)  # type: ignore[arg-type]


class LabelAssigner:
    """Assigns labels by probability and novelty, once a classifier is fitted."""

    _fitted: FittedClassifier | None = None

    @property
    def fitted_(self) -> FittedClassifier:
        """What :meth:`fit` found; raises RuntimeError before."""
        if self._fitted is None:
            msg = (
                "This classifier was never fitted. Call classifier.fit(reference, 'cell_type') "
                "with the name of a column of reference.obs, or load one: "
                "classifier = scmomer.CellTypeClassifier.load(path, model)."
            )
            raise RuntimeError(msg)
        return self._fitted

    def __getattr__(self, name: str) -> Any:
        """Return a result of :meth:`fit` under its former name."""
        if name not in _FORMER_ATTRIBUTES:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        present = _FORMER_ATTRIBUTES[name]
        warn_renamed(f"CellTypeClassifier.{name}", f"CellTypeClassifier.fitted_.{present}")
        return getattr(self.fitted_, present)

    def assign_labels(
        self,
        probabilities: np.ndarray,
        unknown_threshold: Threshold = None,
        novelty: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return class names, or ``"unknown"``, ``(n_cells,)``.

        Parameters
        ----------
        probabilities, novelty
            From :meth:`annotate`, ``(n_cells, n_classes)`` and ``(n_cells,)``.
        unknown_threshold
            See :meth:`threshold`; ``"auto"`` also uses `novelty`.
        """
        threshold = self.threshold(unknown_threshold)
        names = self.fitted_.classes[probabilities.argmax(1)].astype(object)
        if threshold is None:
            return names
        unknown = probabilities.max(1) < threshold
        if unknown_threshold == "auto" and novelty is not None:
            unknown |= novelty > self.novelty_limit()
        names[unknown] = UNKNOWN
        return names

    def name(
        self,
        probabilities: np.ndarray,
        unknown_threshold: Threshold = None,
        novelty: np.ndarray | None = None,
    ) -> np.ndarray:
        """Former name of :meth:`assign_labels`."""
        warn_renamed("CellTypeClassifier.name", "CellTypeClassifier.assign_labels")
        return self.assign_labels(probabilities, unknown_threshold, novelty)

    def threshold(self, unknown_threshold: Threshold = "auto") -> float | None:
        """Return the probability below which a cell is unknown; None disables this.

        ``"auto"`` is the 2.5 % quantile of held-out reference cells. It also applies to cells
        whose novelty exceeds the 97.5 % quantile of the reference: the heads may confuse a type
        that the reference lacks with one of its types, but its cells lie far from all of them.

        Raises
        ------
        ValueError
            If it is neither None, ``"auto"`` nor a number between 0 and 1.
        """
        if unknown_threshold is None:
            return None
        fitted = self.fitted_
        if unknown_threshold == "auto":
            return float(np.quantile(fitted.held_out, _UNKNOWN_SHARE / 2))
        return check_threshold(unknown_threshold)

    def novelty_limit(self) -> float:
        """Return the novelty above which threshold ``"auto"`` calls a cell unknown."""
        novelty = self.fitted_.mahalanobis.reference_novelty
        return float(np.quantile(novelty, 1 - _UNKNOWN_SHARE / 2))
