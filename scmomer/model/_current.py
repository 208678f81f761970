"""The model that this process trained or loaded last: what ``tl`` uses when none is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scmomer.model._scmomer import SCMOMER

_current: SCMOMER | None = None


def set_current(model: SCMOMER) -> None:
    """Remember `model` as the one used last."""
    global _current
    _current = model


def resolve_model(model: SCMOMER | str | Path | None) -> SCMOMER:
    """Return a model from a model, a path, or the one used last.

    Raises
    ------
    RuntimeError
        If no model is given and none was trained or loaded in this process.
    TypeError
        If `model` is none of these.
    """
    from scmomer.model._io import load
    from scmomer.model._scmomer import SCMOMER

    if model is None:
        if _current is None:
            msg = (
                "Expected a model, found none: no model was trained or loaded in this process. "
                "Train one (`model = scmomer.SCMOMER(mdata); model.train()`), load one "
                "(`model = scmomer.load(path)`), or pass model=."
            )
            raise RuntimeError(msg)
        return _current
    if isinstance(model, str | os.PathLike):
        return load(model)
    if not isinstance(model, SCMOMER):
        msg = f"Expected model to be an SCMOMER, a path or None, found {type(model).__name__}."
        raise TypeError(msg)
    return model
