"""Translate cells from one modality into another."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, get_type_hints

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import ATAC, KEYS, PROTEIN, RNA, Modality
from scmomer.data import Layers, check_container, keys_in
from scmomer.model import SCMOMER, feature_index, resolve_model
from scmomer.tl._copy import own
from scmomer.tl._disk import write_translation
from scmomer.tl._record import record

if TYPE_CHECKING:
    from scmomer.inference import Depth

logger = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])


class TranslateOptions(Layers, total=False):
    """Keyword arguments of all three functions."""

    features: Sequence[str] | None
    batch: str | None
    batch_size: int | None
    uncertainty: bool
    path: str | Path | None
    copy: bool


_DEFAULTS: dict[str, Any] = {
    "features": None,
    "batch": None,
    "batch_size": None,
    "uncertainty": False,
    "path": None,
    "copy": False,
}

_DOC = """{summary}

    Parameters
    ----------
    data
        {data}. Raw counts; needs no setup.
    model
        Trained model, or the path of a saved one; None for the last one trained or loaded.{depth}
    features
        Names of the {features} to predict; None for all {features} of the model.
    batch
        Batch in which to predict: a training batch or one added by ``model.load_query_data``. None
        averages over the training batches.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    uncertainty
        Also write ``layers["scmomer_std"]``: the standard deviation of the model's heads around the
        prediction. It measures the uncertainty of the predicted mean, not of a single cell's
        measurement.
    path
        Only for AnnData: write the result to this ``.h5ad`` file chunk by chunk and return it
        backed, so that it need not fit into memory. Only ``X`` is written, not
        ``layers["scmomer"]``. The layer of `uncertainty` must fit into memory.
    copy
        Only for MuData: modify and return a copy of `data`.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): layer
        with the raw counts; default as in the training data, else ``X``.
        ``profile=``: what the values of RNA are, as in
        :meth:`scmomer.SCMOMER.get_latent_representation`.

    Returns
    -------
    AnnData | MuData | None
        {values}.
        For AnnData, a new AnnData, cells x {features}, float32, with the values in ``X`` and, as
        the same array, in ``layers["scmomer"]``, and with obs and obsm of `data`. For MuData, None,
        or the copy if `copy`; writes ``data["{to}"].layers["scmomer"]`` for the cells of
        ``data["{to}"]``, NaN for {features} that the model does not have. For cells that are not in
        ``data["{to}"]``, pass another modality, such as ``data["{other}"]``.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    ValueError
        If the model cannot predict {features}, or values are not counts.
    MemoryError
        If a dense result does not fit; use `features` or `path`.
    """

_DEPTH = """
    depth
        {what}: ``"predicted"`` from each cell's RNA, ``"mean"`` of the
        training cells, or {number}.
    depth_share
        With ``depth="predicted"``: share of the predicted deviation from the mean depth, from 0 to
        1; None for {share}."""


def _documented(depth: str = "", **texts: str) -> Callable[[Function], Function]:
    """Complete the docstring and signature of a function with :class:`TranslateOptions`."""

    def decorate(function: Function) -> Function:
        function.__doc__ = _DOC.format(summary=function.__doc__, depth=depth, **texts)
        signature = inspect.signature(function)
        *parameters, _ = signature.parameters.values()
        types = get_type_hints(TranslateOptions)
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=types[name]
            )
            for name, value in _DEFAULTS.items()
        ]
        layers = inspect.Parameter(
            "layers", inspect.Parameter.VAR_KEYWORD, annotation="Unpack[Layers]"
        )
        full = signature.replace(parameters=[*parameters, layers])
        function.__signature__ = full  # type: ignore[attr-defined]
        return function

    return decorate


@_documented(
    to="atac",
    other="rna",
    data="RNA AnnData, or MuData with RNA and ATAC",
    features="peaks",
    values="Probabilities in ``[0, 1]``",
    depth=_DEPTH.format(
        what="Depth of the probabilities",
        number="""a number of open peaks. Use ``"mean"`` to cluster or compare cells,
        which differ most by depth""",
        share="0.7",
    ),
)
def translate_atac(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    depth: Depth = "predicted",
    depth_share: float | None = None,
    **options: Unpack[TranslateOptions],
) -> AnnData | MuData | None:
    """Predict accessibility from RNA."""
    model = resolve_model(model)
    return _translate(ATAC, data, model, options, depth=depth, depth_share=depth_share)


@_documented(
    to="rna",
    other="atac",
    data="ATAC AnnData, or MuData with RNA and ATAC",
    features="genes",
    values="Values ``log2(1 + counts / total * model.target_sum)``, at least 0",
)
def translate_rna(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    **options: Unpack[TranslateOptions],
) -> AnnData | MuData | None:
    """Predict expression from ATAC."""
    return _translate(RNA, data, resolve_model(model), options)


@_documented(
    to="protein",
    other="rna",
    data="RNA or ATAC AnnData, or MuData",
    features="proteins",
    values=(
        "Typical counts: their ``log1p``, to be plotted and compared, is what that of counts is on "
        "average"
    ),
    depth=_DEPTH.format(
        what="Total protein count of each cell", number="a number of counts", share="1"
    ),
)
def translate_protein(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    depth: Depth = "predicted",
    depth_share: float | None = None,
    **options: Unpack[TranslateOptions],
) -> AnnData | MuData | None:
    """Predict surface protein (ADT) from RNA, ATAC or both."""
    model = resolve_model(model)
    return _translate(PROTEIN, data, model, options, depth=depth, depth_share=depth_share)


def _translate(
    to: Modality, data: AnnData | MuData, model: SCMOMER, given: TranslateOptions, **more: Any
) -> AnnData | MuData | None:
    """Return or write the translation into `to`; `given` are the keyword arguments of the call."""
    arguments: dict[str, Any] = {**_DEFAULTS, **given, **more}
    options = {key: arguments.pop(key) for key in (*_DEFAULTS, *more)}
    layers = arguments
    path, copy = options.pop("path"), options.pop("copy")
    check_container(data)
    model._check_can_translate(to)
    if options["features"] is not None:
        options["features"] = feature_index(options["features"])  # read once: it may be a generator
    if isinstance(data, MuData):
        if path is not None:
            msg = (
                "Expected an AnnData with path=, found a MuData. Pass the modality to translate "
                f"from{_example_call(data, model, to)}."
            )
            raise ValueError(msg)
        data = own(data, copy)
        _write_layer(data, model, to, options, layers)
        record(data, model, f"translate_{to}", **options)
        return data if copy else None
    names = model.spec.features.get(to, pd.Index([])) if options["features"] is None else None
    var = pd.DataFrame(index=pd.Index(options["features"]) if names is None else names)
    if path is not None:
        return write_translation(Path(path), data, model, to, var, options, layers)
    values, std = _values_and_std(model.get_translated(data, to, **options, **layers))
    out = AnnData(values, obs=data.obs.copy(), var=var, obsm=dict(data.obsm))
    out.layers[KEYS.LAYER] = values
    if std is not None:
        out.layers[KEYS.STD_LAYER] = std
    record(out, model, f"translate_{to}", **options)
    return out


def _write_layer(
    mdata: MuData,
    model: SCMOMER,
    to: Modality,
    options: dict[str, Any],
    layers: Mapping[str, Any],
) -> None:
    """Write the translation into the MuData's modality `to`, for its cells and features."""
    key = keys_in(mdata, model.spec).get(to)
    if key is None:
        msg = (
            f"Expected modality {model.spec.modality_keys.get(to, to)!r} in the MuData to "
            "write to, "
            f"found {sorted(mdata.mod)}. Pass another modality as an AnnData"
            f"{_example_call(mdata, model, to)}, to get a new AnnData."
        )
        raise KeyError(msg)
    target = mdata[key]
    wanted = target.var_names if options["features"] is None else pd.Index(options["features"])
    model._columns(to, options["features"])  # raises if a requested feature is unknown
    shared = wanted[wanted.isin(model.spec.features[to]) & wanted.isin(target.var_names)]
    if len(shared) < target.n_vars:
        logger.info(
            "%d of %d features of mdata[%r] are translated; the rest are NaN.",
            len(shared),
            target.n_vars,
            key,
        )
    cells = mdata.obs_names.get_indexer(target.obs_names)
    found = model.get_translated(
        mdata, to, **{**options, "features": list(shared), "indices": cells}, **layers
    )
    for key_of, values in zip((KEYS.LAYER, KEYS.STD_LAYER), _values_and_std(found), strict=True):
        if values is not None:
            target.layers[key_of] = _fill_in(values, shared, target)
        else:
            target.layers.pop(key_of, None)  # of an earlier translation


def _example_call(mdata: MuData, model: SCMOMER, to: Modality) -> str:
    """Return an example call with another modality, for messages."""
    keys = [key for m, key in keys_in(mdata, model.spec).items() if m != to]
    return f", as in scmomer.tl.translate_{to}(mdata[{keys[0]!r}], model)" if keys else ""


def _values_and_std(
    found: np.ndarray | tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray | None]:
    return found if isinstance(found, tuple) else (found, None)


def _fill_in(values: np.ndarray, names: pd.Index, target: AnnData) -> np.ndarray:
    """Return values at the positions of their features in `target`, NaN elsewhere."""
    if names.equals(target.var_names):
        return values
    full = np.full(target.shape, np.nan, np.float32)
    full[:, target.var_names.get_indexer(names)] = values
    return full
