"""Synthetic cells as deep as those of current protocols, with known rates, drawn in seconds.

Genes have an activity in each cell: that of its lineage, of how far it has come along its lineage,
and of continuous programs, some of them only in some lineages. Expression follows the activity, and
so do the peaks that are linked to a gene near them. Both modalities also have effects of lineages
and programs of their own, which the other one does not show, and effects of batches on every
feature. Cell types are thirds of lineages, so that the cells at their borders are uncertain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from scipy.optimize import brentq
from scipy.stats import norm

# For mudata 0.3: obs gets no columns of modalities.
if hasattr(mudata, "set_options"):
    mudata.set_options(pull_on_update=False)
_N_PROGRAMS = {"shared": 8, "rna": 4, "atac": 4}
_GATED = 0.5  # share of programs that vary only in some lineages, and of the lineages in which
_N_STAGES = 3  # types of a lineage
# Standard deviations of log fold changes, and the shares of features that have one.
_LINEAGE, _STAGE, _PROGRAM = (1.0, 0.3), (0.5, 0.2), (0.5, 0.15)
_BATCH = 0.2
_SPREAD = {"rna": 1.5, "atac": 1.0}  # of the log abundance of features
_DEPTH_SPREAD, _DEPTH_CORRELATION = (0.35, 0.4), 0.5  # of the log depth of cells
_DISPERSION = 0.2  # of counts: variance = mean + 0.2 * mean^2
_LINKED = 0.7  # share of peaks that follow a gene
_LINK_STRENGTH = (0.5, 1.5)
_LINK_OFFSETS = np.array([-2, -1, 0, 1, 2])  # to the nearest gene, in genes
_LINK_WEIGHTS = (0.1, 0.2, 0.4, 0.2, 0.1)
_N_CHROMS, _DISTANCE, _WIDTH = 22, 3_000, 500
_AT_ONCE = 10_000_000  # draws
_N_PROBE = 200  # cells that set the depth


@dataclass(frozen=True)
class _Rates:
    """Log rates of one modality: ``design @ effects``, plus those of batches and the mean."""

    effects: np.ndarray
    """``(n_columns of the design, n_features)``"""
    own: np.ndarray
    """Columns of the design that the other modality does not show, bool."""
    batch: np.ndarray
    """``(n_batches, n_features)``"""
    mean: np.ndarray
    """``(n_features,)``"""
    depth: np.ndarray
    """Log depth of cells, ``(n_cells,)``"""

    def log_rates(self, design: np.ndarray, batch: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return log rates with effects of batches, ``(n, n_features)`` float32."""
        return self._at(design[cells], self.batch[batch[cells]], cells)

    def shared_log_rates(
        self, design: np.ndarray, known: np.ndarray, cells: np.ndarray
    ) -> np.ndarray:
        """Return them without what the other modality does not show, in the mean known batch."""
        return self._at(design[cells] * ~self.own, self.batch[known].mean(0), cells)

    def _at(self, design: np.ndarray, batch: np.ndarray, cells: np.ndarray) -> np.ndarray:
        values = design.astype(np.float32) @ self.effects
        return values + (self.mean + batch + self.depth[cells, None]).astype(np.float32)


class DeepCells:
    """Cells with `expressed` genes and `accessible` peaks in the median, and their rates.

    Attributes
    ----------
    mdata
        Counts. ``obs`` has ``cell_type`` and ``batch``; ``var`` of RNA has coordinates, of ATAC
        ``linked_gene`` (missing for peaks that follow none).
    """

    def __init__(
        self,
        n_cells: int,
        n_genes: int,
        n_peaks: int,
        *,
        expressed: int,
        accessible: int,
        n_lineages: int = 5,
        n_batches: int = 4,
        seed: int = 0,
    ):
        rng = np.random.default_rng(seed)
        self._rng = rng
        shares = rng.dirichlet(np.full(n_lineages, 4.0))
        lineage = rng.choice(n_lineages, n_cells, p=shares)
        progress = rng.normal(size=n_cells)
        stage = (norm.cdf(progress) * _N_STAGES).astype(int)
        self.batch = rng.integers(n_batches, size=n_cells)
        of_peak = self._links(n_genes, n_peaks)
        self.design, self._kinds, sizes = self._design(lineage, progress, n_lineages)
        self.rates = self._draw_rates(n_genes, n_peaks, n_batches, sizes, *of_peak)
        self._set_depth(expressed, accessible)
        types = [f"type {a}.{b}" for a, b in zip(lineage, stage, strict=True)]
        obs = pd.DataFrame(
            {
                "cell_type": pd.Categorical(types),
                "batch": pd.Categorical([f"batch {b}" for b in self.batch]),
            },
            index=[f"cell{i}" for i in range(n_cells)],
        )
        self.mdata = MuData(
            {
                "rna": AnnData(self._expressed(), obs=obs.copy(), var=_genes(n_genes, n_peaks)),
                "atac": AnnData(self._opened(), obs=obs.copy(), var=_peaks(n_genes, *of_peak)),
            }
        )
        for name in obs:
            self.mdata.obs[name] = obs[name]

    # -- truth

    def accessibility(self, cells: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Return the probability that each peak is seen open, ``(n, n_peaks)``.

        With `known` batches, as far as RNA can tell: without the effects of ATAC alone, and in the
        mean of these batches; but at the true depth.
        """
        return -np.expm1(-np.exp(self._log_rates("atac", cells, known)))

    def expression(
        self,
        cells: np.ndarray,
        target_sum: float,
        known: np.ndarray | None = None,
        n_draws: int = 20,
    ) -> np.ndarray:
        """Return the mean log2 of normalized counts over draws, ``(n, n_genes)``; see above."""
        rates = np.exp(self._log_rates("rna", cells, known))
        total = 0.0
        for _ in range(n_draws):
            counts = self._counts(rates)
            size = np.maximum(counts.sum(1, keepdims=True), 1)
            total = total + np.log2(1 + counts * (target_sum / size))
        return (total / n_draws).astype(np.float32)

    def _log_rates(self, name: str, cells: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        own = self.rates[name]
        if known is None:
            return own.log_rates(self.design, self.batch, cells)
        return own.shared_log_rates(self.design, known, cells)

    # -- drawing

    def _links(self, n_genes: int, n_peaks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a gene near each peak, and how far the peak follows it, ``(n_peaks,)`` each."""
        rng, nearest = self._rng, np.arange(n_peaks) * n_genes // n_peaks
        gene = nearest + rng.choice(_LINK_OFFSETS, n_peaks, p=_LINK_WEIGHTS)
        gene = gene.clip(0, n_genes - 1)
        here = _chrom(nearest, n_genes)
        gene = np.where(_chrom(gene, n_genes) == here, gene, nearest)
        follows = rng.random(n_peaks) < _LINKED
        return gene, np.where(follows, rng.uniform(*_LINK_STRENGTH, n_peaks), 0.0)

    def _design(
        self, lineage: np.ndarray, progress: np.ndarray, n_lineages: int
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
        """Return what effects are multiplied with, ``(n_cells, n_columns)``.

        And of each column which modality shows it, or ``"shared"``, and how large its effects are.
        """
        rng, n = self._rng, len(lineage)
        member = np.eye(n_lineages)[lineage]
        columns = [member, member * progress[:, None], member * np.cos(2 * progress)[:, None]]
        kinds, sizes = ["shared"] * 3 * n_lineages, [_LINEAGE] * n_lineages
        sizes += [_STAGE] * 2 * n_lineages
        for kind, k in _N_PROGRAMS.items():
            gate = np.where(rng.random((n_lineages, k)) < _GATED, 1.0, 0.0)
            gate[:, : round(k * (1 - _GATED))] = 1.0
            columns.append(rng.normal(size=(n, k)) * gate[lineage])
            kinds += [kind] * k
            sizes += [_PROGRAM] * k
        return np.hstack(columns).astype(np.float32), np.array(kinds), sizes

    def _draw_rates(
        self,
        n_genes: int,
        n_peaks: int,
        n_batches: int,
        sizes: list[tuple[float, float]],
        gene: np.ndarray,
        strength: np.ndarray,
    ) -> dict[str, _Rates]:
        """Return the rates of both modalities, whose depth is still to be set."""
        rng, kinds = self._rng, self._kinds

        def sparse(n: int) -> np.ndarray:
            changed = [rng.normal(0, std, n) * (rng.random(n) < share) for std, share in sizes]
            return np.array(changed, dtype=np.float32)

        drawn = {"rna": sparse(n_genes), "atac": sparse(n_peaks)}
        shared = (kinds == "shared")[:, None]
        activity = drawn["rna"] * shared
        effects = {
            "rna": np.where((kinds == "atac")[:, None], 0, drawn["rna"]),
            "atac": np.where((kinds == "atac")[:, None], drawn["atac"], 0)
            + activity[:, gene] * strength.astype(np.float32),
        }
        common = rng.normal(size=len(self.batch))
        found = {}
        for name, std in zip(effects, _DEPTH_SPREAD, strict=True):
            n = effects[name].shape[1]
            alone = rng.normal(size=len(self.batch))
            mixed = _DEPTH_CORRELATION**0.5 * common + (1 - _DEPTH_CORRELATION) ** 0.5 * alone
            found[name] = _Rates(
                effects=effects[name].astype(np.float32),
                own=kinds == name,
                batch=rng.normal(0, _BATCH, (n_batches, n)).astype(np.float32),
                mean=rng.normal(0, _SPREAD[name], n).astype(np.float32),
                depth=std * mixed,
            )
        return found

    def _set_depth(self, expressed: int, accessible: int) -> None:
        """Add to log depths what makes so many features appear in a typical cell."""
        probe = np.arange(min(_N_PROBE, len(self.batch)))
        for name, wanted in (("rna", expressed), ("atac", accessible)):
            rates = np.exp(self._log_rates(name, probe, None))
            power = np.inf if name == "atac" else 1 / _DISPERSION
            excess = partial(_n_seen, rates, power, wanted)
            self.rates[name].depth[:] += brentq(excess, -25, 10, xtol=1e-3)

    def _counts(self, rates: np.ndarray) -> np.ndarray:
        """Return negative binomial counts."""
        noise = self._rng.standard_gamma(1 / _DISPERSION, rates.shape, dtype=np.float32)
        return self._rng.poisson(rates * noise * np.float32(_DISPERSION)).astype(np.float32)

    def _expressed(self) -> sp.csr_matrix:
        parts = [sp.csr_matrix(self._counts(rates)) for rates in self._chunks("rna")]
        return sp.vstack(parts).tocsr()

    def _opened(self) -> sp.csr_matrix:
        parts = []
        for rates in self._chunks("atac"):
            # Seen where an exponential waiting time is shorter than the rate.
            waits = self._rng.standard_exponential(rates.shape, dtype=np.float32)
            parts.append(sp.csr_matrix((waits < rates).astype(np.float32)))
        return sp.vstack(parts).tocsr()

    def _chunks(self, name: str) -> Iterator[np.ndarray]:
        """Yield the rates of some cells, ``(n, n_features)``."""
        n_cells, n_features = len(self.batch), len(self.rates[name].mean)
        step = max(1, _AT_ONCE // n_features)
        for start in range(0, n_cells, step):
            cells = np.arange(start, min(start + step, n_cells))
            yield np.exp(self._log_rates(name, cells, None))


def deep_cells(
    n_cells: int,
    n_genes: int,
    n_peaks: int,
    *,
    expressed: int,
    accessible: int,
    seed: int = 0,
) -> MuData:
    """Draw counts of RNA and ATAC; see :class:`DeepCells`."""
    sizes = {"expressed": expressed, "accessible": accessible}
    return DeepCells(n_cells, n_genes, n_peaks, **sizes, seed=seed).mdata


def _n_seen(rates: np.ndarray, power: float, wanted: int, log_scale: float) -> float:
    """Return how many more features than wanted a typical cell has."""
    scaled = rates * np.exp(np.float32(log_scale))
    absent = np.exp(-scaled) if power == np.inf else (1 + scaled / power) ** -power
    return float(np.median((1 - absent).sum(1))) - wanted


def _chrom(gene: np.ndarray, n_genes: int) -> np.ndarray:
    return gene * _N_CHROMS // n_genes


def _genes(n_genes: int, n_peaks: int) -> pd.DataFrame:
    """Return the coordinates of genes: each begins where the peaks nearest to it do."""
    gene = np.arange(n_genes)
    start = _DISTANCE * (-(-gene * n_peaks // n_genes) + 3)
    return pd.DataFrame(
        {
            "chrom": pd.Categorical([f"chr{c + 1}" for c in _chrom(gene, n_genes)]),
            "start": start,
            "end": start + _DISTANCE,
        },
        index=[f"Gene{i:05d}" for i in gene],
    )


def _peaks(n_genes: int, gene: np.ndarray, strength: np.ndarray) -> pd.DataFrame:
    n_peaks = len(gene)
    chrom = _chrom(np.arange(n_peaks) * n_genes // n_peaks, n_genes) + 1
    start = _DISTANCE * (np.arange(n_peaks) + 3) + _DISTANCE // 2
    names = [f"chr{c}:{s}-{s + _WIDTH}" for c, s in zip(chrom, start, strict=True)]
    linked = pd.Categorical.from_codes(
        np.where(strength > 0, gene, -1), [f"Gene{i:05d}" for i in range(n_genes)]
    )
    return pd.DataFrame({"linked_gene": linked}, index=names)
