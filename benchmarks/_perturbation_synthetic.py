"""A made-up screen of RNA and ATAC with singles and pairs, with known effects.

Regulators move the activity of programs; genes and peaks follow programs. Two regulators that
move one program hinder each other there: the stronger effect counts in full, the weaker one only in
part. So effects of pairs add up where their programs are apart, and less where they are shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs

CONTROL = "control"
N_GENES, N_PEAKS, N_PROGRAMS, N_REGULATORS = 400, 1500, 10, 14
N_PAIRS = 30
N_CONTROLS, N_PER_PERTURBATION = 600, 80
RNA_DEPTH = 1500.0
DEPTH_SD, STATE_SD = 0.3, 0.5
PROGRAMS_PER_REGULATOR = 3
EFFECT = 1.2  # of log activity
SHARED = 0.5  # of the weaker of two effects on one program
LOADING = 0.8  # of genes and peaks on their program
LOCAL, LOCAL_SCALE = -1.5, 30_000  # log odds of peaks at a silenced regulator, base pairs
SPACING = 10_000  # base pairs between starts of peaks


@dataclass(frozen=True)
class Screen:
    """Cells, and what is known of them."""

    mdata: MuData
    """``obs["perturbation"]``: ``"control"``, ``"A"``, ``"A+B"``."""
    pairs: list[str]
    """All pairs."""
    distance: pd.DataFrame
    """Base pairs from each peak to each regulator, peaks x regulators; infinite elsewhere."""
    truth: pd.DataFrame
    """Noiseless change of mean accessibility, perturbations x peaks."""


def simulate(seed: int, n_per_perturbation: int = N_PER_PERTURBATION) -> Screen:
    """Draw a screen."""
    rng = np.random.default_rng(seed)
    genes = pd.Index([f"Gene{i:04d}" for i in range(N_GENES)])
    regulators = rng.choice(N_GENES, N_REGULATORS, replace=False)
    names = genes[regulators]
    # Peaks are strung along 5 chromosomes, genes between them.
    chromosome, start = np.arange(N_PEAKS) % 5, np.arange(N_PEAKS) // 5 * SPACING
    gene_chromosome = rng.integers(0, 5, N_GENES)
    gene_start = rng.integers(0, N_PEAKS // 5 * SPACING, N_GENES)
    peaks = pd.Index(
        [f"chr{c + 1}:{s + 1}-{s + 500}" for c, s in zip(chromosome, start, strict=True)]
    )
    same = chromosome[:, None] == gene_chromosome[regulators]
    distance = np.abs(start[:, None] + 250.0 - gene_start[regulators])
    distance = np.where(same, distance, np.inf)

    def loadings(n: int) -> np.ndarray:
        matrix = np.zeros((N_PROGRAMS, n))
        own = rng.integers(0, N_PROGRAMS, n)
        matrix[own, np.arange(n)] = rng.normal(0, LOADING, n)
        return matrix

    of_gene, of_peak = loadings(N_GENES), loadings(N_PEAKS)
    effects = np.zeros((N_REGULATORS, N_PROGRAMS))
    for row in effects:
        chosen = rng.choice(N_PROGRAMS, PROGRAMS_PER_REGULATOR, replace=False)
        row[chosen] = rng.choice([-1, 1], len(chosen)) * rng.uniform(0.5, 1, len(chosen)) * EFFECT
    base_gene = rng.normal(0, 1, N_GENES)
    base_gene[regulators] = 1.0
    base_peak = rng.normal(-2.5, 0.8, N_PEAKS)
    first, second = np.triu_indices(N_REGULATORS, 1)
    pick = rng.choice(len(first), N_PAIRS, replace=False)
    parts = [(), *((i,) for i in range(N_REGULATORS))]
    parts += [(int(first[k]), int(second[k])) for k in pick]
    labels = ["+".join(sorted(names[list(p)])) if p else CONTROL for p in parts]

    def profile(part: tuple[int, ...], state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rates of genes and log odds of peaks, for cells of a state."""
        activity = state + combined(effects[list(part)])
        silenced = np.zeros(N_GENES)
        silenced[regulators[list(part)]] = np.log(0.1)
        local = LOCAL * np.exp(-distance[:, list(part)] / LOCAL_SCALE).sum(1)
        rate = np.exp(base_gene + activity @ of_gene + silenced)
        return rate, base_peak + activity @ of_peak + local

    rna, atac, obs, truth = [], [], [], {}
    reference = rng.normal(0, STATE_SD, (2000, N_PROGRAMS))
    base = 1 / (1 + np.exp(-profile((), reference)[1]))
    for label, part in zip(labels, parts, strict=True):
        n = N_CONTROLS if not part else n_per_perturbation
        rate, odds = profile(part, rng.normal(0, STATE_SD, (n, N_PROGRAMS)))
        depth = RNA_DEPTH * rng.lognormal(0, DEPTH_SD, (n, 1))
        rna.append(
            sp.csr_matrix(rng.poisson(depth * rate / rate.sum(1, keepdims=True)), dtype=np.float32)
        )
        shift = rng.normal(0, DEPTH_SD, (n, 1))  # of log odds: the depth of the cell
        opened = rng.random(odds.shape) < 1 / (1 + np.exp(-(odds + shift)))
        atac.append(sp.csr_matrix(opened, dtype=np.float32))
        obs += [label] * n
        truth[label] = (1 / (1 + np.exp(-profile(part, reference)[1])) - base).mean(0)
    table = pd.DataFrame(
        {
            "perturbation": pd.Categorical(obs),
            "replicate": rng.integers(0, 2, len(obs)).astype(str),
        },
        index=[f"cell{i:05d}" for i in range(len(obs))],
    )
    parts_of = {
        "rna": AnnData(
            sp.vstack(rna, format="csr"), obs=table.copy(), var=pd.DataFrame(index=genes)
        ),
        "atac": AnnData(
            sp.vstack(atac, format="csr"), obs=table.copy(), var=pd.DataFrame(index=peaks)
        ),
    }
    with keep_obs():
        mdata = MuData(parts_of)
    mdata.obs = table
    return Screen(
        mdata,
        [label for label, part in zip(labels, parts, strict=True) if len(part) == 2],
        pd.DataFrame(distance, peaks, names),
        pd.DataFrame(truth, peaks).T.drop(index=CONTROL),
    )


def combined(effects: np.ndarray) -> np.ndarray:
    """Return the effect of one or two regulators on each program, ``(n_programs,)``."""
    if len(effects) < 2:
        return effects.sum(0)
    stronger = np.where(np.abs(effects[0]) >= np.abs(effects[1]), effects[0], effects[1])
    weaker = effects.sum(0) - stronger
    return stronger + np.where(stronger != 0, SHARED, 1.0) * weaker
