"""Pairs by optimal transport."""

from __future__ import annotations

import logging
from types import ModuleType

import numpy as np

from scmomer.pp.pairing._pairs import CellPairs, SharedSpace

logger = logging.getLogger(__name__)

_MAX_EXPONENT = 300.0  # of the kernel's smallest entry; above it Sinkhorn runs in log space
_MAX_ITERATIONS = 1000
_TOLERANCE = 1e-5  # of the marginals


def pair_by_transport(
    space: SharedSpace, epsilon: float, block_size: int, draw: bool, rng: np.random.Generator
) -> CellPairs:
    r"""Pair by entropic transport plans between random blocks of cells.

    Both sides are split into the same number of random blocks. Within a block, with squared
    distances :math:`C` and uniform weights, the plan :math:`P` minimizes
    :math:`\langle P, C \rangle - \epsilon \bar{C} H(P)` and gives all cells equal
    weight.

    Parameters
    ----------
    space
        Cells of both modalities.
    epsilon
        Strength of the entropy term, relative to the mean cost.
    block_size
        Maximum number of cells per side in a block; memory is a few arrays of ``block_size ** 2``
        numbers.
    draw
        Draw partners from the plan instead of taking the largest entry.
    rng
        Random number generator of blocks and draws.

    Returns
    -------
    CellPairs
        Confidence is the cosine of the two cells. The share of the RNA cell's mass that goes to its
        partner is not used: it measures how few similar cells there are, not how similar they are,
        and on SNARE-seq it is larger for wrong partners.

    Raises
    ------
    ImportError
        If POT is not installed.
    ValueError
        If Sinkhorn's iteration fails.
    """
    ot = _import_pot()
    n_rna, n_atac = len(space.rna), len(space.atac)
    n_blocks = min(-(-max(n_rna, n_atac) // block_size), n_rna, n_atac)
    everyone, chosen = np.arange(n_rna), np.empty(n_rna, np.intp)
    blocks = (np.array_split(rng.permutation(n), n_blocks) for n in (n_rna, n_atac))
    for cells, partners in zip(*blocks, strict=True):
        share = _plan(ot, space.rna[cells], space.atac[partners], epsilon)
        column = _draw(share, rng) if draw else share.argmax(axis=1)
        chosen[cells] = partners[column]
    return CellPairs(everyone, chosen, space.similarity(everyone, chosen))


def _plan(ot: ModuleType, x: np.ndarray, y: np.ndarray, epsilon: float) -> np.ndarray:
    """Return the share of each cell of `x` that goes to each of `y`, ``(len(x), len(y))``."""
    cost = ot.dist(x, y, metric="sqeuclidean")
    cost /= max(float(cost.mean()), np.finfo(float).tiny)
    small = cost.max() / epsilon > _MAX_EXPONENT
    plan, log = ot.sinkhorn(
        np.full(len(x), 1 / len(x)),
        np.full(len(y), 1 / len(y)),
        cost,
        epsilon,
        method="sinkhorn_log" if small else "sinkhorn",
        numItermax=_MAX_ITERATIONS,
        stopThr=_TOLERANCE,
        log=True,
        warn=False,
    )
    mass = plan.sum(axis=1, keepdims=True)
    if not (np.isfinite(mass).all() and (mass > 0).all()):
        msg = (
            f"Sinkhorn's iteration failed with epsilon={epsilon}: numbers became too small or too "
            "large. Raise epsilon=."
        )
        raise ValueError(msg)
    if log["err"] and log["err"][-1] > _TOLERANCE:
        logger.info(
            "The marginals of a transport plan are off by %.1e after %d iterations. A higher "
            "epsilon= "
            "converges faster.",
            log["err"][-1],
            _MAX_ITERATIONS,
        )
    return np.divide(plan, mass, out=plan)


def _draw(share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a column for each row, drawn with the row's probabilities, ``(n_rows,)``."""
    at = rng.random((len(share), 1))
    return (share.cumsum(axis=1) < at).sum(axis=1).clip(max=share.shape[1] - 1)


def _import_pot() -> ModuleType:
    """Import the optional dependency."""
    try:
        import ot
    except ImportError as error:
        msg = (
            "POT is not installed (needed for on='ot'). Install it with: pip install 'scmomer[ot]'"
        )
        raise ImportError(msg) from error
    return ot
