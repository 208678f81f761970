"""What data of a screen have to be."""

from __future__ import annotations

from anndata import AnnData
from mudata import MuData

from scmomer.data import check_unique


def check_cells(adata: AnnData, name: str = "adata") -> None:
    """Raise TypeError if data are no AnnData, ValueError if empty or genes have equal names."""
    what = f"{name} of cells x genes"
    if not isinstance(adata, AnnData):
        remedy = "Pass mdata['rna']." if isinstance(adata, MuData) else "Wrap it: AnnData(table)."
        msg = f"Expected {what} as an AnnData, found {type(adata).__name__}. {remedy}"
        raise TypeError(msg)
    if 0 in adata.shape:
        msg = (
            f"Expected {what}, found an AnnData of shape {adata.shape}. Pass some cells and genes."
        )
        raise ValueError(msg)
    check_unique(adata.var_names, f"{name}.var_names")


def check_profile(profile: str) -> None:
    """Raise if values are z-scores."""
    if profile == "zscore":
        msg = (
            "Expected profile 'counts' or 'normalized', found 'zscore': changes of z-scores depend "
            "on which cells were scaled together. Pass counts or log values."
        )
        raise ValueError(msg)
