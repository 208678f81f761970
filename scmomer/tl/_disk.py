"""Translations written to disk chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scmomer._constants import KEYS, Modality
from scmomer.model import SCMOMER
from scmomer.tl._record import record


def write_translation(
    path: Path,
    data: AnnData,
    model: SCMOMER,
    to: Modality,
    var: pd.DataFrame,
    options: dict[str, Any],
    layers: Mapping[str, Any],
) -> AnnData:
    """Write a translation into ``path`` (.h5ad) and return it backed.

    ``layers["scmomer"]`` is not written: anndata reads layers into memory when it opens a file.
    """
    _check_path(path, data)
    translation = model._translation(
        data,
        to,
        options["features"],
        None,
        options.get("depth", "mean"),
        options["batch"],
        options["batch_size"],
        layers,
        options.get("depth_share"),
    )
    shape = translation.shape
    empty = sp.csr_matrix(shape, dtype=np.float32)
    frame = AnnData(empty, obs=data.obs.copy(), var=var, obsm=dict(data.obsm))
    record(frame, model, f"translate_{to}", **options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_h5ad(path)
    except OSError as error:
        msg = (
            f"Cannot write path={str(path)!r}: {error}. If the file is open as an AnnData, "
            "close it "
            "(`adata.file.close()`), or pass another path."
        )
        raise OSError(msg) from error
    chunk = (min(shape[0], 256), min(shape[1], 1024)) if min(shape) else None
    with h5py.File(path, "r+") as file:
        del file["X"]
        dataset = _create(file, "X", shape, chunk)
        std = None
        if options["uncertainty"]:
            std = _create(file["layers"], KEYS.STD_LAYER, shape, chunk)
        for rows, values, deviation in translation.chunks(options["uncertainty"]):
            dataset[rows] = values
            if std is not None:
                std[rows] = deviation
    return anndata.read_h5ad(path, backed="r")


def _check_path(path: Path, data: AnnData) -> None:
    """Raise if this is not the path of a new .h5ad file."""
    own_file = data.isbacked and Path(data.file.filename).resolve() == path.resolve()
    if path.suffix == ".h5ad" and not path.is_dir() and not own_file:
        return
    found = "the file of the data" if own_file else repr(str(path))
    msg = f"Expected path= to be another file that ends in .h5ad, found {found}."
    raise ValueError(msg)


def _create(
    group: h5py.Group, name: str, shape: tuple[int, int], chunk: tuple[int, int] | None
) -> h5py.Dataset:
    compression = None if chunk is None else "lzf"
    dataset = group.create_dataset(name, shape, np.float32, chunks=chunk, compression=compression)
    dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return dataset
