"""Small data sets to start from a pretrained model, and the corpora that leave them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from _simulated_atlas import Atlas
from _sources import DATA, NAME, Source, human_rna, mouse_cortex, read_source
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs

LABEL = "label"
N_STUDIES, CELLS_PER_STUDY, TYPES_PER_STUDY = 30, 10_000, 12
N_SIMULATED = 10
Data = AnnData | MuData


@dataclass(frozen=True)
class Target:
    """A small data set, and what the model that it starts from was pretrained on."""

    source: str
    """Name of the pretrained model."""
    load: Callable[[], Data]
    """Returns raw counts with ``obs["label"]``, and batches if there are some."""
    to: str | None = None
    """Modality that is translated from RNA."""
    group: str = ""
    """Targets that are reported together."""


@dataclass(frozen=True)
class Pretraining:
    """How a model to start from is made: files, and options of ``pretrain.py``."""

    files: Callable[[Path], list[Source]]
    options: tuple[str, ...]


# -- targets


def snare(fold: str) -> Data:
    """Return two batches of the mouse cortex, cells without a subtype left out."""
    cells = scmomer.datasets.snareseq_cortex()
    labels = cells.obs["cell_subtype"].astype(str).to_numpy()
    chosen = cells.obs["batch"].isin(fold.split("+")).to_numpy() & (labels != "Mis")
    found = cells[chosen].copy()
    found.obs = pd.DataFrame(
        {"batch": found.obs["batch"].astype(str), LABEL: labels[chosen]}, index=found.obs_names
    )
    return found


def rna_of(name: str, label: str) -> Data:
    """Return a file of the human corpus with the names of its genes."""
    source = replace(next(s for s in human_rna() if s.name == name), batch_key="")
    adata = read_source(source)["rna"]
    adata.var_names = pd.Index(adata.var[NAME].astype(str))
    adata = adata[:, ~adata.var_names.duplicated() & (adata.var_names != "")].copy()
    adata.obs[LABEL] = read_labels(source, label).reindex(adata.obs_names).to_numpy()
    return adata[(adata.obs[LABEL] != "nan").to_numpy()].copy()


def read_labels(source: Source, label: str) -> pd.Series:
    """Return a column of obs of a file."""
    import anndata as ad

    return ad.read_h5ad(source.path, backed="r").obs[label].astype(str)


def blood() -> Data:
    """Return the paired cells of a CITE-seq data set of blood, RNA and protein."""
    mdata = mudata.read_h5mu(DATA / "protein" / "pbmc_rna_adt_mosaic.h5mu")
    both = mdata["rna"].obs_names.intersection(mdata["adt"].obs_names)
    obs = mdata.obs.loc[both]
    label = "cell_type" if "cell_type" in obs else "celltype"
    kept = pd.DataFrame(
        {"batch": obs["batch"].astype(str), LABEL: obs[label].astype(str)}, index=both
    )
    parts = {
        m: AnnData(mdata[key][both].X.astype(np.float32), obs=kept.copy(), var=mdata[key].var[[]])
        for m, key in (("rna", "rna"), ("protein", "adt"))
    }
    with keep_obs():
        found = MuData(parts)
    found.obs = kept
    return found


def simulated(number: int) -> Data:
    """Return 2,000 cells of ten types and two batches that the atlas does not have."""
    found = Atlas().draw(2_000, 10, 2, number, f"new{number}")
    found.obs[LABEL] = found.obs["cell_type"]
    return found


TARGETS: dict[str, Target] = {
    "SNARE-seq 09F+09H": Target("cortex_09F+09H", lambda: snare("09F+09H"), "atac"),
    "SNARE-seq 09B+09G": Target("cortex_09B+09G", lambda: snare("09B+09G"), "atac"),
    "blood CITE-seq": Target("human_without_kang", blood, "protein"),
    "Kang": Target("human_without_kang", lambda: rna_of("kang", "cell_type")),
    "pancreas Xin": Target("human", lambda: rna_of("xin", "cell_type")),
    "pancreas Wang": Target("human", lambda: rna_of("wang", "cell_type")),
    **{
        f"simulated {i}": Target("atlas", lambda i=i: simulated(i), "atac", "simulated")
        for i in range(N_SIMULATED)
    },
}


# -- corpora


def atlas_files(folder: Path) -> list[Source]:
    """Return the studies of the simulated atlas, written to a folder if they are not there."""
    place = folder / "atlas_files"
    Atlas().write(place, N_STUDIES, CELLS_PER_STUDY, TYPES_PER_STUDY)
    return [Source(p.stem, p, batch_key="batch") for p in sorted(place.glob("*.h5mu"))]


def _human(*without: str) -> Callable[[Path], list[Source]]:
    return lambda folder: [s for s in human_rna() if s.name not in without]


def _cortex(fold: str) -> Callable[[Path], list[Source]]:
    return lambda folder: [s for s in mouse_cortex() if s.name not in fold.split("+")]


_ONE_ROUND = ("--rounds", "1")
PRETRAININGS: dict[str, Pretraining] = {
    **{
        f"cortex_{fold}": Pretraining(_cortex(fold), (*_ONE_ROUND, "--min-cells", "0"))
        for fold in ("09F+09H", "09B+09G")
    },
    "human": Pretraining(_human("xin", "wang", "mosaic", "bmmc_cite"), _ONE_ROUND),
    "human_without_kang": Pretraining(
        _human("kang", "xin", "wang", "mosaic", "bmmc_cite"), _ONE_ROUND
    ),
    "atlas": Pretraining(
        atlas_files, ("--rounds", "3", "--cells-per-round", "50000", "--max-epochs", "1")
    ),
}
