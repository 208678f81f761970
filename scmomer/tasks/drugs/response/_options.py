"""Options of a model of drug response, and how it reads what it is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import settings as scvi_settings

from scmomer._checks import whole_number
from scmomer.data import Profile, called, check_profile
from scmomer.model import resolve_model
from scmomer.tasks.drugs._cell_profiles import CellInputs, ProfileReader, training_reader
from scmomer.tasks.drugs.molecules._networks import import_torch_geometric
from scmomer.tasks.drugs.molecules._rdkit import import_rdkit
from scmomer.tasks.drugs.response._branches import Pooling
from scmomer.tasks.drugs.response._fit import fit_response
from scmomer.tasks.drugs.response._inputs import Drugs, OnInvalid, TrainingInputs, read_training
from scmomer.tasks.drugs.response._io import Core, FittedModel
from scmomer.tasks.drugs.response._published import fit_published
from scmomer.tasks.drugs.response._settings import ResponseSettings
from scmomer.tasks.drugs.tables._splits import hold_out
from scmomer.tasks.drugs.tables._tables import ResponseTable

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

Architecture = Literal["additive", "published"]
_VALIDATION: Final = 0.1  # of pairs, to stop the published network


class ResponseOptions:
    """Checked options; see :class:`DrugResponseModel`."""

    def __init__(
        self,
        embedding_model: SCMOMER | str | Path | None = None,
        *,
        cell_inputs: CellInputs | None = None,
        architecture: Architecture = "additive",
        pooling: Pooling = "max",
        n_members: int = 5,
    ):
        import_rdkit()
        import_torch_geometric()
        self.embedding_model = None if embedding_model is None else resolve_model(embedding_model)
        if self.embedding_model is not None:
            self.embedding_model._check_trained()
        chosen = cell_inputs or ("expression" if embedding_model is None else "both")
        for name, value, known in (
            ("cell_inputs", chosen, ("both", "expression", "embedding")),
            ("architecture", architecture, ("additive", "published")),
            ("pooling", pooling, ("max", "mean")),
        ):
            if value not in known:
                msg = f"Expected {name} among {list(known)}, found {value!r}. Choose one."
                raise ValueError(msg)
        if self.embedding_model is None and chosen != "expression":
            msg = (
                f"Expected an embedding_model for cell_inputs={chosen!r}, found none. Pass a "
                "trained model, or cell_inputs='expression'."
            )
            raise ValueError(msg)
        self.cell_inputs: CellInputs = chosen  # type: ignore[assignment]
        self.architecture = architecture
        self.pooling = pooling
        self.n_members = whole_number("n_members", n_members)
        if self.n_members < 2:
            msg = (
                f"Expected n_members of at least 2, found {n_members!r}: predictions are calibrated "
                "on parts of the training data that the others predict. Pass 5."
            )
            raise ValueError(msg)
        self._fitted: FittedModel | None = None

    @property
    def fitted_(self) -> FittedModel:
        """What was learned; raises RuntimeError before :meth:`fit`."""
        if self._fitted is None:
            msg = (
                "Expected a trained model, found one before fit(). Run fit() or "
                "DrugResponseModel.load() first."
            )
            raise RuntimeError(msg)
        return self._fitted

    @property
    def drugs_(self) -> pd.Index:
        """Names of the training drugs, ``(n_drugs,)``."""
        return self.fitted_.core.molecules.names

    @property
    def lines_(self) -> pd.Index:
        """Names of the training lines, ``(n_lines,)``."""
        return self.fitted_.lines

    def _settings(self) -> ResponseSettings:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return ResponseSettings(self.n_members, self.pooling, scvi_settings.seed or 0, device)

    def _read_training(
        self,
        response: pd.DataFrame | ResponseTable,
        cells: AnnData,
        drugs: Drugs,
        profile: Profile,
        layer: str | None,
        on_invalid: OnInvalid,
        columns: Mapping[str, Any],
    ) -> tuple[TrainingInputs, ProfileReader, list[np.ndarray]]:
        check_profile(profile)
        reader = training_reader(cells, self.cell_inputs, profile, self.embedding_model)
        inputs = read_training(response, cells, drugs, on_invalid, columns)
        with called("cells"):
            blocks = reader.read(cells[inputs.rows], profile, layer)
        if not any((np.nanstd(x, axis=0) > 0).any() for x in blocks):
            msg = (
                f"Expected profiles that differ between the {len(inputs.lines)} cell lines, found "
                "the same for all. Pass the expression of each line."
            )
            raise ValueError(msg)
        return inputs, reader, blocks

    def _expression(
        self,
        cells: AnnData,
        inputs: TrainingInputs,
        reader: ProfileReader,
        blocks: list[np.ndarray],
        profile: Profile,
        layer: str | None,
    ) -> np.ndarray:
        """Return expression for naive predictions, which read it whatever the model reads."""
        if self.cell_inputs != "embedding":
            return blocks[0]
        reader = replace(reader, inputs="expression", embedding_model=None)
        return reader.read(cells[inputs.rows], profile, layer)[0]

    def _fit_core(self, inputs: TrainingInputs, blocks: list[np.ndarray]) -> Core:
        settings = self._settings()
        if self.architecture == "additive":
            return fit_response(inputs.values, blocks, inputs.molecules, settings)
        measured = np.isfinite(inputs.values)
        validation = hold_out(measured.ravel(), _VALIDATION, (settings.seed,))
        return fit_published(
            inputs.values,
            validation.reshape(measured.shape),
            blocks,
            inputs.molecules,
            settings,
        )
