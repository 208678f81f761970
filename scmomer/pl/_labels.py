"""Labels of cells for plots."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer.data import check_container, obs_column


def labels_in(data: AnnData | MuData, key: str) -> pd.Series:
    """Return a column of obs as text, ``(n_cells,)``; missing values are kept.

    Raises
    ------
    KeyError
        If neither ``data.obs`` nor the obs of a modality has the column; lists those present.
    """
    check_container(data)
    column = obs_column(data, key)
    return column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
