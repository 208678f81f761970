"""Files of ``drugs.py``."""

from __future__ import annotations

import os
from pathlib import Path

import anndata as ad
import pandas as pd

DATA = Path(os.environ.get("SCMOMER_DATA", Path(__file__).parents[2] / "shared" / "data")) / "drugs"

# Drugs on chromatin among the 170: of HDAC, BET and other bromodomains, EZH2, DOT1L, PRMT5.
EPIGENETIC = (
    *("Vorinostat", "Entinostat", "PCI-34051"),
    *("JQ1", "I-BET-762", "OTX015", "RVX-208", "AZD5153", "I-BRD9", "PFI3"),
    *("GSK343", "EPZ5676", "EPZ004777", "GSK591"),
)


def response() -> pd.DataFrame:
    """Return drug, cell_line, ln_ic50."""
    return pd.read_csv(DATA / "ic50.csv.gz")


def cell_lines() -> ad.AnnData:
    """Return z-scored expression, lines x genes."""
    return ad.AnnData(pd.read_csv(DATA / "expression_zscored.csv.gz", index_col=0))


def smiles() -> pd.Series:
    """Return SMILES by drug."""
    return pd.read_csv(DATA / "smiles.csv", index_col=0)["smiles"]


def thresholds() -> pd.DataFrame:
    """Return the published thresholds of sensitivity."""
    return pd.read_csv(DATA / "ic50_thresholds.csv")
