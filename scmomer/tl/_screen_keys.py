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
from scmomer.data import as_text, examples, obs_column
from scmomer.model import SCMOMER
from scmomer.tasks.perturbation.across import canonical

if TYPE_CHECKING:
    from scmomer.inference import Depth

logger = logging.getLogger(__name__)
CONTROL = "control"  # how controls of any name are called here


@dataclass(frozen=True)
class ScreenKeys:
    """Where a screen has what; arguments of :func:`perturb_atac`."""

    perturbation_key: str
    control: str | Sequence[str]
    groupby: str | None
    batch_key: str | None
    depth: Depth
    n_control: int
    min_cells: int


def read_keys(data: AnnData | MuData, options: ScreenKeys) -> pd.DataFrame:
    """Return perturbation, group and batch of each cell; perturbation None: left out."""
    column = obs_column(data, options.perturbation_key, "perturbation_key=")
    controls = [options.control] if isinstance(options.control, str) else list(options.control)
    labels = [None if pd.isna(v) else canonical(as_text(v), controls, CONTROL) for v in column]
    keys = pd.DataFrame({"perturbation": labels, "group": "", "batch": ""}, dtype=object)
    for name, key in (("group", options.groupby), ("batch", options.batch_key)):
        if key is not None:
            values = obs_column(data, key, "groupby=" if name == "group" else "batch_key=")
            keys[name] = [None if pd.isna(v) else as_text(v) for v in values]
    absent = keys.isna().any(axis=1)
    if absent.any():
        logger.info(
            "%d of %d cells have no perturbation, group or batch and are left out.",
            *(int(absent.sum()), len(keys)),
        )
        keys.loc[absent, "perturbation"] = None
    if not (keys["perturbation"] == CONTROL).any():
        shown = examples(pd.Index(pd.unique(column.dropna().astype(str))))
        msg = (
            f"Expected control cells with {options.control!r} in {options.perturbation_key!r}, "
            f"found values such as {shown}. Pass the value of controls as control=."
        )
        raise ValueError(msg)
    return keys


def read_predicted(
    predicted: AnnData, model: SCMOMER, options: ScreenKeys
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
    controls = [options.control] if isinstance(options.control, str) else list(options.control)
    names = [canonical(as_text(v), controls, CONTROL) for v in predicted.obs["perturbation"]]
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
