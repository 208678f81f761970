"""Torch pieces independent of modality and model: sparse rows, losses, devices."""

from scmomer.nn._device import (
    free_memory,
    has_bfloat16,
    is_out_of_memory,
    release_memory,
    supports_triton,
)
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
    "free_memory",
    "has_bfloat16",
    "is_out_of_memory",
    "keep_entries",
    "linear_bce",
    "log_normalize",
    "log_normalize_csr",
    "multinomial",
    "narrow_rows",
    "negative_binomial",
    "release_memory",
    "row_sums",
    "send",
    "sparse_linear",
    "sparse_mse",
    "supports_triton",
    "to_csr",
    "to_dense",
    "to_rows",
    "waits_for",
]
