"""``tl.translate_atac`` and ``tl.translate_rna``: results and where they are written."""

from __future__ import annotations

import inspect
import re
from collections import namedtuple

import anndata
import numpy as np
import psutil
import pytest
from anndata import AnnData
from mudata import MuData

from scmomer.data._counts import layer_names
from scmomer.tl import translate_atac, translate_protein, translate_rna

VERBS = {"atac": translate_atac, "rna": translate_rna}
SOURCE = {"atac": "rna", "rna": "atac"}


@pytest.fixture(params=["atac", "rna"])
def to(request) -> str:
    """Target modality."""
    return request.param


@pytest.fixture
def query(to, make_unseen) -> AnnData:
    """Cells of the other modality, with annotation."""
    adata = make_unseen()[SOURCE[to]].copy()
    adata.obsm["X_pca"] = np.arange(240.0).reshape(120, 2)
    return adata


def same(found, expected, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


# -- AnnData


def test_an_anndata_of_the_other_modality_is_returned(trained, query, to, unchanged):
    with unchanged(query):
        out = VERBS[to](query, trained)
    assert type(out) is AnnData and not out.is_view
    assert out.var_names.equals(trained.spec.features[to])
    assert out.obs.equals(query.obs) and out.obs is not query.obs
    assert np.array_equal(out.obsm["X_pca"], query.obsm["X_pca"])
    assert out.X.dtype == np.float32 and np.array_equal(out.X, out.layers["scmomer"])
    assert np.array_equal(out.X, trained.get_translated(query, to))
    if to == "atac":
        assert 0 <= out.X.min() and out.X.max() <= 1
    assert "scmomer" not in query.uns


def test_the_model_and_its_parameters_are_recorded(trained, query, to):
    out = VERBS[to](query, trained, batch="batch1")
    entry = out.uns["scmomer"][f"translate_{to}"]
    assert entry["model_id"] == trained.id and entry["params"]["batch"] == "batch1"


def test_features_are_columns_of_the_whole(trained, query, to):
    names = trained.spec.features[to][[5, 0, 33]].tolist()
    whole = VERBS[to](query, trained)
    out = VERBS[to](query, trained, features=names)
    assert out.var_names.tolist() == names
    same(out.X, whole[:, names].X)


def test_depth_and_batch_are_passed_on(trained, query):
    rna = query if query.n_vars == 60 else None
    if rna is not None:
        for depth in ("predicted", "mean", 40):
            out = translate_atac(rna, trained, depth=depth)
            same(out.X, trained.get_translated(rna, depth=depth))
        assert translate_atac(rna, trained, depth=1000).X.mean() > out.X.mean() + 0.02
    to = "atac" if rna is not None else "rna"
    first, second = (VERBS[to](query, trained, batch=b).X for b in ("batch1", "batch2"))
    assert np.abs(first - second).max() > 1e-4


def test_uncertainty_is_a_layer(trained, query, to, unchanged):
    plain = VERBS[to](query, trained)
    assert set(layer_names(plain)) == {"scmomer"}
    with unchanged(query):
        out = VERBS[to](query, trained, uncertainty=True)
    assert set(layer_names(out)) == {"scmomer", "scmomer_std"}
    assert np.array_equal(out.X, plain.X) and np.array_equal(out.layers["scmomer"], plain.X)
    _, std = trained.get_translated(query, to, uncertainty=True)
    assert np.array_equal(out.layers["scmomer_std"], std) and std.max() > 1e-4
    assert out.uns["scmomer"][f"translate_{to}"]["params"]["uncertainty"]
    few = VERBS[to](query, trained, uncertainty=True, features=out.var_names[[5, 0]])
    same(few.layers["scmomer_std"], std[:, [5, 0]])


def test_batch_size_does_not_matter(trained, query, to):
    same(VERBS[to](query, trained, batch_size=7).X, VERBS[to](query, trained).X)


def test_the_model_can_be_a_path_or_the_one_used_last(trained, saved, query, to):
    expected = VERBS[to](query, trained).X
    for model in (saved, None):
        same(VERBS[to](query, model).X, expected, 1e-6)


def test_views_and_backed_files_are_translated(trained, query, to, as_container):
    data = as_container(query)
    same(VERBS[to](data, trained).X, VERBS[to](query, trained).X)


def test_unknown_features_batches_and_targets_are_refused(trained, trained_rna, query, to, refuses):
    with refuses(KeyError, to, "'Gad1'"):
        VERBS[to](query, trained, features=["Gad1"])
    with refuses(KeyError, "['batch1', 'batch2']", "'batch3'"):
        VERBS[to](query, trained, batch="batch3")
    if to == "atac":
        with refuses(ValueError, "['rna']", "'atac'"):
            translate_atac(query, trained_rna)


# -- on disk


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_result_on_disk_equals_that_in_memory(trained, query, to, tmp_path, batch_size):
    path = tmp_path / "translated.h5ad"
    backed = VERBS[to](query, trained, path=path, batch_size=batch_size, batch="batch2")
    assert backed.isbacked and backed.filename == path
    memory = VERBS[to](query, trained, batch="batch2")
    for found in (backed.to_memory(), anndata.read_h5ad(path)):
        same(found.X, memory.X, 1e-6)
        assert found.X.dtype == np.float32
        assert not layer_names(found)  # anndata would read them into memory
        assert found.obs_names.equals(memory.obs_names) and found.var_names.equals(memory.var_names)
        assert set(found.obs.columns) == set(memory.obs.columns)
        assert found.obs["cell_type"].tolist() == memory.obs["cell_type"].tolist()
        assert set(found.obsm) == set(memory.obsm)
        assert found.uns["scmomer"][f"translate_{to}"]["model_id"] == trained.id


def test_depth_and_features_reach_the_disk(trained, mdata, tmp_path):
    names = trained.spec.features["atac"][[9, 4]].tolist()
    options = {"features": names, "depth": 40}
    backed = translate_atac(mdata["rna"], trained, path=str(tmp_path / "few.h5ad"), **options)
    assert backed.var_names.tolist() == names
    same(backed.to_memory().X, translate_atac(mdata["rna"], trained, **options).X, 1e-6)


def test_the_disk_is_the_way_out_of_too_little_memory(
    trained, query, to, tmp_path, monkeypatch, refuses
):
    expected = VERBS[to](query, trained).X
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("m", "available")(1000))
    n = expected.shape[1]
    with refuses(MemoryError, f"120 cells x {n} features", "path=", "features="):
        VERBS[to](query, trained)
    backed = VERBS[to](query, trained, path=tmp_path / "translated.h5ad")
    same(backed.to_memory().X, expected, 1e-6)


def test_uncertainty_reaches_the_disk(trained, query, to, tmp_path):
    path = tmp_path / "translated.h5ad"
    backed = VERBS[to](query, trained, path=path, batch_size=50, uncertainty=True)
    assert backed.isbacked
    memory = VERBS[to](query, trained, uncertainty=True)
    for found in (backed.to_memory(), anndata.read_h5ad(path)):
        assert set(layer_names(found)) == {"scmomer_std"}
        assert found.layers["scmomer_std"].dtype == np.float32
        same(found.X, memory.X, 1e-6)
        same(found.layers["scmomer_std"], memory.layers["scmomer_std"], 1e-6)


def test_bad_input_leaves_no_file(trained, query, to, tmp_path, refuses):
    path = tmp_path / "translated.h5ad"
    query.X[3, 7] = 0.5
    with refuses(ValueError, "non-integer"):
        VERBS[to](query, trained, path=path)
    assert not path.exists()


# -- MuData


def test_a_mudata_gets_a_layer_in_the_modality(trained, make_unseen, to, unchanged):
    mdata = make_unseen()
    with unchanged(mdata[to], layers=("scmomer",)), unchanged(mdata[SOURCE[to]]):
        assert VERBS[to](mdata, trained) is None
    written = mdata[to].layers["scmomer"]
    assert written.dtype == np.float32
    same(written, VERBS[to](mdata[SOURCE[to]], trained).X)
    assert mdata.uns["scmomer"][f"translate_{to}"]["model_id"] == trained.id


def test_a_copy_leaves_the_mudata_alone(trained, make_unseen, to, unchanged):
    mdata = make_unseen(missing={"rna": 0.2, "atac": 0.2})
    with unchanged(mdata):
        copied = VERBS[to](mdata, trained, copy=True)
    assert "scmomer" not in mdata.uns
    assert copied.obs_names.equals(mdata.obs_names)
    VERBS[to](mdata, trained)
    assert np.array_equal(copied[to].layers["scmomer"], mdata[to].layers["scmomer"])


def test_names_decide_where_values_are_written(trained, make_unseen, to, caplog):
    """Other features in another order, other cells in another order."""
    mdata = make_unseen()
    expected = VERBS[to](mdata[SOURCE[to]], trained)
    rng = np.random.default_rng(0)
    n = expected.n_vars
    target = mdata[to][rng.permutation(120)[:90], rng.permutation(n)[: n - 5]].copy()
    names = target.var_names.tolist()
    names[3] = "chrZ:1-2"
    target.var_names = names
    other = MuData({SOURCE[to]: mdata[SOURCE[to]], to: target})
    with caplog.at_level("INFO", "scmomer"):
        VERBS[to](other, trained)
    assert f"{n - 6} of {n - 5} features of mdata['{to}'] are translated" in caplog.text
    found = target.to_df("scmomer")
    assert found.pop("chrZ:1-2").isna().all()
    same(found, expected.to_df().loc[found.index, found.columns])


def test_only_the_features_asked_for_are_written(trained, make_unseen, to, refuses):
    mdata = make_unseen()
    expected = VERBS[to](mdata[SOURCE[to]], trained).X
    columns = [7, 2]
    VERBS[to](mdata, trained, features=mdata[to].var_names[columns])
    written = mdata[to].layers["scmomer"]
    same(written[:, columns], expected[:, columns])
    assert np.isnan(np.delete(written, columns, 1)).all()
    with refuses(KeyError, "1 that it does not have", "'Gad1'"):
        VERBS[to](mdata, trained, features=[mdata[to].var_names[0], "Gad1"])


def test_uncertainty_is_written_beside_the_values(trained, make_unseen, to, unchanged):
    mdata = make_unseen()
    layers = ("scmomer", "scmomer_std")
    expected = VERBS[to](mdata[SOURCE[to]], trained, uncertainty=True)
    with unchanged(mdata[to], layers=layers), unchanged(mdata[SOURCE[to]]):
        assert VERBS[to](mdata, trained, uncertainty=True) is None
    for layer in layers:
        assert mdata[to].layers[layer].dtype == np.float32
        same(mdata[to].layers[layer], expected.layers[layer])


def test_uncertainty_is_nan_where_the_model_has_no_feature(trained, make_unseen, to):
    mdata = make_unseen()
    expected = VERBS[to](mdata[SOURCE[to]], trained, uncertainty=True)
    target = mdata[to][:, ::-1].copy()
    names = target.var_names.tolist()
    names[3] = "chrZ:1-2"
    target.var_names = names
    other = MuData({SOURCE[to]: mdata[SOURCE[to]], to: target})
    VERBS[to](other, trained, uncertainty=True)
    for layer in ("scmomer", "scmomer_std"):
        found = other[to].to_df(layer)
        assert found.pop("chrZ:1-2").isna().all()
        same(found, expected.to_df(layer).loc[found.index, found.columns])


def test_a_mosaic_is_written_for_the_cells_of_the_modality(trained, make_unseen, to):
    mosaic = make_unseen(missing={"rna": 0.3, "atac": 0.3})
    VERBS[to](mosaic, trained)
    row = mosaic.obs_names.get_indexer(mosaic[to].obs_names)
    same(mosaic[to].layers["scmomer"], trained.get_translated(mosaic, to)[row])


def test_modalities_of_another_name_are_written_to(make_mdata, make_model, train, to):
    names = {"rna": "gex", "atac": "peaks"}
    mdata = make_mdata()
    renamed = MuData({names[m]: adata for m, adata in mdata.mod.items()})
    model = make_model(renamed, {"modalities": names})
    train(model)
    VERBS[to](renamed, model)
    same(renamed[names[to]].layers["scmomer"], model.get_translated(renamed, to))


def test_a_mudata_needs_the_modality_to_write_to(trained, mdata, to, refuses):
    alone = MuData({SOURCE[to]: mdata[SOURCE[to]]})
    with refuses(KeyError, f"'{to}'", f"['{SOURCE[to]}']", "AnnData"):
        VERBS[to](alone, trained)


def test_a_mudata_is_not_written_to_a_path(trained, mdata, to, tmp_path, refuses):
    with refuses(ValueError, "an AnnData with path=", "a MuData"):
        VERBS[to](mdata, trained, path=tmp_path / "translated.h5ad")


def test_other_containers_are_refused(trained, to, refuses):
    with refuses(TypeError, "an AnnData or a MuData", "list"):
        VERBS[to]([1], trained)


# -- signatures


@pytest.mark.parametrize("verb", [translate_atac, translate_rna, translate_protein])
def test_help_has_all_arguments(verb):
    parameters = inspect.signature(verb).parameters
    shared = ["features", "batch", "batch_size", "uncertainty", "path", "copy", "layers"]
    depth = [] if verb is translate_rna else ["depth", "depth_share"]
    assert list(parameters) == ["data", "model", *depth, *shared]
    assert parameters["uncertainty"].default is False
    documented = re.findall(r"^    (\w+)$", verb.__doc__.split("Returns")[0], re.MULTILINE)
    assert documented[1:] == list(parameters)
    assert "{" not in verb.__doc__ and verb.__doc__.startswith("Predict ")


def test_arguments_that_do_not_exist_are_refused(trained, query, to):
    with pytest.raises(TypeError, match="nonsense"):
        VERBS[to](query, trained, nonsense=1)
