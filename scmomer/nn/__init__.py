"""Torch pieces independent of modality and model: sparse rows and losses."""

from scmomer.nn._dropout import drop_values
from scmomer.nn._linear_losses import linear_bce, linear_mse, linear_multinomial
from scmomer.nn._losses import multinomial, negative_binomial, sparse_mse
from scmomer.nn._rows import (
    CellBatch,
    SparseRows,
    drop_entries,
    keep_entries,
    log_normalize,
    log_normalize_csr,
    row_sums,
    sparse_linear,
    to_csr,
    to_dense,
    to_rows,
)

__all__ = [
    "CellBatch",
    "SparseRows",
    "drop_entries",
    "drop_values",
    "keep_entries",
    "linear_bce",
    "linear_mse",
    "linear_multinomial",
    "log_normalize",
    "log_normalize_csr",
    "multinomial",
    "negative_binomial",
    "row_sums",
    "sparse_linear",
    "sparse_mse",
    "to_csr",
    "to_dense",
    "to_rows",
]
