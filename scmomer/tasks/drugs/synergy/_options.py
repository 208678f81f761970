"""Options of a model of synergy, and how it reads cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import pandas as pd
from anndata import AnnData

from scmomer._checks import whole_number
from scmomer.data import Profile
from scmomer.model import resolve_model
from scmomer.tasks.drugs._cell_profiles import CellInputs, ProfileReader, training_reader
from scmomer.tasks.drugs.synergy._cells import read_blocks
from scmomer.tasks.drugs.synergy._fit import FittedSynergy, SynergyConfig
from scmomer.tasks.drugs.synergy._inputs import DrugInputs

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

_WHOLE_NUMBERS: Final = ("n_members", "max_epochs", "batch_size", "hidden")


class SynergyOptions:
    """Checked options; see :class:`DrugSynergyModel`."""

    def __init__(
        self,
        embedding_model: SCMOMER | str | Path | None = None,
        *,
        cell_inputs: CellInputs | None = None,
        drug_inputs: DrugInputs = "fingerprint",
        **options: Any,
    ):
        chosen = cell_inputs or ("expression" if embedding_model is None else "both")
        check_choice("cell_inputs", chosen, CellInputs)
        check_choice("drug_inputs", drug_inputs, DrugInputs)
        known = sorted(SynergyConfig().to_dict())
        if unknown := sorted(set(options) - set(known)):
            msg = f"Expected options among {known}, found {unknown}. Check their spelling."
            raise ValueError(msg)
        for name in _WHOLE_NUMBERS:
            whole_number(name, options.get(name, 1))
        if chosen == "expression" and embedding_model is not None:
            msg = (
                "Expected cell_inputs='both' or 'embedding' with an embedding_model, found "
                "'expression'. Pass one of these, or no model."
            )
            raise ValueError(msg)
        self.embedding_model = None if embedding_model is None else resolve_model(embedding_model)
        if self.embedding_model is not None:
            self.embedding_model._check_trained()
        elif chosen != "expression":
            msg = (
                f"Expected an embedding_model for cell_inputs={chosen!r}, found none. Pass a "
                "trained model, or cell_inputs='expression'."
            )
            raise ValueError(msg)
        self.cell_inputs: CellInputs = chosen
        self.drug_inputs: DrugInputs = drug_inputs
        self.config = replace(SynergyConfig(), **options)
        self._fitted: FittedSynergy | None = None

    @property
    def fitted_(self) -> FittedSynergy:
        """What :meth:`fit` found.

        Raises
        ------
        RuntimeError
            If it has not been called.
        """
        if self._fitted is None:
            msg = "The model is not fitted. Run `model.fit(synergy, cells, drugs)` or load one."
            raise RuntimeError(msg)
        return self._fitted

    @property
    def weight_(self) -> float:
        """Weight of the networks against the naive prediction, 0 to 1."""
        return self.fitted_.weight

    @property
    def validation_(self) -> pd.DataFrame:
        """Scores of held-out rows, as :func:`scmomer.metrics.drug_synergy` has them.

        A row for each of the naive prediction, the networks, and both mixed with the weight that
        was chosen on these very rows.
        """
        return pd.DataFrame(self.fitted_.validation).T

    def _read(
        self, cells: AnnData, profile: Profile, layer: str | None
    ) -> tuple[ProfileReader, dict[str, pd.DataFrame]]:
        reader = training_reader(cells, self.cell_inputs, profile, self.embedding_model)
        return reader, read_blocks(reader, cells, profile, layer)


def check_choice(name: str, value: object, choices: Any) -> None:
    if value not in get_args(choices):
        msg = f"Expected {name}= one of {[*get_args(choices)]}, found {value!r}. Pass one of these."
        raise ValueError(msg)
