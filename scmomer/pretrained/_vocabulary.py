"""The gene vocabulary of scBERT and scMomer, in the order of their tensors."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import pandas as pd

_SHA256 = "4c09ba1912e184682fe5e7f32e2b443bdfb7883d0d0191551b38c6c2f155600f"


@cache
def panglao_genes() -> pd.Index:
    """Return the 16,906 human gene symbols of the published checkpoints, in order.

    Raises
    ------
    RuntimeError
        If the list in the installed package is not the published one; in another order, genes would
        get the embeddings of other genes.
    """
    text = files("scmomer.pretrained").joinpath("panglao_genes.txt").read_text("utf-8")
    genes = text.split()
    found = hashlib.sha256("\n".join(genes).encode()).hexdigest()
    if found != _SHA256:
        msg = (
            f"Expected the published gene list (sha256 {_SHA256[:12]}...), found {len(genes)} "
            f"genes with {found[:12]}.... Reinstall scmomer."
        )
        raise RuntimeError(msg)
    return pd.Index(genes)
