"""Predict one modality from the other, into a container."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

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


def translate_atac(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    features: Sequence[str] | None = None,
    depth: Depth = "predicted",
    batch: str | None = None,
    batch_size: int | None = None,
    uncertainty: bool = False,
    path: str | Path | None = None,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> AnnData | MuData | None:
    """Predict accessibility from RNA.

    Parameters
    ----------
    data
        RNA AnnData, or MuData with RNA and ATAC. Raw counts; needs no set-up.
    model
        Trained model, path of a saved one, or None for the one trained or loaded last.
    features
        Peaks to predict; None for all of the model's.
    depth
        At which depth probabilities are stated: ``"predicted"`` from each cell's RNA,
        ``"mean"`` of the training cells, or a number of open peaks. Take ``"mean"`` to cluster
        or compare cells: depth is the largest difference between them.
    batch
        Training batch, or one that ``model.load_query`` added, to speak in; None averages over
        those of training.
    batch_size
        Cells at a time, default :attr:`scvi.settings.batch_size`. Does not change results.
    uncertainty
        Write also ``layers["scmomer_std"]``: the standard deviation of the model's heads around
        the probability. It says how sure the model is of the probability, not whether a single
        cell's peak will be seen open.
    path
        Write the result of an AnnData chunk by chunk into this ``.h5ad`` file and return it
        backed, so that it never needs to fit into memory; ``X`` alone is written, without
        ``layers["scmomer"]`` (and `uncertainty`, a layer, does need to fit).
    copy
        For MuData: return a changed copy instead of changing `data`.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): where
        raw counts are, if not where the training data had them or in ``X``.

    Returns
    -------
    AnnData | MuData | None
        For AnnData a new AnnData, cells x peaks: probabilities in ``[0, 1]``, float32, in ``X``
        and, the same array, in ``layers["scmomer"]``; obs and obsm of `data`. For MuData None
        (or the copy); writes ``data["atac"].layers["scmomer"]`` for the cells that are in
        ``data["atac"]``, NaN at peaks that the model does not have. For cells that have RNA
        only, pass ``data["rna"]``.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    MemoryError
        If a dense result does not fit; use `features` or `path`.
    """
    return _translate(
        data,
        resolve_model(model),
        ATAC,
        path=path,
        copy=copy,
        layers=layers,
        features=features,
        depth=depth,
        batch=batch,
        batch_size=batch_size,
        uncertainty=uncertainty,
    )


def translate_rna(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    features: Sequence[str] | None = None,
    batch: str | None = None,
    batch_size: int | None = None,
    uncertainty: bool = False,
    path: str | Path | None = None,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> AnnData | MuData | None:
    """Predict expression from ATAC.

    Parameters
    ----------
    data
        ATAC AnnData, or MuData with RNA and ATAC. Raw counts; needs no set-up.
    model, batch, batch_size, uncertainty, path, copy, layers
        As in :func:`translate_atac`.
    features
        Genes to predict; None for all of the model's.

    Returns
    -------
    AnnData | MuData | None
        As in :func:`translate_atac`, with ``log2(1 + counts / total * target)`` (at least 0)
        instead of probabilities; ``model.target_sum`` is the target.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    MemoryError
        If a dense result does not fit; use `features` or `path`.
    """
    return _translate(
        data,
        resolve_model(model),
        RNA,
        path=path,
        copy=copy,
        layers=layers,
        features=features,
        batch=batch,
        batch_size=batch_size,
        uncertainty=uncertainty,
    )


def translate_protein(
    data: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    features: Sequence[str] | None = None,
    depth: Depth = "predicted",
    batch: str | None = None,
    batch_size: int | None = None,
    uncertainty: bool = False,
    path: str | Path | None = None,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> AnnData | MuData | None:
    """Predict surface protein (ADT) from RNA, ATAC or both.

    Parameters
    ----------
    data
        RNA or ATAC AnnData, or MuData. Raw counts; needs no set-up.
    model, batch, batch_size, uncertainty, path, copy, layers
        As in :func:`translate_atac`.
    features
        Proteins to predict; None for all of the model's.
    depth
        At which total of protein counts a cell is stated: ``"predicted"`` from each cell's RNA,
        ``"mean"`` of the training cells, or a number of counts.

    Returns
    -------
    AnnData | MuData | None
        As in :func:`translate_atac`, with expected counts (at least 0, the mean of a negative
        binomial) instead of probabilities; take ``log1p`` of them to plot or to compare.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    ValueError
        If the model has no protein.
    MemoryError
        If a dense result does not fit; use `features` or `path`.
    """
    return _translate(
        data,
        resolve_model(model),
        PROTEIN,
        path=path,
        copy=copy,
        layers=layers,
        features=features,
        depth=depth,
        batch=batch,
        batch_size=batch_size,
        uncertainty=uncertainty,
    )


def _translate(
    data: AnnData | MuData,
    model: SCMOMER,
    to: Modality,
    *,
    path: str | Path | None,
    copy: bool,
    layers: Mapping[str, Any],
    **options: Any,
) -> AnnData | MuData | None:
    check_container(data)
    model._check_can_translate(to)
    if options["features"] is not None:
        options["features"] = feature_index(options["features"])  # once: it may be a generator
    if isinstance(data, MuData):
        if path is not None:
            msg = (
                "Expected an AnnData with path=, found a MuData. Pass the modality to translate "
                f"from{_from(data, model, to)}."
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
    values, apart = _values(model.get_translated(data, to, **options, **layers))
    out = AnnData(values, obs=data.obs.copy(), var=var, obsm=dict(data.obsm))
    out.layers[KEYS.LAYER] = values
    if apart is not None:
        out.layers[KEYS.STD_LAYER] = apart
    record(out, model, f"translate_{to}", **options)
    return out


def _write_layer(
    mdata: MuData,
    model: SCMOMER,
    to: Modality,
    options: dict[str, Any],
    layers: Mapping[str, Any],
) -> None:
    """Write the translation into the MuData's own modality, for its cells and features."""
    key = keys_in(mdata, model.spec).get(to)
    if key is None:
        msg = (
            f"Expected modality {model.spec.modality_keys.get(to, to)!r} in the MuData to write to, "
            f"found {sorted(mdata.mod)}. Pass another modality as an AnnData"
            f"{_from(mdata, model, to)}, to get a new AnnData."
        )
        raise KeyError(msg)
    target = mdata[key]
    wanted = target.var_names if options["features"] is None else pd.Index(options["features"])
    model._columns(to, options["features"])  # an unknown feature that was asked for is an error
    shared = wanted[wanted.isin(model.spec.features[to]) & wanted.isin(target.var_names)]
    if len(shared) < target.n_vars:
        logger.info(
            "%d of %d features of mdata[%r] are translated; the others are NaN.",
            len(shared),
            target.n_vars,
            key,
        )
    cells = mdata.obs_names.get_indexer(target.obs_names)
    found = model.get_translated(
        mdata, to, **{**options, "features": list(shared), "indices": cells}, **layers
    )
    for key_of, values in zip((KEYS.LAYER, KEYS.STD_LAYER), _values(found), strict=True):
        if values is not None:
            target.layers[key_of] = _spread_out(values, shared, target)
        else:
            target.layers.pop(key_of, None)  # of an earlier translation


def _from(mdata: MuData, model: SCMOMER, to: Modality) -> str:
    """Return an example of what to translate from, for messages."""
    keys = [key for m, key in keys_in(mdata, model.spec).items() if m != to]
    return f", as in scmomer.tl.translate_{to}(mdata[{keys[0]!r}], model)" if keys else ""


def _values(
    found: np.ndarray | tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray | None]:
    return found if isinstance(found, tuple) else (found, None)


def _spread_out(values: np.ndarray, names: pd.Index, target: AnnData) -> np.ndarray:
    """Return values of some features at their places among all; the others are NaN."""
    if names.equals(target.var_names):
        return values
    full = np.full(target.shape, np.nan, np.float32)
    full[:, target.var_names.get_indexer(names)] = values
    return full
