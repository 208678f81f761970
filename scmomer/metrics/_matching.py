"""How close the same cell is in two embeddings."""

from __future__ import annotations

import numpy as np

from scmomer.metrics._blocks import dense
from scmomer.metrics._checks import check_pair

# Squared distances that differ by less than this share of the squared norms count as equal, because
# of rounding in matrix products.
_ROUNDING = 1e-12


def foscttm(first: np.ndarray, second: np.ndarray, *, chunk_size: int = 1024) -> float:
    r"""Fraction of samples closer than the true match (FOSCTTM), over cells and both directions.

    With the distance :math:`d_{ij}` from cell :math:`i` in the first embedding to cell :math:`j`
    in the second, for :math:`n` cells,

    .. math::

        \frac{1}{2 n (n - 1)} \sum_i \sum_{j \ne i} c(d_{ij}, d_{ii}) + c(d_{ji}, d_{ii}), \qquad
        c(a, b) = [a < b] + \tfrac{1}{2} [a = b].

    Ties count one half, so that a constant embedding does not score as perfect.

    Parameters
    ----------
    first
        Embedding of the cells from one modality, shape ``(n_cells, n_latent)``.
    second
        Embedding of the same cells from the other modality, shape ``(n_cells, n_latent)``.
    chunk_size
        Number of cells per chunk; needs about ``16 * n_cells * chunk_size`` bytes.

    Returns
    -------
    A value in [0, 1]: 0 if each cell is closest to itself, 0.5 for random embeddings.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or there is only one cell.
    """
    first, second = check_pair(first, second, ("first", "second"))
    n_cells = first.shape[0]
    if n_cells < 2:
        msg = "Expected `first` to have at least two cells, found 1."
        raise ValueError(msg)
    if chunk_size < 1:
        msg = f"Expected `chunk_size` to be at least 1, found {chunk_size}."
        raise ValueError(msg)
    x, y = (dense(matrix).astype(np.float64) for matrix in (first, second))
    center = y.mean(axis=0)
    x, y = x - center, y - center  # smaller norms reduce rounding errors
    x_norm, y_norm = (np.einsum("ij,ij->i", matrix, matrix) for matrix in (x, y))
    own = np.square(x - y).sum(axis=1)
    tolerance = _ROUNDING * (x_norm + y_norm + max(x_norm.max(), y_norm.max()))
    lower, upper = own - tolerance, own + tolerance
    closer = 0
    for start in range(0, n_cells, chunk_size):
        rows = slice(start, start + chunk_size)
        distance = x[rows] @ y.T  # (chunk, n_cells)
        distance *= -2
        distance += x_norm[rows, None]
        distance += y_norm
        for low, high in ((lower[rows, None], upper[rows, None]), (lower, upper)):
            closer += int(np.count_nonzero(distance < low) + np.count_nonzero(distance <= high))
    # Each cell is tied with itself once in each direction.
    return (closer - 2 * n_cells) / (4 * n_cells * (n_cells - 1))
