"""Torch pieces independent of modality and model: sparse rows and losses."""

from scmomer.nn._losses import linear_bce, multinomial, negative_binomial, sparse_mse
from scmomer.nn._rows import (
    CellBatch,
    SparseRows,
    drop_entries,
    keep_entries,
    log_normalize,
    log_normalize_csr,
    narrow_rows,
    row_sums,
    send,
    sparse_linear,
    to_csr,
    to_dense,
    to_rows,
    waits_for,
)

__all__ = [
    "CellBatch",
    "SparseRows",
    "drop_entries",
    "keep_entries",
    "linear_bce",
    "log_normalize",
    "log_normalize_csr",
    "multinomial",
    "narrow_rows",
    "negative_binomial",
    "row_sums",
    "send",
    "sparse_linear",
    "sparse_mse",
    "to_csr",
    "to_dense",
    "to_rows",
    "waits_for",
]
