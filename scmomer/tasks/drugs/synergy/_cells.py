"""Features of cell lines for synergy, standardized over the lines of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import Profile, called, check_profile, check_unique, warn
from scmomer.tasks.drugs._cell_profiles import ProfileReader
from scmomer.tasks.drugs._checks import check_cells
from scmomer.tasks.drugs.response._line_kernel import Standardizer as Scale

_MAX_Z = 10.0
_NORM = 3.0  # root mean square of the length of the features of a line


def read_blocks(
    reader: ProfileReader,
    cells: AnnData,
    profile: Profile,
    layer: str | None,
    like: Mapping[str, Standardizer] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return what is read of cells: blocks of features, each cells x features.

    Genes that are absent are NaN. With `like`, features are standardized within these cells and
    returned in the units of the training lines, whose standardizers these are.

    Raises
    ------
    TypeError
        If `cells` is no AnnData.
    ValueError
        If names of cells repeat, or values do not fit the profile.
    """
    check_profile(profile)
    check_cells(cells)
    check_unique(cells.obs_names, "cells.obs_names")
    with called("cells"):
        profiles = reader.read_profiles(cells, profile, layer)
    if like is not None:
        warn(
            "Features are standardized within these cells (standardize='query'): synergy is as if "
            "the mean of these cells were that of the training lines."
        )
        profiles = profiles.standardized([like[name].unscaled for name in block_names(reader)])
    values = profiles.blocks()
    names = cells.obs_names.astype(str)
    return {
        what: pd.DataFrame(x, index=names)
        for what, x in zip(block_names(reader), values, strict=True)
    }


def block_names(reader: ProfileReader) -> list[str]:
    """Return the names of the blocks that a reader reads."""
    return ["expression", "embedding"] if reader.inputs == "both" else [reader.inputs]


@dataclass(frozen=True, eq=False)
class Standardizer:
    """One block of features, standardized over the lines of training."""

    mean: np.ndarray
    """float64 ``(n_features,)``."""
    scale: np.ndarray
    """Factor of each feature, float64 ``(n_features,)``; 0 for a constant one."""

    @classmethod
    def fit(cls, values: pd.DataFrame, what: str) -> Standardizer:
        """Learn means and scales from lines x features.

        Raises
        ------
        ValueError
            If all features are constant.
        """
        x = values.to_numpy(np.float64)
        sd = x.std(axis=0) if len(x) else np.zeros(x.shape[1])
        if not (sd > 0).any():
            msg = (
                f"Expected {what} that differs between the cell lines of synergy, found "
                f"{x.shape[1]} constant features in {len(x)} lines. Pass other cells."
            )
            raise ValueError(msg)
        inverse = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 0)
        return cls(x.mean(axis=0), inverse * _NORM / np.sqrt((sd > 0).sum()))

    @property
    def unscaled(self) -> Scale:
        """Mean and standard deviation of each feature in training."""
        factor = _NORM / np.sqrt(max(int(np.count_nonzero(self.scale)), 1))
        sd = np.divide(factor, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        return Scale(self.mean, sd)

    def __call__(self, values: pd.DataFrame) -> np.ndarray:
        """Return features, float32 ``(n, n_features)``; missing ones are 0, the mean."""
        limit = _MAX_Z * _NORM / np.sqrt(np.count_nonzero(self.scale))
        z = (values.to_numpy(np.float64) - self.mean) * self.scale
        return np.nan_to_num(np.clip(z, -limit, limit)).astype(np.float32)
