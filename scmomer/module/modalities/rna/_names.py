"""Gene names that mean the same gene."""

from __future__ import annotations

import pandas as pd

_VERSION = r"^(ENS[A-Z]*\d+)\.\d+(?:_PAR_Y)?$"  # not of symbols such as AC012345.2


def strip_versions(names: pd.Index) -> pd.Index:
    """Return gene names without surrounding spaces and without versions of Ensembl ids."""
    return names.str.strip().str.replace(_VERSION, r"\1", case=False, regex=True)
