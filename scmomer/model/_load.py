"""Loading a saved model, and finding the model for a verb."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from anndata import AnnData
from mudata import MuData

from scmomer.model._current_model import get_current
from scmomer.model._scmomer import SCMOMER
from scmomer.module import Encoder


def load(
    path: str | Path,
    adata: AnnData | MuData | None = None,
    *,
    encoders: Mapping[str, Encoder] = MappingProxyType({}),
    accelerator: str = "auto",
    device: int | str = "auto",
) -> SCMOMER:
    """Load a model folder that :meth:`scmomer.SCMOMER.save` wrote.

    Needs no training data and executes nothing from the folder.

    Parameters
    ----------
    path
        The folder.
    adata
        Training data, as in :meth:`scvi.model.SCVI.load`; registered if necessary, as by
        :func:`scmomer.pp.setup_mudata`. ``model.train(resume=True)`` then trains the remaining
        stages. None: pass data to the model's methods.
    encoders
        For a model with encoders of your own: an object of each modality's, whose weights are
        replaced by the saved ones.
    accelerator, device
        Device of the model, as in :meth:`scvi.model.base.BaseModelClass.load`.

    Returns
    -------
    SCMOMER
        Ready for inference; gives the same embeddings as the model that was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file.
    ValueError
        If the folder is damaged or was not written by scmomer, or the data lack features of the
        model.
    """
    return SCMOMER.load(path, adata, encoders=encoders, accelerator=accelerator, device=device)


def resolve_model(model: SCMOMER | str | Path | None) -> SCMOMER:
    """Return the model: itself, loaded from a path, or the one used last.

    Raises
    ------
    RuntimeError
        If no model is given and none was trained or loaded in this process.
    TypeError
        If `model` has another type.
    """
    if model is None:
        current = get_current()
        if current is None:
            msg = (
                "No model was given, and none was trained or loaded in this process. "
                "Train one (`scmomer.pp.setup_mudata(mdata); model = scmomer.SCMOMER(mdata); "
                "model.train()`), load one (`model = scmomer.load(path)`), or pass model=."
            )
            raise RuntimeError(msg)
        return current
    if isinstance(model, str | os.PathLike):
        return load(model)
    if not isinstance(model, SCMOMER):
        msg = f"Expected model to be an SCMOMER, a path or None, found {type(model).__name__}."
        raise TypeError(msg)
    return model
