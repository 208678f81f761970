"""How messages name the data of a call, and what its user can write to mend them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from anndata import AnnData

if TYPE_CHECKING:
    from mudata import MuData


class _Call(NamedTuple):
    name: str | None = None
    argument: str | None = ""


_NO_CALL = _Call()
_call: ContextVar[_Call] = ContextVar("call", default=_NO_CALL)


@contextmanager
def called(
    name: str | None = None, argument: str | None = "", *, keep: bool = False
) -> Iterator[None]:
    """Say how messages of the block name the data that it reads.

    Parameters
    ----------
    name
        Of the variable; None: ``adata`` or ``mdata``, by kind.
    argument
        That names the layer of their counts. ``""``: ``layer=`` for an AnnData, ``rna_layer=`` and
        so on for a MuData. None: data are registered, and the layer cannot be named.
    keep
        Keep the argument that an outer block names.
    """
    token = _call.set(_Call(name, _call.get().argument if keep else argument))
    try:
        yield
    finally:
        _call.reset(token)


def name_of(data: AnnData | MuData) -> str:
    """Return how messages name `data`."""
    return _call.get().name or ("adata" if isinstance(data, AnnData) else "mdata")


def layer_argument(data: AnnData | MuData, modality: str) -> str | None:
    """Return the argument that names the layer of a modality, for :func:`option`."""
    argument, alone = _call.get().argument, isinstance(data, AnnData)
    if argument == "":
        return "layer" if alone else f"{modality}_layer"
    if argument is None or alone:
        return argument
    return f"{argument}={{{{{modality!r}: {{}}}}}}"


def option(argument: str, layer: str) -> str:
    """Return the argument with its value; ``{}`` in `argument` is where the layer goes."""
    return argument.format(repr(layer)) if "{}" in argument else f"{argument}={layer!r}"


def assigned(where: str) -> str:
    """Return `where`, such as ``mdata['rna']``, as what one can assign to: ``mdata.mod['rna']``."""
    return re.sub(r"^(\w+)\[", r"\1.mod[", where)
