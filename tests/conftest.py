"""Shared by all tests: tiny data, one trained model, and how an error has to read."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

# Threads that wait for each other over tensors of 8 columns take ten times the time, and tests run
# beside each other. Read when numpy and torch are imported; subprocesses of tests inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Triton reads it when it is imported, by torch too: its kernels run on the CPU then.
os.environ.setdefault("TRITON_INTERPRET", "1")

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scvi
import torch
import torch.nn.functional as F
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer.data import Cells
from scmomer.datasets import synthetic
from scmomer.model import _current_model
from scmomer.module import SCMOMERModule, get_config
from scmomer.nn import SparseRows

torch.set_num_threads(1)

SIZES = {"n_cells": 120, "n_genes": 60, "n_peaks": 200}
# Every part of the default architecture, each as small as it gets.
TINY = {
    "size": "small",
    "n_latent": 8,
    "rna_encoder": "performer",
    "rna_dim": 8,
    "rna_n_layers": 1,
    "rna_n_heads": 2,
    "rna_dim_head": 4,
    "atac_encoder": "vit",
    "atac_dim": 8,
    "atac_n_layers": 1,
    "atac_n_heads": 2,
    "atac_mlp_dim": 8,
    "atac_n_patches": 8,
    "bridge_hidden": 16,
}


_NOISE = (
    # mudata 0.3, whenever a test builds a MuData; tests/test_warnings.py sees what scmomer builds
    "ignore:From 0.4 .update:FutureWarning",
    "ignore:.*names are not unique:UserWarning",  # anndata and mudata, in tests of just that
)


def pytest_configure(config: pytest.Config) -> None:
    """Leave warnings of other packages out of the report."""
    for line in _NOISE:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture
def make_mdata() -> Callable[..., MuData]:
    """Tiny synthetic data; the same arguments give the same data."""
    return lambda **kwargs: synthetic(**{**SIZES, **kwargs})


@pytest.fixture
def mdata(make_mdata) -> MuData:
    """Tiny data that no other test sees."""
    return make_mdata()


@pytest.fixture
def make_unseen(mdata) -> Callable[..., MuData]:
    """Cells that training never saw, with the features of :func:`mdata`."""

    def make(**kwargs: Any) -> MuData:
        unseen = synthetic(**{**SIZES, "seed": 7, **kwargs})
        for name, adata in unseen.mod.items():
            adata.var_names = mdata[name].var_names
        with keep_obs():
            unseen.update()
        return unseen

    return make


@pytest.fixture(params=["MuData", "mosaic", "AnnData-rna", "AnnData-atac"])
def data(request, make_unseen) -> AnnData | MuData:
    """Cells that training never saw, in each kind of container."""
    if request.param == "mosaic":
        return make_unseen(missing={"rna": 0.3, "atac": 0.3})
    mdata = make_unseen()
    return mdata if request.param == "MuData" else mdata[request.param[8:]].copy()


@pytest.fixture
def make_model() -> Callable[..., scmomer.SCMOMER]:
    """Registers data and builds a tiny, untrained model."""
    return _make_model


def _make_model(data: AnnData | MuData, setup: dict[str, Any] | None = None, **options: Any):
    set_up = scmomer.pp.setup_mudata if isinstance(data, MuData) else scmomer.pp.setup_anndata
    set_up(data, **(setup or {}))
    return scmomer.SCMOMER(data, **{**TINY, **options})


def _train(model: scmomer.SCMOMER, **kwargs: Any) -> None:
    wishes: dict[str, Any] = {"max_epochs": 1, "batch_size": 64, "enable_progress_bar": False}
    model.train(**{**wishes, **kwargs})


@pytest.fixture
def train() -> Callable[..., None]:
    """Trains for one quiet epoch, or as told."""
    return _train


@contextmanager
def _seed(value: int) -> Iterator[None]:
    before, scvi.settings.seed = scvi.settings.seed, value
    try:
        yield
    finally:
        scvi.settings.seed = before


@pytest.fixture(scope="session")
def seed() -> Callable[[int], AbstractContextManager[None]]:
    """Sets ``scvi.settings.seed`` for a while."""
    return _seed


@pytest.fixture(scope="session")
def trained() -> scmomer.SCMOMER:
    """The model of :func:`mdata`, trained. Shared: must not be trained further."""
    with _seed(0):
        setup = {"batch_key": "batch", "labels_key": "cell_type"}
        model = _make_model(synthetic(**SIZES), setup)
        _train(model, max_epochs=2)
    return model


@pytest.fixture(scope="session")
def trained_protein() -> scmomer.SCMOMER:
    """A model of RNA and protein, trained for an epoch. Shared: must not be trained further."""
    with _seed(0):
        mdata = synthetic(**SIZES, n_proteins=10)
        del mdata.mod["atac"]
        with keep_obs():
            mdata.update()
        model = _make_model(mdata)
        _train(model)
    return model


def _one_modality(name: str) -> scmomer.SCMOMER:
    with _seed(0):
        model = _make_model(synthetic(**SIZES)[name].copy())
        _train(model)
    return model


@pytest.fixture(scope="session")
def trained_rna() -> scmomer.SCMOMER:
    """A model of genes alone, trained on the RNA of :func:`mdata`."""
    return _one_modality("rna")


@pytest.fixture(scope="session")
def trained_atac() -> scmomer.SCMOMER:
    """A model of peaks alone, trained on the ATAC of :func:`mdata`."""
    return _one_modality("atac")


@pytest.fixture(scope="session")
def saved(trained, tmp_path_factory) -> Path:
    """The folder of :func:`trained`; must not be written to."""
    path = tmp_path_factory.mktemp("models") / "tiny.scmomer"
    trained.save(path)
    return path


@pytest.fixture(autouse=True)
def heard(monkeypatch) -> None:
    """Lets pytest's ``caplog``, which listens at the root logger, hear scmomer."""
    monkeypatch.setattr(logging.getLogger("scmomer"), "propagate", True)


@pytest.fixture(autouse=True)
def keep_current() -> Iterator[None]:
    """Gives each test the current model that it began with, and one thread, whatever others left."""
    torch.set_num_threads(1)  # sums in another order are not equal to the bit
    before = _current_model._current
    yield
    _current_model._current = before


@pytest.fixture
def refuses() -> Callable[..., AbstractContextManager[None]]:
    """Expect an error whose message has the given parts; "Expected X" must come with "found Y"."""

    @contextmanager
    def expecting(error: type[Exception], *parts: str) -> Iterator[None]:
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value.args[0])
        house = ("found",) if message.startswith("Expected") else ()
        absent = [part for part in (*house, *parts) if part not in message]
        assert not absent, f"{absent} not in: {message}"

    return expecting


# -- the same counts in other clothes

MATRICES: dict[str, Callable[[sp.csr_matrix], Any]] = {
    "csr_float64": lambda x: x.astype(np.float64),
    "csr_int64": lambda x: x.astype(np.int64),
    "csr_uint8": lambda x: x.astype(np.uint8),
    "csr_bool": lambda x: x.astype(bool),
    "csr_array": sp.csr_array,
    "csc": lambda x: x.tocsc(),
    "csc_array": sp.csc_array,
    "explicit_zeros": lambda x: _with_zeros(x),
    "unsorted": lambda x: _unsorted(x),
    "dense_float32": lambda x: x.toarray(),
    "dense_float64": lambda x: x.toarray().astype(np.float64),
    "dense_float16": lambda x: x.toarray().astype(np.float16),
    "dense_int32": lambda x: x.toarray().astype(np.int32),
    "dense_bool": lambda x: x.toarray().astype(bool),
    "dense_fortran": lambda x: np.asfortranarray(x.toarray()),
}


def _with_zeros(x: sp.csr_matrix) -> sp.csr_matrix:
    rows, columns = np.nonzero(x.toarray() == 0)
    coo = x.tocoo()
    row, col = np.r_[coo.row, rows[:7]], np.r_[coo.col, columns[:7]]
    return sp.csr_matrix((np.r_[coo.data, np.zeros(7, x.dtype)], (row, col)), shape=x.shape)


def _unsorted(x: sp.csr_matrix) -> sp.csr_matrix:
    """Each row backwards."""
    flip = np.concatenate([np.arange(b, a, -1) - 1 for a, b in itertools.pairwise(x.indptr)])
    return sp.csr_matrix((x.data[flip], x.indices[flip], x.indptr), shape=x.shape)


@pytest.fixture(params=MATRICES)
def as_matrix(request) -> Callable[[sp.csr_matrix], Any]:
    """Gives binary counts another matrix type; the values stay."""
    return MATRICES[request.param]


def _view(adata: AnnData, tmp_path: Path) -> AnnData:
    twice = anndata.concat([adata, adata], index_unique="-")
    twice.var = adata.var
    view = twice[: adata.n_obs]
    assert view.is_view
    return view


def _backed(convert: Callable[[sp.csr_matrix], Any]) -> Callable[[AnnData, Path], AnnData]:
    def back(adata: AnnData, tmp_path: Path) -> AnnData:
        adata = adata.copy()
        adata.X = convert(adata.X)
        adata.write_h5ad(tmp_path / "backed.h5ad")
        return anndata.read_h5ad(tmp_path / "backed.h5ad", backed="r")

    return back


CONTAINERS = {
    "view": _view,
    "backed_csr": _backed(lambda x: x),
    "backed_csc": _backed(lambda x: x.tocsc()),
    "backed_dense": _backed(lambda x: x.toarray()),
}


@pytest.fixture(params=CONTAINERS)
def as_container(request, tmp_path) -> Callable[[AnnData], AnnData]:
    """Gives an AnnData another form; cells (up to names) and counts stay."""
    return lambda adata: CONTAINERS[request.param](adata, tmp_path)


def _snapshot(adata: AnnData) -> dict[str, Any]:
    matrices = {"X": adata.X, **{k: v for k, v in adata.layers.items() if k is not None}}
    dense = {k: v.toarray() if sp.issparse(v) else np.array(v) for k, v in matrices.items()}
    order = {
        k: getattr(getattr(v, "flags", None), "c_contiguous", None) for k, v in matrices.items()
    }
    types = {k: (type(v), v.dtype, order[k]) for k, v in matrices.items()}
    return {"dense": dense, "types": types, "var": adata.var.copy(), "obs": adata.obs.copy()}


@pytest.fixture
def unchanged() -> Callable[..., AbstractContextManager[None]]:
    """Fails if the block changes counts, layers, var or columns of obs of any modality."""

    @contextmanager
    def guard(data: AnnData | MuData, layers: tuple[str, ...] = ()) -> Iterator[None]:
        parts = dict(data.mod) if isinstance(data, MuData) else {"": data}
        before = {k: _snapshot(a) for k, a in parts.items()}
        yield
        for key, old in before.items():
            new = _snapshot(parts[key])
            assert set(new["dense"]) - set(old["dense"]) == set(layers)
            for name, values in old["dense"].items():
                assert np.array_equal(values, new["dense"][name]), (key, name)
                assert old["types"][name] == new["types"][name]
            assert new["var"].equals(old["var"])
            assert new["obs"][old["obs"].columns].equals(old["obs"])
            added = set(new["obs"].columns) - set(old["obs"].columns)
            assert added <= {"_scvi_batch", "_scvi_labels"}

    return guard


# -- small networks and sparse minibatches

NETWORK = {
    "n_latent": 8,
    "bridge_hidden": 16,
    "rna_dim": 12,
    "rna_n_layers": 2,
    "rna_n_heads": 2,
    "rna_dim_head": 8,
    "rna_mlp_hidden": 16,
    "atac_dim": 12,
    "atac_n_layers": 1,
    "atac_n_heads": 2,
    "atac_mlp_dim": 16,
    "atac_n_patches": 6,
    "atac_mlp_hidden": 16,
}


@pytest.fixture(scope="session")
def sparse() -> Callable[..., SparseRows]:
    """Turns a dense table into a sparse minibatch."""

    def make(dense, dtype: torch.dtype = torch.float32) -> SparseRows:
        dense = torch.as_tensor(dense, dtype=dtype)
        rows, columns = dense.nonzero(as_tuple=True)
        ends = torch.bincount(rows, minlength=len(dense)).cumsum(0)
        return SparseRows(F.pad(ends, (1, 0)), columns, dense[rows, columns])

    return make


@pytest.fixture(scope="session")
def counts() -> Callable[..., torch.Tensor]:
    """Draws a dense table of counts, mostly zeros; cells in `empty` have none."""

    def make(n: int, n_features: int, *, seed: int = 0, density: float = 0.3, empty=()):
        rng = np.random.default_rng(seed)
        table = rng.integers(1, 9, (n, n_features)) * (rng.random((n, n_features)) < density)
        table[list(empty)] = 0
        return torch.from_numpy(table.astype(np.float32))

    return make


def feature_names(
    n_genes: int = 0, n_peaks: int = 0, n_proteins: int = 0, seed: int = 0
) -> dict[str, pd.Index]:
    """Names of features; peaks are on three chromosomes, in random order."""
    rng = np.random.default_rng(seed)
    chromosomes, starts = rng.integers(0, 3, n_peaks), rng.permutation(n_peaks)
    peaks = [f"chr{c + 1}:{s}-{s + 1}" for c, s in zip(chromosomes, starts, strict=True)]
    named = {
        "rna": [f"gene {i}" for i in range(n_genes)],
        "atac": peaks,
        "protein": [f"protein {i}" for i in range(n_proteins)],
    }
    return {m: pd.Index(names) for m, names in named.items() if names}


@pytest.fixture(scope="session")
def make_module() -> Callable[..., SCMOMERModule]:
    """Builds an untrained network of a few thousand parameters."""

    def make(
        n_genes: int = 30,
        n_peaks: int = 40,
        n_batches: int = 1,
        seed: int = 0,
        n_proteins: int = 0,
        **overrides,
    ) -> SCMOMERModule:
        torch.manual_seed(seed)
        config = get_config("small", **{**NETWORK, **overrides})
        return SCMOMERModule(feature_names(n_genes, n_peaks, n_proteins), n_batches, config)

    return make


def draw(n: int, n_features: int, rate: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Counts of three types of cells, which differ in a third of the features each."""
    mean = np.full((3, n_features), rate)
    for kind in range(3):
        mean[kind, kind::3] *= 1.5 + kind  # unequal effects: components in a definite order
    depth = rng.lognormal(0, 0.3, (n, 1))
    return sp.csr_matrix(rng.poisson(mean[np.arange(n) % 3] * depth).astype(np.float32))


@pytest.fixture(scope="session")
def make_cells() -> Callable[..., Cells]:
    """Draws cells; those in `without` lack a modality, for example ``{"rna": [0, 1]}``."""

    def make(
        n: int = 60, n_genes: int = 30, n_peaks: int = 40, seed: int = 0, without=None
    ) -> Cells:
        rng = np.random.default_rng(seed)
        counts = {"rna": draw(n, n_genes, 1.0, rng), "atac": draw(n, n_peaks, 0.4, rng)}
        measured = {m: np.ones(n, bool) for m in counts}
        for modality, missing in (without or {}).items():
            measured[modality][missing] = False
            counts[modality] = sp.csr_matrix(sp.diags(1.0 * measured[modality]) @ counts[modality])
            counts[modality].eliminate_zeros()
        return Cells(counts, measured)

    return make
