"""Integration scores of embeddings, compared with other methods."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from sklearn.neighbors import NearestNeighbors

from scmomer._constants import (
    INTEGRATION_BATCH,
    INTEGRATION_BIO,
    INTEGRATION_KEY,
    INTEGRATION_SCORES,
    KEYS,
)
from scmomer._logging import keep_root
from scmomer.data import check_container, obs_column, with_values
from scmomer.metrics import check_batches_and_types, check_matrix, import_scib_metrics
from scmomer.tl._integration_methods import Method, check_methods, make_embeddings

_MAX_EXACT_CELLS = 20_000  # up to here, exact search is faster than building an index


def integration_report(
    data: AnnData | MuData,
    *,
    batch_key: str,
    labels_key: str,
    use_rep: str | Sequence[str] = (KEYS.OBSM,),
    methods: Sequence[Method] = ("pca",),
    layer: str | None = None,
    max_epochs: int | None = None,
    kbet: bool = False,
    n_jobs: int = 1,
) -> pd.DataFrame:
    r"""Score embeddings by scib-metrics, beside PCA, Harmony and SCVI of the same cells.

    Runs the ``Benchmarker`` of scib-metrics (Luecken et al., Nature Methods 2022) with its
    defaults, without PC regression (which needs a pre-integration embedding) and, unless
    ``kbet=True``, without kBET (slow). Neighbors are exact up to 20,000 cells. With the means of
    both groups of metrics,

    .. math::

        \mathrm{total} = 0.6 \cdot \mathrm{bio\ conservation} + 0.4 \cdot \mathrm{batch\
        correction}.

    Parameters
    ----------
    data
        AnnData or MuData with embeddings in obsm.
    batch_key, labels_key
        Columns of obs with the batch and the cell type of each cell.
    use_rep
        Keys of obsm to score.
    methods
        Embeddings to compute from the RNA of these cells and to score as well: ``"pca"``, 50
        components of log-normalized counts of the 2,000 most variable genes; ``"harmony"``, Harmony
        on these components (``pip install harmonypy``); ``"scvi"``, SCVI with its defaults, which
        trains for minutes. These methods are fitted to the scored cells; scMomer is not fitted to a
        query.
    layer
        Layer of the RNA with raw counts; None for ``X``. Used only by `methods`.
    max_epochs
        Epochs of SCVI; None for its default.
    kbet
        Add kBET to batch correction.
    n_jobs
        Threads of the neighbor search; -1 for all.

    Returns
    -------
    pandas.DataFrame
        One row for each embedding, named as in obsm or ``"PCA"``, ``"Harmony"``, ``"SCVI"``.
        Columns are metrics, best at 1: for bio conservation ``isolated_labels``, ``kmeans_nmi``,
        ``kmeans_ari``, ``silhouette_label``, ``clisi``; for batch correction ``bras``, ``ilisi``,
        ``kbet`` if `kbet`, ``graph_connectivity``; then ``bio_conservation``, ``batch_correction``,
        ``total``. Also written to ``data.uns["scmomer"]["integration_report"]``, as ``"table"``
        beside ``"params"``.

    Raises
    ------
    ImportError
        If scib-metrics or a package of a method is not installed; the message has the command.
    KeyError
        If a column, embedding or layer is absent.
    ValueError
        If batches or labels have missing values or fewer than two values, a method is unknown, or
        values are not counts.

    Examples
    --------
    >>> scmomer.tl.embed(mdata, model)
    >>> scmomer.tl.integration_report(mdata, batch_key="batch", labels_key="cell_type")
    >>> scmomer.pl.integration(mdata)
    """
    check_container(data)
    import_scib_metrics()
    keys = [use_rep] if isinstance(use_rep, str) else list(use_rep)
    chosen = check_methods(methods)
    obs = pd.DataFrame({"batch": _column(data, batch_key), "label": _column(data, labels_key)})
    check_batches_and_types(*(pd.factorize(obs[name])[0] for name in obs))
    embeddings = {key: _embedding(data, key) for key in keys}
    if not embeddings and not chosen:
        msg = "There is no embedding to score. Set use_rep= or methods=."
        raise ValueError(msg)
    embeddings |= make_embeddings(data, chosen, obs["batch"], layer, max_epochs)
    table = _scores(embeddings, obs, kbet, n_jobs)
    params = {
        "batch_key": batch_key,
        "labels_key": labels_key,
        "use_rep": keys,
        "methods": list(chosen),
        "kbet": kbet,
    }
    entry = {"params": params, "table": table.copy()}
    data.uns[KEYS.UNS] = {**data.uns.get(KEYS.UNS, {}), INTEGRATION_KEY: entry}
    return table


def _column(data: AnnData | MuData, key: str) -> pd.Series:
    """Return a column of obs as text; raise if a cell has no value."""
    column = obs_column(data, key, "batch_key= or labels_key=")
    if column.isna().any():
        msg = (
            f"Expected a value of {key!r} for every cell, found {int(column.isna().sum())} of "
            f"{len(column)} missing. Drop these cells (`{with_values(data, key)}`)."
        )
        raise ValueError(msg)
    return column.astype(str)


def _embedding(data: AnnData | MuData, key: str) -> np.ndarray:
    if key not in data.obsm:
        msg = (
            f"Expected an embedding {key!r} in obsm, found {sorted(data.obsm)}. Run "
            "scmomer.tl.embed first, or set use_rep=."
        )
        raise KeyError(msg)
    return np.asarray(check_matrix(f"obsm[{key!r}]", np.asarray(data.obsm[key])), np.float32)


def _scores(
    embeddings: dict[str, np.ndarray], obs: pd.DataFrame, kbet: bool, n_jobs: int
) -> pd.DataFrame:
    """Return the metrics and their means, ``(n_embeddings, n_metrics)``."""
    from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation

    adata = AnnData(obs=obs, obsm=dict(embeddings))
    benchmark = Benchmarker(
        adata,
        "batch",
        "label",
        list(embeddings),
        BioConservation(),
        BatchCorrection(kbet_per_label=kbet, pcr_comparison=False),
        # Only for the metric that is left out; by default it would be computed from the empty X.
        pre_integrated_embedding_obsm_key=next(iter(embeddings)),
        n_jobs=n_jobs,
        progress_bar=False,
    )
    exact = adata.n_obs <= _MAX_EXACT_CELLS
    benchmark.prepare(partial(_exact_neighbors, n_jobs=n_jobs) if exact else None)
    with keep_root():
        benchmark.benchmark()
    found: Any = benchmark.get_results(clean_names=False)
    table = found.loc[list(embeddings)].astype(float)
    names = ("Bio conservation", "Batch correction", "Total")
    table = table.rename(
        columns=INTEGRATION_BIO
        | INTEGRATION_BATCH
        | dict(zip(names, INTEGRATION_SCORES, strict=True))
    )
    table = table[
        [
            name
            for name in (
                *INTEGRATION_BIO.values(),
                *INTEGRATION_BATCH.values(),
                *INTEGRATION_SCORES,
            )
            if name in table
        ]
    ]
    table.index.name, table.columns.name = "embedding", None
    return table


def _exact_neighbors(x: np.ndarray, k: int, n_jobs: int) -> Any:
    from scib_metrics.nearest_neighbors import NeighborsResults

    distances, indices = NearestNeighbors(n_neighbors=k, n_jobs=n_jobs).fit(x).kneighbors(x)
    return NeighborsResults(indices, distances)
