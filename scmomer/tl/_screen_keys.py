"""Perturbations of cells, and of predicted pseudobulks, under one spelling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import RNA
from scmomer.data import (
    as_text,
    display_name,
    examples,
)
from scmomer.model import SCMOMER
from scmomer.tasks.perturbation import find_controls, parse_perturbations, read_parts, text_column

if TYPE_CHECKING:
    from scmomer.inference import Depth

logger = logging.getLogger(__name__)
CONTROL = ""  # name of controls, as parse_perturbations has it


@dataclass(frozen=True)
class ScreenKeys:
    """Where a screen has what; arguments of :func:`perturb_atac`."""

    perturbation_key: str
    control: str | Sequence[str] | None
    groupby: str | None
    batch_key: str | None
    depth: Depth
    n_control: int
    min_cells: int


def read_keys(
    data: AnnData | MuData, options: ScreenKeys, *, only_controls: bool = False
) -> pd.DataFrame:
    """Return perturbation, group and batch of each cell, as text.

    Parameters
    ----------
    data, options
        The cells, and where they have what.
    only_controls
        Perturbed cells need not be there, and get no name but None.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a value is missing, or no cell is a control.
    """
    key = options.perturbation_key
    columns = {"perturbation": text_column(data, key, "perturbation_key=")}
    place = f"{display_name(data)}.obs[{key!r}]"
    labels = columns["perturbation"]
    for name, other, argument in (
        ("group", options.groupby, "groupby="),
        ("batch", options.batch_key, "batch_key="),
    ):
        columns[name] = text_column(data, other, argument)
    keys = pd.DataFrame(columns, dtype=object)
    if not only_controls:
        keys["perturbation"] = parse_perturbations(labels, options.control, place=place).names
        return keys
    is_control = find_controls(labels, options.control, place=place)
    keys["perturbation"] = [CONTROL if one else None for one in is_control]
    return keys


def read_predicted(
    predicted: AnnData, model: SCMOMER
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return names, and expression before and after for the model's genes, ``(n, n_genes)``."""
    if not isinstance(predicted, AnnData):
        msg = (
            f"Expected predicted= as an AnnData of scmomer.tl.perturb, found "
            f"{type(predicted).__name__}. Pass its result."
        )
        raise TypeError(msg)
    lacking = ["obs['perturbation']"] if "perturbation" not in predicted.obs else []
    lacking += ["layers['change']"] if "change" not in predicted.layers else []
    lacking += ["X"] if predicted.X is None else []
    if lacking:
        msg = (
            f"Expected {', '.join(lacking)} in predicted=, found obs with "
            f"{list(predicted.obs)} and layers {list(predicted.layers)}. Pass the result of "
            "scmomer.tl.perturb."
        )
        raise KeyError(msg)
    if not predicted.n_obs:
        msg = "Expected rows in predicted=, found none. Predict some perturbations."
        raise ValueError(msg)
    names = ["+".join(read_parts(v)) for v in predicted.obs["perturbation"]]
    obs = pd.DataFrame({"perturbation": names, "group": "", "status": "predicted"}, dtype=object)
    for name in ("group", "status"):
        if name in predicted.obs:
            obs[name] = [as_text(v) for v in predicted.obs[name]]
    rows = model.module.rna.rows_in(model.spec.features[RNA], predicted.var_names.astype(str))
    known = rows >= 0
    if not known.any():
        msg = (
            f"Expected genes of the model in predicted=, found none of {predicted.n_vars} such as "
            f"{examples(predicted.var_names)}. Predict with the names of the model's genes."
        )
        raise ValueError(msg)
    if not known.all():
        logger.info(
            "%d of %d genes have no prediction and stay as they are.",
            *(int((~known).sum()), len(known)),
        )
    after, change = (
        np.asarray(x.toarray() if sp.issparse(x) else x, np.float64)[:, rows[known]]
        for x in (predicted.X, predicted.layers["change"])
    )
    if not (np.isfinite(after).all() and np.isfinite(change).all()):
        msg = "Expected finite values in predicted=, found NaN. Leave out rows or genes with NaN."
        raise ValueError(msg)
    out = np.zeros((2, len(obs), len(rows)))
    out[0][:, known], out[1][:, known] = after - change, after
    return obs, out[0], out[1]
