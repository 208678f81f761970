"""Integration: against scib-metrics on neighbors from all distances, by its properties, and its errors."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from scmomer.metrics import integration

N_CELLS = 240


@pytest.fixture
def labels() -> NDArray[np.str_]:
    """Three labels in turn, ``(N_CELLS,)``."""
    return np.array(["a", "b", "c"] * (N_CELLS // 3))


@pytest.fixture
def batch() -> NDArray[np.str_]:
    """Two batches, each with all labels, ``(N_CELLS,)``."""
    return np.repeat(["first", "second"], N_CELLS // 2)


@pytest.fixture
def embedding(labels: NDArray[np.str_]) -> NDArray[np.float64]:
    """Clouds, one per label, batches mixed, ``(N_CELLS, 5)``."""
    centers = 4 * np.eye(5)[pd.factorize(labels)[0]]
    return centers + np.random.default_rng(0).normal(size=centers.shape)


def test_is_that_of_scib_metrics(embedding: NDArray, batch: NDArray, labels: NDArray) -> None:
    scib_metrics = pytest.importorskip("scib_metrics")
    distance = np.linalg.norm(embedding[:, None] - embedding, axis=2)
    nearest = np.argsort(distance, axis=1)[:, :90]
    neighbors = scib_metrics.nearest_neighbors.NeighborsResults(
        nearest, np.take_along_axis(distance, nearest, axis=1)
    )
    fifteen = neighbors.subset_neighbors(15)
    assert integration(embedding, batch, labels) == pytest.approx(
        {
            "ilisi": scib_metrics.ilisi_knn(neighbors, batch),
            "bras": scib_metrics.bras(embedding, labels, batch),
            "clisi": scib_metrics.clisi_knn(neighbors, labels),
            "graph_connectivity": scib_metrics.graph_connectivity(fifteen, labels),
            "silhouette_label": scib_metrics.silhouette_label(embedding, labels),
        },
        abs=1e-5,
    )


def test_moving_a_batch_is_seen(embedding: NDArray, batch: NDArray, labels: NDArray) -> None:
    pytest.importorskip("scib_metrics")
    mixed = integration(embedding, batch, labels)
    moved = integration(embedding + 20 * (batch == "second")[:, None], batch, labels)
    assert mixed["ilisi"] > 0.8 and mixed["bras"] > 0.8
    assert moved["ilisi"] < 0.1 and moved["bras"] < mixed["bras"] - 0.1
    assert moved["graph_connectivity"] == pytest.approx(0.5, abs=0.02)  # a component per batch
    assert mixed["graph_connectivity"] > 0.9


def test_shuffled_labels_are_seen(embedding: NDArray, batch: NDArray, labels: NDArray) -> None:
    pytest.importorskip("scib_metrics")
    kept = integration(embedding, batch, labels)
    lost = integration(embedding, batch, np.random.default_rng(0).permutation(labels))
    for name in ("clisi", "silhouette_label"):
        assert lost[name] < kept[name] - 0.1


def test_cells_without_label_or_batch_do_not_count(
    embedding: NDArray, batch: NDArray, labels: NDArray
) -> None:
    pytest.importorskip("scib_metrics")
    padded = np.vstack([embedding, np.full((20, 5), 50.0)])
    some, none = pd.Categorical([*labels, *[None] * 20]), [np.nan] * 20
    expected = integration(embedding, batch, labels)
    assert integration(padded, [*batch, *["third"] * 20], some) == expected
    assert (
        integration(padded, np.array([*batch, *none], object), [*labels, *"abcd" * 5]) == expected
    )


def test_missing_package_is_named(
    embedding: NDArray, batch: NDArray, labels: NDArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(ImportError, match=r"pip install 'scmomer\[integration\]'"):
        integration(embedding, batch, labels)


def test_arguments_are_checked(embedding: NDArray, batch: NDArray, labels: NDArray) -> None:
    pytest.importorskip("scib_metrics")
    with pytest.raises(ValueError, match="`embedding` to be a non-empty matrix"):
        integration(embedding[:, 0], batch, labels)
    with pytest.raises(ValueError, match=r"`batch` .* shape \(240,\), found \(239,\)"):
        integration(embedding, batch[1:], labels)
    with pytest.raises(ValueError, match=r"`labels` .* shape \(240,\), found \(239,\)"):
        integration(embedding, batch, labels[1:])
    with pytest.raises(ValueError, match="more than 90 cells .* found 90"):
        integration(embedding[:90], batch[75:165], labels[:90])
    with pytest.raises(ValueError, match="`batch` to have at least two values"):
        integration(embedding, np.zeros(N_CELLS), labels)
    with pytest.raises(ValueError, match="`labels` to have at least two values"):
        integration(embedding, batch, np.zeros(N_CELLS))
    with pytest.raises(ValueError, match="a label with cells of at least two batches"):
        integration(embedding, labels, labels)
