"""From probabilities to names of cell types, one of which is "unknown"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmomer.tasks.annotation._inputs import check_threshold

if TYPE_CHECKING:
    from scmomer.tasks.annotation._novelty import ClassCentres

UNKNOWN = "unknown"
FALSE_ALARMS = 0.05  # share of reference cells that "auto" calls unknown, half by each criterion
Threshold = float | Literal["auto"] | None


class NamesCells:
    """Names cells by their probabilities, as a fitted classifier does."""

    classes_: np.ndarray
    held_out_: np.ndarray

    if TYPE_CHECKING:

        def _trained(self) -> tuple[Any, ClassCentres]: ...

    def name(
        self,
        probabilities: np.ndarray,
        unknown_threshold: Threshold = None,
        novelty: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return class names, or ``"unknown"``, ``(n_cells,)``.

        Parameters
        ----------
        probabilities, novelty
            Of :meth:`annotate`, ``(n_cells, n_classes)`` and ``(n_cells,)``.
        unknown_threshold
            See :meth:`threshold`; ``"auto"`` also looks at `novelty`.
        """
        threshold = self.threshold(unknown_threshold)
        names = self.classes_[probabilities.argmax(1)].astype(object)
        if threshold is None:
            return names
        unknown = probabilities.max(1) < threshold
        if unknown_threshold == "auto" and novelty is not None:
            unknown |= novelty > self.novelty_limit()
        names[unknown] = UNKNOWN
        return names

    def threshold(self, unknown_threshold: Threshold = "auto") -> float | None:
        """Return the probability below which a cell is unknown; None: no cell is.

        ``"auto"``: the one below which 2.5 % of those reference cells are that were held out from
        training. With it, cells are unknown too that lie further from the reference than 97.5 %
        of the reference cells do from the others: a type that the reference lacks may look like
        one of its types to the heads, but lies where none is.

        Raises
        ------
        ValueError
            If it is neither None, ``"auto"`` nor a number between 0 and 1.
        """
        if unknown_threshold is None:
            return None
        self._trained()
        if unknown_threshold == "auto":
            return float(np.quantile(self.held_out_, FALSE_ALARMS / 2))
        return check_threshold(unknown_threshold)

    def novelty_limit(self) -> float:
        """Return the novelty above which threshold ``"auto"`` calls a cell unknown."""
        return float(np.quantile(self._trained()[1].spread, 1 - FALSE_ALARMS / 2))
