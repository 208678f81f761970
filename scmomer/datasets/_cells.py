"""Cells of the synthetic data: labels, program mixtures, measured modalities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scmomer.datasets._genome import numbered

MAX_STATE = 0.5  # largest share of the shared program in a cell
STATE_EVENNESS = 0.3  # of the division among shared programs (Dirichlet); 1 is uniform
ROUNDING = 1e-9  # 0.29 * 100 is 28.999...


def cells(rng: np.random.Generator, n_cells: int, n_types: int, n_batches: int) -> pd.DataFrame:
    """Return ``obs``: types and batches of equal size in random order, state in [0, MAX_STATE)."""
    turns = np.arange(n_cells)
    batch, cell_type = rng.permutation(turns % n_batches), rng.permutation(turns % n_types)
    return pd.DataFrame(
        {
            "batch": pd.Categorical.from_codes(batch, numbered("batch", n_batches)),
            "cell_type": pd.Categorical.from_codes(cell_type, numbered("type", n_types)),
            "state": rng.uniform(0, MAX_STATE, size=n_cells),
        },
        index=numbered("cell", n_cells, at_least=5),
    )


def shares(rng: np.random.Generator, obs: pd.DataFrame, n_states: int) -> np.ndarray:
    """Return the shares of the programs, ``(n_cells, n_types + n_states)``: types, then states.

    Of several shared programs, most of a cell's share goes to a few, independent of its type.
    """
    types = np.eye(len(obs["cell_type"].cat.categories))[obs["cell_type"].cat.codes]
    state = obs["state"].to_numpy()[:, None]
    parts = rng.dirichlet(np.full(n_states, STATE_EVENNESS), len(obs)) if n_states > 1 else 1.0
    return np.hstack([types * (1 - state), state * parts])


def presence(
    rng: np.random.Generator, n_cells: int, missing: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Return which cells have each modality, bool ``(n_cells,)``; each has RNA or ATAC."""
    fractions = {"rna": 0.0, "atac": 0.0, "protein": 0.0} | dict(missing)
    in_range = all(0 <= fraction < 1 for fraction in fractions.values())
    both = fractions["rna"] + fractions["atac"]
    if len(fractions) > 3 or not in_range or both > 1 + ROUNDING:
        msg = (
            "Expected `missing` to map 'rna', 'atac' and 'protein' to fractions in [0, 1), with a "
            f"sum of at most 1 for 'rna' and 'atac', found {dict(missing)}."
        )
        raise ValueError(msg)
    n_rna, n_atac, n_protein = (int(f * n_cells + ROUNDING) for f in fractions.values())
    turn = rng.permutation(n_cells)
    return {
        "rna": turn >= n_rna,
        "atac": (turn < n_rna) | (turn >= n_rna + n_atac),
        "protein": rng.permutation(n_cells) >= n_protein,
    }
