"""MULTIVI of scvi-tools on the same split: trained on all cells without held-out accessibility."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import mudata
import numpy as np
import scipy.sparse as sp
import scvi
from _measure import peak_mb, read_arrays, write_arrays
from mudata import MuData


def run_multivi(
    mdata: MuData,
    fold: str,
    seed: int,
    epochs: int,
    models: Path | None = None,
    *,
    missing: dict[str, np.ndarray] | None = None,
    name: str = "",
) -> dict[str, Any]:
    """Train, translate and embed the held-out cells, in the order of `mdata`.

    MULTIVI cannot embed new cells without training on them, so it is trained with their RNA. With
    `missing` (masks of cells by modality), further cells lack a modality. MULTIVI treats a modality
    without counts as not measured. With `models`, results are read from or written to that folder,
    by fold and `name`.

    Returns
    -------
    dict
        ``translated`` (n, n_peaks), ``embedded`` (n, n_latent), ``seconds``, ``core_seconds``
        and ``peak_mb`` of training, ``epochs``; with `missing` also ``expressed``, shares of
        counts of the cells without RNA, (n, n_genes).
    """
    path = None if models is None else models / f"{fold}{name}_{seed}_multivi_{epochs}.npz"
    if path is not None and path.exists():
        return read_arrays(path)
    scvi.settings.seed = seed
    held_out = mdata.obs["batch"].isin(fold.split("+")).to_numpy()
    masks = {"rna": np.zeros(mdata.n_obs, bool), "atac": held_out}
    parts = {}
    for m, hidden in masks.items():  # MULTIVI expects genes in the first columns
        shown = ~(hidden | (missing or {}).get(m, False))
        parts[m] = mdata[m].copy()
        parts[m].X = (sp.diags(shown.astype(np.float32)) @ mdata[m].X).tocsr()
        parts[m].X.eliminate_zeros()
    data = mudata.MuData(parts)
    data.obs["batch"] = mdata.obs["batch"].to_numpy()
    trained: list[Any] = []

    def fit() -> None:
        scvi.model.MULTIVI.setup_mudata(
            data, batch_key="batch", modalities={"rna_layer": "rna", "atac_layer": "atac"}
        )
        sizes = {"n_genes": data["rna"].n_vars, "n_regions": data["atac"].n_vars}
        trained.append(scvi.model.MULTIVI(data, **sizes))
        trained[0].train(max_epochs=epochs, enable_progress_bar=False)

    started, cores = time.perf_counter(), time.process_time()
    mb = peak_mb(fit, "cpu")
    seconds, core_seconds = time.perf_counter() - started, time.process_time() - cores
    model = trained[0]
    cells = np.flatnonzero(held_out)
    found = {
        "translated": np.asarray(
            model.get_normalized_accessibility(indices=cells, return_numpy=True), np.float32
        ),
        "embedded": model.get_latent_representation(indices=cells),
        "seconds": seconds,
        "core_seconds": core_seconds,
        "peak_mb": mb,
        "epochs": int(model.trainer.current_epoch),
    }
    if missing is not None:
        found["expressed"] = np.asarray(
            model.get_normalized_expression(
                indices=np.flatnonzero(missing["rna"]), return_numpy=True
            ),
            np.float32,
        )
    if path is not None:
        write_arrays(path, found)
    return found
