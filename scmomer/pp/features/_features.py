"""Feature names of a list, an AnnData or a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer._constants import RNA, Modality
from scmomer.data import check_one_modality, check_unique
from scmomer.model import SCMOMER

#: Source of feature names: the names, an AnnData (its var_names) or a model.
Features: TypeAlias = Sequence[str] | pd.Index | pd.Series | np.ndarray | AnnData | SCMOMER

DROP_REPEATS = "Drop the duplicates."


def check_anndata(adata: AnnData, modality: Modality, layer: str | None = None) -> None:
    """Raise if this is not an AnnData of one modality with unique feature names.

    The caller reads `modality` from `layer`.
    """
    if not isinstance(adata, AnnData):
        msg = (
            f"Expected adata to be an AnnData, found {type(adata).__name__}. Pass one "
            "modality of a MuData (`mdata['rna']`, `mdata['atac']`)."
        )
        raise TypeError(msg)
    if adata.n_vars == 0:
        msg_0 = f"Expected features in adata, found shape {adata.shape}."
        raise ValueError(msg_0)
    check_one_modality(adata, wanted=modality, layer=layer)
    check_unique(adata.var_names, "adata.var_names", DROP_REPEATS)


def feature_names(source: Features, modality: Modality, argument: str) -> pd.Index:
    """Return names in the order of `source`.

    Parameters
    ----------
    source
        Names, an AnnData or a model.
    modality
        Which features of a model to return.
    argument
        Name of `source` in messages.

    Raises
    ------
    TypeError
        If `source` has no feature names.
    ValueError
        If there are no names, they are not unique, or the model lacks the modality.
    """
    names = _get_names(source, modality, argument).astype(str)
    if not len(names):
        msg = f"{argument} has no feature names."
        raise ValueError(msg)
    check_unique(names, argument, DROP_REPEATS)
    return names


def _get_names(source: Features, modality: Modality, argument: str) -> pd.Index:
    if isinstance(source, AnnData):
        return source.var_names
    if isinstance(source, SCMOMER):
        if modality in source.spec.features:
            return source.spec.features[modality]
        what = "genes" if modality == RNA else "peaks"
        msg = (
            f"Expected a model with {what} in {argument}, found a model of "
            f"{list(source.spec.modalities)}. Pass another model, or the names of {what}."
        )
        raise ValueError(msg)
    if isinstance(source, Sequence | pd.Index | pd.Series | np.ndarray) and not isinstance(
        source, str
    ):
        return pd.Index(source, dtype=object)
    found = repr(source) if isinstance(source, str) else f"a {type(source).__name__}"
    msg = (
        f"Expected {argument} to be a sequence of names, an AnnData or an SCMOMER, found {found}. "
        "Load a saved model with `scmomer.load(path)`; pass one modality of a MuData."
    )
    raise TypeError(msg)
