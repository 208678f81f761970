"""A corpus of files with different features, and shards of it: cells of all files.

Files are opened one at a time; of each, only the drawn cells are kept. A shard follows from the
seed and the number of its round alone.
"""

from __future__ import annotations

import gc
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import _sources
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _sources import BATCH, MODALITIES, NAME, Parts, Source
from _vocabulary import Rule, Survey, choose, survey
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs

MAX_BATCHES = 20  # of a file; with more, the file is one batch
MIN_CELLS = 2  # of a file or batch in a shard


@dataclass(frozen=True)
class Corpus:
    """Files with common features."""

    surveys: list[Survey]
    """Of the files that are used."""
    features: dict[str, pd.Index]
    """Common genes and peaks."""
    kept: dict[str, tuple[str, ...]]
    """Modalities of each file that are used."""
    dropped: dict[str, str]
    """Files, or modalities of files, that are not used, and why."""

    @property
    def n_cells(self) -> dict[str, int]:
        """Cells of each file."""
        return {s.source.name: s.n_with(self.kept[s.source.name]) for s in self.surveys}


# -- the first pass


def survey_files(sources: list[Source]) -> list[Survey]:
    """Open each file once."""
    for attribute in ("species", "assembly"):
        found = sorted({v for s in sources if (v := getattr(s, attribute))})
        if len(found) > 1:
            raise SystemExit(
                f"Expected files of one {attribute}, found {found}. Train one model for each, or "
                "bring the files together first (scmomer.pp.align_genes(..., orthologs=), liftOver)."
            )
    found = []
    for source in sources:
        found.append(survey(source, _sources.read_source(source)))
        gc.collect()  # AnnData refers to itself, and would be there when the next is read
    return found


def make_corpus(surveys: list[Survey], rule: Rule) -> Corpus:
    """Choose common features and the files that share enough of them."""
    features: dict[str, pd.Index] = {}
    dropped: dict[str, str] = {}
    kept: dict[str, tuple[str, ...]] = {s.source.name: () for s in surveys}
    for m in MODALITIES:
        having = [s for s in surveys if m in s.features]
        if not having:
            continue
        features[m], few = choose(having, m, rule)
        dropped |= {f"{name}, {m}": reason for name, reason in few.items()}
        for s in having:
            if s.source.name not in few:
                kept[s.source.name] += (m,)
    used = [s for s in surveys if kept[s.source.name]]
    if len(features) > 1 and not any(s.n_paired for s in used if len(kept[s.source.name]) > 1):
        raise SystemExit(
            "Expected a file (.h5mu) with cells that have both RNA and ATAC, found none. Add one, "
            "or make pairs with scmomer.pp.pair_cells."
        )
    return Corpus(used, features, {name: m for name, m in kept.items() if m}, dropped)


# -- shards


def sizes(n_cells: dict[str, int], total: int) -> dict[str, int]:
    """Return how many cells to draw: in proportion to the square root, at most all, about `total`.

    What files with few cells cannot give is given by the others.
    """
    left, drawn = dict(n_cells), dict.fromkeys(n_cells, 0)
    while left:
        unit = total / sum(n**0.5 for n in left.values())
        full = {name: n for name, n in left.items() if unit * n**0.5 >= n}
        if not full:
            drawn |= {k: min(n, max(MIN_CELLS, round(unit * n**0.5))) for k, n in left.items()}
            break
        drawn |= full
        total -= sum(full.values())
        left = {name: n for name, n in left.items() if name not in full}
    return drawn


def make_shard(corpus: Corpus, cells_per_round: int, number: int, seed: int) -> AnnData | MuData:
    """Return the cells of a round, of all files, with raw counts of the common features.

    Cells have the modalities that they were measured in. ``obs["batch"]`` is the name of the file,
    with its own batch if the file has some.
    """
    n = sizes(corpus.n_cells, cells_per_round)
    drawn: dict[str, list[AnnData]] = {m: [] for m in corpus.features}
    for s in corpus.surveys:
        name = s.source.name
        for m, part in _draw(corpus, s.source, n[name], number, seed).items():
            drawn[m].append(part)
    parts = {m: _joined(found, corpus.features[m]) for m, found in drawn.items()}
    if len(parts) == 1:
        return next(iter(parts.values()))
    obs = pd.concat([p.obs for p in parts.values()])
    with keep_obs():
        return MuData(parts, obs=obs[~obs.index.duplicated()])


def _draw(corpus: Corpus, source: Source, n: int, number: int, seed: int) -> Parts:
    """Return the drawn cells of a file, by modality."""
    found = _sources.read_source(source)
    parts = {m: found[m] for m in corpus.kept[source.name]}
    own = pd.concat([p.obs[BATCH] for p in parts.values()])
    own = own[~own.index.duplicated()]
    if own.nunique() > MAX_BATCHES:
        own[:] = ""
    cells = own.index[draw_rows(own.to_numpy(), n, number, seed, source.name)]
    drawn = {m: part[part.obs_names.isin(cells)].copy() for m, part in parts.items()}
    del found, parts  # all other cells
    gc.collect()  # AnnData refers to itself
    batch = own.map({b: f"{source.name}:{b}" if b else source.name for b in own.unique()})
    return {
        m: _aligned(part, m, corpus.features[m], batch, source.name)
        for m, part in drawn.items()
        if part.n_obs
    }


def draw_rows(own: np.ndarray, n: int, number: int, seed: int, name: str) -> np.ndarray:
    """Return the positions of `n` cells of a file, in order.

    Batches of the file share `n` as files share a round. The cells of each have an order that
    depends on `seed`; a round takes the next ones, and starts again after the last.
    """
    batches = {str(b): np.flatnonzero(own == b) for b in pd.unique(own)}
    wanted = sizes({b: len(rows) for b, rows in batches.items()}, n)
    drawn = []
    for b, rows in batches.items():
        rng = np.random.default_rng([seed, zlib.crc32(f"{name}:{b}".encode())])
        places = number * wanted[b] + np.arange(wanted[b])
        drawn.append(rng.permutation(rows)[places % len(rows)])
    return np.sort(np.concatenate(drawn))


def _aligned(
    part: AnnData, modality: str, features: pd.Index, batch: pd.Series, name: str
) -> AnnData:
    part.obs[BATCH] = batch.reindex(part.obs_names)
    part.obs_names = f"{name}:" + part.obs_names
    with _without_lines():
        if modality == "rna":
            return scmomer.pp.align_genes(part, features, gene_key=NAME)
        return scmomer.pp.align_peaks(part, features, min_share=0)


@contextmanager
def _without_lines() -> Iterator[None]:
    """Do not log a line for each file and round."""
    logger = logging.getLogger("scmomer.pp")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _joined(parts: list[AnnData], features: pd.Index) -> AnnData:
    X = sp.vstack([p.X for p in parts], format="csr", dtype=np.float32)
    return AnnData(X, obs=pd.concat([p.obs for p in parts]), var=pd.DataFrame(index=features))
