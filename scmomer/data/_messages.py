"""Names of data and arguments in messages."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from anndata import AnnData
from scvi import settings

if TYPE_CHECKING:
    from mudata import MuData


class _Call(NamedTuple):
    name: str | None = None
    argument: str | None = ""


_PACKAGE: Final = __name__.split(".")[0]
_NO_CALL = _Call()
_call: ContextVar[_Call] = ContextVar("call", default=_NO_CALL)


@contextmanager
def called(
    name: str | None = None, argument: str | None = "", *, keep: bool = False
) -> Iterator[None]:
    """Set the name of the data in messages of the block.

    Parameters
    ----------
    name
        Name of the variable; None: ``adata`` or ``mdata``, by type.
    argument
        Argument for the layer of their counts. ``""``: ``layer=`` for an AnnData, ``rna_layer=``
        and so on for a MuData. None: the data are registered, so no argument can name it.
    keep
        Keep the argument of the outer block.
    """
    token = _call.set(_Call(name, _call.get().argument if keep else argument))
    try:
        yield
    finally:
        _call.reset(token)


def display_name(data: AnnData | MuData) -> str:
    """Return the name of `data` in messages."""
    return _call.get().name or ("adata" if isinstance(data, AnnData) else "mdata")


def layer_argument(data: AnnData | MuData, modality: str) -> str | None:
    """Return the argument for the layer of a modality, to pass to :func:`option`."""
    argument, alone = _call.get().argument, isinstance(data, AnnData)
    if argument == "":
        return "layer" if alone else f"{modality}_layer"
    if argument is None or alone:
        return argument
    return f"{argument}={{{{{modality!r}: {{}}}}}}"


def warn(message: str) -> None:
    """Warn at the line that called this package.

    scvi-tools' ``settings.warnings_stacklevel`` counts from there: 2, the default, is that line, 3
    the line that called its function.
    """
    warnings.warn(message, UserWarning, stacklevel=_depth() + settings.warnings_stacklevel - 1)


def _depth() -> int:
    """Return how many frames there are from the caller of this to the outermost of the package.

    The outermost, because functions of torch or Lightning may be in between.
    """
    here = inspect.currentframe()
    frame, level, depth = here and here.f_back, 0, 0
    while frame is not None:
        level += 1
        if frame.f_globals.get("__name__", "").split(".")[0] == _PACKAGE:
            depth = level
        frame = frame.f_back
    return depth


def option(argument: str, layer: str) -> str:
    """Return the argument with its value; ``{}`` in `argument` stands for the layer."""
    return argument.format(repr(layer)) if "{}" in argument else f"{argument}={layer!r}"


def assigned(where: str) -> str:
    """Return `where` in assignable form: ``mdata.mod['rna']`` for ``mdata['rna']``."""
    return re.sub(r"^(\w+)\[", r"\1.mod[", where)
