"""Everything that a verb writes goes to h5ad, h5mu and zarr, and comes back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer._constants import INTEGRATION_BATCH, INTEGRATION_BIO, INTEGRATION_SCORES
from scmomer.tl import _integration_report

ODD = ["CD4/CD8 T", "CD4", "γδ T, naïve", "a:b", "1.5", "_index", " x ", "nan"]


def there_and_back(data: AnnData | MuData, form: str, folder: Path) -> AnnData | MuData:
    """Writes and reads a container."""
    path = folder / f"data.{form}"
    with keep_obs():
        if form == "zarr":
            data.write_zarr(path)
            module = mudata if isinstance(data, MuData) else anndata
            return module.read_zarr(path)
        data.write(path)
        return (mudata.read_h5mu if isinstance(data, MuData) else anndata.read_h5ad)(path)


def assert_equal(found: Any, expected: Any, where: str = "") -> None:
    """Compares whatever is in a slot."""
    if isinstance(expected, dict) or hasattr(expected, "items"):
        if not isinstance(expected, pd.DataFrame):
            assert set(found) - {None} == set(expected) - {None}, where
            for key in set(expected) - {None}:
                assert_equal(found[key], expected[key], f"{where}[{key!r}]")
            return
    if isinstance(expected, pd.DataFrame):
        assert list(found.columns) == list(expected.columns), where
        for column in expected:
            if pd.api.types.is_numeric_dtype(expected[column]):  # mudata reads 1.0 as 1
                np.testing.assert_array_equal(found[column], expected[column], where)
            else:
                old, new = expected[column].astype(str), found[column].astype(str)
                assert new.tolist() == old.tolist(), where
    elif sp.issparse(expected):
        assert (found != expected).nnz == 0, where
    elif isinstance(expected, np.ndarray) and expected.dtype.names:
        assert found.dtype.names == expected.dtype.names, where
        for name in expected.dtype.names:
            assert found[name].tolist() == expected[name].tolist(), where
    elif isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
        np.testing.assert_array_equal(found, expected, where)
    else:
        assert np.array_equal(np.asarray(found), np.asarray(expected)), where


def assert_same(found: AnnData | MuData, expected: AnnData | MuData) -> None:
    """Compares obs, obsm, uns and, of AnnData, layers and X."""
    assert_equal(found.obs[list(expected.obs)], expected.obs, "obs")
    for slot in ("obsm", "uns"):
        old = {
            k: v for k, v in getattr(expected, slot).items() if k not in ("rna", "atac", "truth")
        }
        new = {k: v for k, v in getattr(found, slot).items() if k in old}
        assert_equal(new, old, slot)
    if isinstance(expected, MuData):
        for key in expected.mod:
            assert_same(found[key], expected[key])
    else:
        assert_equal(found.X, expected.X, "X")
        assert_equal(dict(found.layers), dict(expected.layers), "layers")


@pytest.fixture
def odd(make_unseen) -> MuData:
    """Cells whose types have names that no file likes."""
    mdata = make_unseen()
    mdata.obs["type"] = pd.Categorical(np.resize(ODD, mdata.n_obs))
    for adata in mdata.mod.values():
        adata.obs["type"] = mdata.obs["type"].to_numpy()
    return mdata


def _verbs(model) -> dict[str, Any]:
    annotate = {"labels_key": "type", "model": model, "unknown_threshold": 0.2}
    return {
        "embed": lambda d, ref: scmomer.tl.embed(d, model),
        "translate": lambda d, ref: scmomer.tl.translate_atac(
            d, model, uncertainty=True, features=model.spec.features["atac"][:5]
        ),
        "annotate": lambda d, ref: scmomer.tl.annotate(d, ref, **annotate),
        "map": lambda d, ref: scmomer.tl.map_to_reference(d, ref, model, labels_key="type"),
        "map without labels": lambda d, ref: scmomer.tl.map_to_reference(d, ref, model),
    }


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.parametrize("verb", ["embed", "translate", "annotate", "map", "map without labels"])
def test_of_an_anndata(trained, odd, tmp_path, verb, form):
    query = odd["rna"].copy()
    out = _verbs(trained)[verb](query, odd)
    written = query if out is None else out
    assert_same(there_and_back(written, form, tmp_path), written)


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
@pytest.mark.parametrize("verb", ["embed", "translate", "annotate", "map"])
def test_of_a_mudata(trained, odd, tmp_path, verb, form):
    _verbs(trained)[verb](odd, odd)
    assert_same(there_and_back(odd, form, tmp_path), odd)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.parametrize("method", ["proportions", "wilcoxon", "logreg"])
def test_of_ranked_peaks(odd, tmp_path, method, form):
    atac = odd["atac"].copy()
    if form == "zarr":  # scanpy's record arrays: zarr has no fields with a colon
        atac.obs["type"] = atac.obs["type"].str.replace(":", ";")
    scmomer.tl.rank_peaks(atac, "type", method=method)
    back = there_and_back(atac, form, tmp_path)
    assert_equal(
        {k: v for k, v in back.uns["rank_peaks"].items() if k != "params"},
        {k: v for k, v in atac.uns["rank_peaks"].items() if k != "params"},
    )
    back_params, params = (  # anndata 0.11 writes no None
        {k: v for k, v in d.uns["rank_peaks"]["params"].items() if v is not None}
        for d in (back, atac)
    )
    assert_equal(back_params, params)


@pytest.mark.parametrize(
    "features",
    [
        lambda names: names[:3],
        lambda names: names[:3].tolist(),
        lambda names: tuple(names[:3]),
        lambda names: names[:3].to_numpy(),
        lambda names: pd.Series(names[:3]),
    ],
    ids=["Index", "list", "tuple", "array", "Series"],
)
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_features_may_be_given_as_anything(trained, odd, tmp_path, features, form):
    given = features(odd["atac"].var_names)
    out = scmomer.tl.translate_atac(odd["rna"], trained, features=given)
    back = there_and_back(out, form, tmp_path)
    assert_same(back, out)
    kept = back.uns["scmomer"]["translate_atac"]["params"]["features"]
    assert list(map(str, kept)) == odd["atac"].var_names[:3].tolist()


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_of_pairing_and_splitting(odd, tmp_path, form):
    rna, atac = (odd[m].copy() for m in ("rna", "atac"))
    paired = scmomer.pp.pair_cells(rna, atac, on="labels", labels_key="type")
    assert_same(there_and_back(paired, form, tmp_path), paired)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_of_alignment(odd, trained, tmp_path, form):
    for out in (
        scmomer.pp.align_genes(odd["rna"], trained),
        scmomer.pp.align_peaks(odd["atac"], trained),
        scmomer.pp.bin_genome(odd["atac"], 5000),
    ):
        folder = tmp_path / str(out.n_vars)
        folder.mkdir(exist_ok=True)
        assert_same(there_and_back(out, form, folder), out)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_of_everything_at_once(trained, odd, tmp_path, form):
    query = odd["rna"].copy()
    scmomer.pp.setup_anndata(query, labels_key="type")
    for name, verb in _verbs(trained).items():
        if name != "translate":
            verb(query, odd)
    assert_same(there_and_back(query, form, tmp_path), query)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_of_an_integration_report(trained, odd, tmp_path, form, monkeypatch):
    pytest.importorskip("scib_metrics")
    names = [*INTEGRATION_BIO.values(), *INTEGRATION_BATCH.values(), *INTEGRATION_SCORES]
    monkeypatch.setattr(  # what is written matters here, and scib-metrics compiles for a minute
        _integration_report, "_scores", lambda *_: pd.DataFrame(0.5, ["X_scmomer"], names)
    )
    scmomer.tl.embed(odd, trained)
    query = odd["rna"].copy()
    query.obs = odd.obs[["batch", "type"]].copy()
    query.obsm["X_scmomer"] = odd.obsm["X_scmomer"]
    scmomer.tl.integration_report(query, batch_key="batch", labels_key="type", methods=())
    assert_same(there_and_back(query, form, tmp_path), query)
