"""Map query cells to a reference: neighbors, labels, distance."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scmomer._constants import KEYS
from scmomer.data import (
    Layers,
    Profile,
    as_text,
    called,
    check_container,
    nearest,
    obs_column,
    reference_layers,
    with_values,
)
from scmomer.model import SCMOMER, resolve_model
from scmomer.tl._copy import Container, own
from scmomer.tl._embed import embed
from scmomer.tl._record import record, records

logger = logging.getLogger(__name__)
_N_CHECKED_CELLS = 64  # whose stored embedding is compared with the model's
_N_DISTANCE_CELLS = 2000  # reference cells for the typical distance


class Neighbors(NamedTuple):
    """Nearest reference cells of each query cell, closest first."""

    indices: np.ndarray
    """Positions in the reference, ``(n_query, n_neighbors)``."""
    distances: np.ndarray
    """Euclidean, ``(n_query, n_neighbors)``."""

    @property
    def weights(self) -> np.ndarray:
        """Gaussian weights, ``(n_query, n_neighbors)``; rows sum to 1."""
        squares = self.distances**2
        width = squares.mean(axis=1, keepdims=True)
        # Neighbors at distance 0 get equal weights.
        weights = np.exp(
            -0.5 * np.divide(squares, width, out=np.zeros_like(squares), where=width > 0)
        )
        return weights / weights.sum(axis=1, keepdims=True)


def map_to_reference(
    query: Container,
    reference: AnnData | MuData,
    model: SCMOMER | str | Path | None = None,
    *,
    labels_key: str | None = None,
    n_neighbors: int = 15,
    basis: str | None = None,
    key_added: str = "reference",
    batch_size: int | None = None,
    random_state: int = 0,
    copy: bool = False,
    reference_layer: str | Mapping[str, str] | None = None,
    reference_profile: Profile | None = None,
    **layers: Unpack[Layers],
) -> Container | None:
    r"""Map query cells to a reference and transfer its labels.

    Nothing is trained. Labels are transferred by weighted nearest neighbors as in scArches
    (Lotfollahi et al., Nature Biotechnology 2022), with a kernel that does not depend on the scale
    of the embedding: the :math:`j`-th nearest of :math:`k` reference cells, at distance
    :math:`d_j`, has weight

    .. math::

        w_j = \exp\left(-\frac{d_j^2}{2 s^2}\right), \qquad
        s^2 = \frac{1}{k} \sum_{j=1}^k d_j^2, \qquad
        p(l) = \frac{\sum_j w_j [l_j = l]}{\sum_j w_j},

    and a cell gets the label with the largest :math:`p`, its confidence. Confidence measures how
    much the neighbors agree, not how close they are; the distance does that.

    Parameters
    ----------
    query
        AnnData of one modality or MuData, with raw counts. Needs no setup; features are matched by
        name.
    reference
        The same, of the same or of other modalities. Not modified. Its ``obsm["X_scmomer"]`` is
        used if :func:`embed` wrote it with this model; otherwise its cells are embedded here.
    model
        Trained model, or the path of a saved one; None for the last one trained or loaded.
    labels_key
        Column of the reference's obs to transfer, such as cell types; None transfers no labels.
    n_neighbors
        Number of nearest reference cells, :math:`k`.
    basis
        Key of the reference's obsm, such as ``"X_umap"``: query cells get the weighted mean of
        their neighbors' coordinates.
    key_added
        Prefix of the names of the results.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    random_state
        Seed of the approximate neighbor search, used if the reference has more than 20,000 cells.
    copy
        Modify and return a copy of `query`.
    reference_layer
        Layer of the reference with raw counts: a name for an AnnData, ``{"rna": "counts"}`` for a
        MuData.
    reference_profile
        What the values of RNA are in the reference, as ``profile=`` for the query.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): layer
        with the raw counts of the query; default as in the training data, else ``X``.
        ``profile=``: what the values of RNA are, as in
        :meth:`scmomer.SCMOMER.get_latent_representation`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds the results of :func:`embed`, and

        ``obs[key_added + "_distance"]``
            Mean distance to the neighbors, relative to the median of the same distance among
            reference cells: about 1 for cells like those of the reference, larger for cells that
            are not in it.
        ``obs[key_added + "_label"]``
            If `labels_key`: label, categorical with the categories of the reference.
        ``obs[key_added + "_confidence"]``
            Probability of that label, in ``[0, 1]``.
        ``obsm[key_added + "_probabilities"]``
            Shape ``(n_cells, n_labels)``, float32; rows sum to 1. Columns are the labels in
            ``uns["scmomer"]["map_to_reference"]["params"]["classes"]``, the order of the categories
            of ``obs[key_added + "_label"]``.
        ``obsm[basis]``
            If `basis`: coordinates among the reference cells.
        ``uns["scmomer"]``
            Parameters and model id.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    KeyError
        If the reference lacks `labels_key` or `basis`.
    ValueError
        If labels have missing values, `n_neighbors` is too large for the reference, values are not
        counts, or query or reference shares no feature with the model.

    Examples
    --------
    >>> scmomer.tl.map_to_reference(query, reference, model, labels_key="cell_type")
    >>> query.obs[["reference_label", "reference_confidence"]]
    """
    model = resolve_model(model)
    with called("query"):
        check_container(query)
    with called("reference", "reference_layer"):
        check_container(reference)
        _check_n_neighbors(n_neighbors, reference.n_obs)
        labels = None if labels_key is None else reference_labels(reference, labels_key)
        coordinates = None if basis is None else _coordinates(reference, basis)
        known = reference_embedding(
            reference,
            model,
            batch_size,
            reference_layers(reference, reference_layer, reference_profile),
        )
    query = own(query, copy)
    with called("query"):
        embed(query, model, batch_size=batch_size, **layers)
    z = np.asarray(query.obsm[KEYS.OBSM], np.float64)
    found = neighbors(z, known, n_neighbors, random_state)
    typical = typical_distance(known, n_neighbors, random_state)
    query.obs[f"{key_added}_distance"] = found.distances.mean(axis=1) / typical
    if labels is not None:
        write_labels(query, label_probabilities(found, labels), key_added)
    if basis is not None and coordinates is not None:
        rows = _as_matrix(found, reference.n_obs)
        query.obsm[basis] = (rows @ coordinates).astype(np.float32)
    record(
        query,
        model,
        "map_to_reference",
        labels_key=labels_key,
        n_neighbors=n_neighbors,
        basis=basis,
        key_added=key_added,
        classes=None if labels is None else labels.categories,
    )
    return query if copy else None


def _check_n_neighbors(n_neighbors: int, n_reference: int) -> None:
    # Reference cells are also compared with each other, and a cell is not its own neighbor.
    if not 1 <= n_neighbors < n_reference:
        msg = (
            f"Expected n_neighbors of at least 1 and less than the {n_reference} cells of the "
            f"reference, found {n_neighbors}. Change n_neighbors=, or pass more reference cells."
        )
        raise ValueError(msg)


def reference_labels(reference: AnnData | MuData, key: str) -> pd.Categorical:
    """Return the label of each reference cell as text, ``(n_reference,)``.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If a cell has no label.
    """
    column = obs_column(reference, key, "labels_key=")
    if column.isna().any():
        msg = (
            f"Expected a label of {key!r} for every cell of the reference, found "
            f"{int(column.isna().sum())} of {len(column)} missing. Drop these cells "
            f"(`{with_values(reference, key)}`) or give them a label."
        )
        raise ValueError(msg)
    names = column.astype(object).map(as_text)
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories().cat.categories  # keeps the user's order
        return pd.Categorical(names, categories=list(dict.fromkeys(map(as_text, used))))
    return pd.Categorical(names)


def _coordinates(reference: AnnData | MuData, basis: str) -> np.ndarray:
    """Return the coordinates of reference cells, ``(n_reference, n_dims)``."""
    if basis not in reference.obsm:
        msg = (
            f"Expected {basis!r} in the reference's obsm, found {sorted(reference.obsm)}. "
            "Run scanpy.tl.umap on the reference first, or leave out basis=."
        )
        raise KeyError(msg)
    return np.asarray(reference.obsm[basis], np.float64)


def reference_embedding(
    reference: AnnData | MuData, model: SCMOMER, batch_size: int | None, layers: Layers
) -> np.ndarray:
    """Return the embedding of reference cells, ``(n_reference, n_latent)``; stored if valid."""
    entry = records(reference).get("embed")
    by_model = isinstance(entry, Mapping) and entry.get("model_id") == model.id
    if by_model and KEYS.OBSM in reference.obsm:
        kept = np.asarray(reference.obsm[KEYS.OBSM])  # may be a data frame
        some = np.unique(np.linspace(0, reference.n_obs - 1, _N_CHECKED_CELLS).astype(int))
        now = model.get_latent_representation(
            reference, indices=some, batch_size=batch_size, **layers
        )
        if kept.shape[1] == now.shape[1] and np.allclose(kept[some], now, rtol=1e-3, atol=1e-3):
            return np.asarray(kept, np.float64)
        logger.info(
            "obsm[%r] of the reference differs from the model's embedding: embedding it again.",
            KEYS.OBSM,
        )
    z = model.get_latent_representation(reference, batch_size=batch_size, **layers)
    return np.asarray(z, np.float64)


def neighbors(query: np.ndarray, index: np.ndarray, k: int, random_state: int) -> Neighbors:
    """Return the `k` nearest cells of `index` for each of `query`, with distances."""
    indices = nearest(query, index, k, random_state)
    # One neighbor at a time, to avoid an array of query x neighbors x dimensions.
    distances = [np.linalg.norm(query - index[indices[:, j]], axis=1) for j in range(k)]
    return Neighbors(indices, np.stack(distances, axis=1))


def typical_distance(index: np.ndarray, k: int, random_state: int) -> float:
    """Return the median over reference cells of the mean distance to `k` nearest neighbors."""
    rng = np.random.default_rng(random_state)
    some = rng.choice(len(index), min(len(index), _N_DISTANCE_CELLS), replace=False)
    found = neighbors(index[some], index, k + 1, random_state)
    typical = float(np.median(found.distances[:, 1:].mean(axis=1)))  # the first is the cell itself
    return typical or 1.0  # if all cells are equal


def _as_matrix(found: Neighbors, n_reference: int) -> sp.csr_matrix:
    """Return the weights as query x reference; rows sum to 1."""
    n, k = found.indices.shape
    starts = np.arange(n + 1) * k
    shape = (n, n_reference)
    return sp.csr_matrix((found.weights.ravel(), found.indices.ravel(), starts), shape=shape)


def label_probabilities(found: Neighbors, labels: pd.Categorical) -> pd.DataFrame:
    """Return the weighted share of each label among the neighbors, ``(n_query, n_labels)``."""
    n, n_labels = len(labels), len(labels.categories)
    member = sp.csr_matrix((np.ones(n), (np.arange(n), labels.codes)), shape=(n, n_labels))
    shares = (_as_matrix(found, n) @ member).toarray()
    return pd.DataFrame(np.clip(shares, 0, 1).astype(np.float32), columns=list(labels.categories))


def write_labels(data: AnnData | MuData, probabilities: pd.DataFrame, key: str) -> None:
    """Write label, confidence and probabilities of each cell."""
    values = probabilities.to_numpy()
    best = values.argmax(axis=1)
    names = pd.Index(probabilities.columns)
    data.obs[f"{key}_label"] = pd.Categorical.from_codes(best, categories=names)
    data.obs[f"{key}_confidence"] = values[np.arange(len(values)), best]
    # An array: files cannot hold a data frame with a column named CD4/CD8.
    data.obsm[f"{key}_probabilities"] = values
