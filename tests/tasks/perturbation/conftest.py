"""A screen whose perturbed genes act by family: what gene sets tell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmomer import PerturbationModel

N_GENES, N_FAMILIES, N_MEMBERS = 40, 3, 5


class FamilyScreen(NamedTuple):
    """Cells, sets of genes, embeddings of genes, and the true effects of perturbed genes."""

    cells: AnnData
    gene_sets: dict[str, list[str]]
    embeddings: pd.DataFrame
    effects: pd.DataFrame


def make(*, n_cells: int = 40, types: tuple[str, ...] = ("",), seed: int = 0) -> FamilyScreen:
    """Genes of a family have the same effect; a pair has the sum of those of its parts."""
    rng = np.random.default_rng(seed)
    genes = [f"G{i}" for i in range(N_GENES)]
    families = {f"F{f}": [f"P{f}{i}" for i in range(N_MEMBERS)] for f in range(N_FAMILIES)}
    programs = rng.normal(size=(N_FAMILIES, N_GENES)) * (rng.random((N_FAMILIES, N_GENES)) < 0.4)
    members = [(f, name) for f, names in enumerate(families.values()) for name in names]
    effects = pd.DataFrame(
        {name: programs[f] + 0.1 * rng.normal(size=N_GENES) for f, name in members}, genes
    ).T
    pairs = [("P00", "P10"), ("P01", "P20"), ("P11", "P21"), ("P02", "P12"), ("P03", "P22")]
    pairs.append(("P13", "P23"))
    done = [()] + [(name,) for _, name in members] + pairs
    base = rng.normal(1.5, 0.6, N_GENES)
    blocks, obs = [], []
    for t, kind in enumerate(types):
        level = base + 0.5 * t * np.sin(np.arange(N_GENES))
        for parts in done:
            n = 4 * n_cells if not parts else n_cells
            rate = np.exp(level + effects.loc[list(parts)].to_numpy().sum(axis=0))
            blocks.append(rng.poisson(rate, (n, N_GENES)))
            obs += [("+".join(parts) or "ctrl", kind)] * n
    frame = pd.DataFrame(obs, columns=["gene", "type"], index=[f"c{i}" for i in range(len(obs))])
    frame["rep"] = rng.choice(["a", "b"], len(frame))
    embeddings = pd.DataFrame(
        np.stack([np.eye(N_FAMILIES)[f] for f, _ in members])
        + 0.05 * rng.normal(size=(len(members), N_FAMILIES)),
        [name for _, name in members],
    )
    cells = AnnData(np.vstack(blocks).astype(np.float32), frame, pd.DataFrame(index=genes))
    return FamilyScreen(cells, families, embeddings, effects)


@pytest.fixture(scope="session")
def family_screen() -> FamilyScreen:
    """15 single perturbations of 3 families and 6 pairs. Shared: must not be changed."""
    return make()


@pytest.fixture(scope="session")
def typed_screen() -> FamilyScreen:
    """The same in three cell types. Shared: must not be changed."""
    return make(n_cells=15, types=("A", "B", "C"))


@pytest.fixture(scope="session")
def fitted_screen(family_screen: FamilyScreen) -> PerturbationModel:
    """A model without P04 (and network). Shared: must not be fitted again."""
    screen = family_screen
    cells = screen.cells[screen.cells.obs["gene"] != "P04"].copy()
    model = PerturbationModel(gene_sets=screen.gene_sets, network=False)
    return model.fit(cells, perturbation_key="gene", control="ctrl")
