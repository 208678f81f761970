"""Odd inputs: each gives the right result, or an error with a remedy that works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer.data._read import read_cells
from scmomer.module import parse_peaks

TR = scmomer.tl.translate_atac


def joined(axis: int = 0, **parts: AnnData | MuData) -> MuData:
    """Return a MuData."""
    with keep_obs():
        return MuData(parts, axis=axis)


def z_of(model, data, **options: Any) -> np.ndarray:
    """Return the embedding."""
    return model.get_latent_representation(data, **options)


# -- cells and containers


def _mosaic(mdata: MuData, where: str) -> MuData:
    """Cells 0-90 with RNA and 30-120 with ATAC, whole numbers as batches."""
    for adata in mdata.mod.values():
        adata.obs = pd.DataFrame({"b": np.arange(120) % 2}, index=adata.obs_names)
    out = joined(rna=mdata["rna"][:90].copy(), atac=mdata["atac"][30:].copy())
    if where == "one":
        del out["atac"].obs["b"]
    return out


@pytest.mark.parametrize("where", ["both", "one"])
@pytest.mark.filterwarnings("ignore:30 of 120 cells have no 'b'")
def test_whole_numbers_as_batches_of_a_mosaic(mdata, make_model, where):
    data = _mosaic(mdata, where)
    model = make_model(data, {"batch_key": "b"})
    assert model.spec.batches == ["0", "1"]
    expected = np.arange(120) % 2
    if where == "one":
        expected[90:] = -1
    np.testing.assert_array_equal(read_cells(data, model.spec).batch, expected)
    query = mdata["rna"].copy()
    for values in (np.arange(120) % 2, np.arange(120) % 2 + 0.0):
        query.obs["b"] = values
        np.testing.assert_array_equal(read_cells(query, model.spec).batch, values)


def test_cells_without_a_batch_are_counted(mdata):
    with pytest.warns(UserWarning, match=r"30 of 120 cells have no 'b'.*mdata.obs\['b'\]"):
        scmomer.pp.setup_mudata(_mosaic(mdata, "one"), batch_key="b")


def test_whole_numbers_as_labels_of_a_mosaic(trained, mdata, make_unseen):
    reference, query = _mosaic(mdata, "both"), make_unseen()["rna"].copy()
    scmomer.tl.annotate(query, reference, labels_key="b", model=trained)
    scmomer.tl.map_to_reference(query, reference, trained, labels_key="b")
    for key in ("scmomer_label", "reference_label"):
        assert query.obs[key].cat.categories.tolist() == ["0", "1"]


@pytest.mark.parametrize(
    "values", [np.arange(120) % 2, np.arange(120) % 2 + 0.0, [True, False] * 60]
)
def test_a_batch_is_named_as_in_obs(mdata, make_model, train, values):
    mdata.obs["b"] = values
    model = make_model(mdata, {"batch_key": "b"})
    train(model)
    out = model.get_translated(mdata["rna"].copy(), batch=mdata.obs["b"].iloc[1], indices=[0])
    by_name = model.get_translated(
        mdata["rna"].copy(), batch=model.spec.batches[1 - bool(values[0])], indices=[0]
    )
    np.testing.assert_array_equal(out, by_name)


def test_batches_of_several_types(mdata, refuses):
    mdata.obs["b"] = pd.Series([1, "1", "a"] * 40, index=mdata.obs_names, dtype=object)
    with refuses(ValueError, "'int', 'str'", "mdata.obs['b'].astype(str)"):
        scmomer.pp.setup_mudata(mdata, batch_key="b")
    with refuses(TypeError, "one column"):
        scmomer.pp.setup_mudata(mdata, batch_key=["b"])  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mudata_of_data_sets_or_of_mudata(trained, mdata, refuses):
    rna, atac = (mdata[m].copy() for m in ("rna", "atac"))
    for call in (lambda d: z_of(trained, d), scmomer.pp.setup_mudata):
        with refuses(ValueError, "axis=1", "mudata.MuData(dict(mdata.mod))"):
            call(joined(axis=1, rna=rna, atac=atac))
        with refuses(ValueError, "mdata['cells']", "a MuData"):
            call(joined(cells=joined(rna=rna, atac=atac)))
    shared = joined(axis=-1, rna=rna, atac=atac)
    np.testing.assert_array_equal(z_of(trained, shared), z_of(trained, mdata))


def test_one_modality_with_a_suffix(trained, mdata):
    mdata["rna"].obs_names = [f"{name}-1" for name in mdata["rna"].obs_names]
    data = joined(rna=mdata["rna"], atac=mdata["atac"])
    with pytest.warns(UserWarning, match="'cell00001-1' and 'cell00001' seem to be the same cell"):
        z_of(trained, data)
    with pytest.raises(ValueError, match="'cell00001-1' of 'rna' and 'cell00001' of 'atac'"):
        scmomer.pp.setup_mudata(data)


def test_repeated_cells_are_not_split(mdata, refuses):
    both = anndata.concat(list(mdata.mod.values()), axis=1)
    both.obs_names = ["a", "a", *both.obs_names[2:]]
    with refuses(ValueError, "adata.obs_names", "obs_names_make_unique()"):
        scmomer.pp.split_modalities(both)


def test_no_cell(trained, mdata, tmp_path):
    none = mdata["rna"][:0].copy()
    scmomer.tl.map_to_reference(none, mdata, trained, labels_key="cell_type")
    assert none.obs["reference_label"].cat.categories.size == 4
    assert TR(none, trained, path=tmp_path / "none.h5ad").shape == (0, 200)


@pytest.mark.parametrize("part", [slice(0, None), slice(0, 9)])
def test_a_file_is_copied_into_memory(trained, mdata, tmp_path, part, refuses):
    mdata["rna"].write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")[part]
    out = scmomer.tl.embed(backed, trained, copy=True)
    # Of a part, batches have other sizes, and sums other rounding errors.
    expected = z_of(trained, mdata["rna"])[part]
    np.testing.assert_allclose(out.obsm["X_scmomer"], expected, rtol=0, atol=1e-6)
    assert scmomer.pp.drop_unmeasured(backed).n_obs == backed.n_obs
    if backed.is_view:
        with refuses(ValueError, "adata.to_memory()"):
            scmomer.tl.embed(backed, trained)


def test_a_copy_of_registered_data(mdata, make_model, refuses):
    scmomer.pp.setup_mudata(mdata)
    with refuses(ValueError, "scmomer.pp.setup_mudata(data)"):
        scmomer.SCMOMER(mdata[:60].copy())


# -- counts


def _with(adata: AnnData, X: Any) -> AnnData:
    adata = adata.copy()
    adata.X = X
    return adata


def test_counts_that_are_missing(trained, mdata, refuses):
    rna = mdata["rna"].copy()
    z = z_of(trained, rna)
    X = rna.X.toarray()
    X[3, 5] = np.nan
    with refuses(ValueError, "NaN", "join='inner'", "`adata.X = np.nan_to_num(adata.X)`"):
        z_of(trained, _with(rna, X))
    with refuses(TypeError, "object", "`adata.X = adata.X.astype('float32')`"):
        z_of(trained, _with(rna, rna.X.toarray().astype(object)))
    X[3, 5] = 1e39
    with refuses(ValueError, "infinite"):
        z_of(trained, _with(rna, X.astype(np.float64) + (X > 1e30) * 1e39))
    dense = AnnData(zarr.array(rna.X.toarray()), obs=rna.obs, var=rna.var)
    np.testing.assert_array_equal(z_of(trained, dense), z)
    rna.layers["counts"] = rna.X
    with refuses(TypeError, "no matrix", "layer='counts'"):
        z_of(trained, _with(rna, None))


# -- names


@pytest.mark.parametrize("odd", ["{} ", " {}", "{}.7"])
def test_genes_that_are_written_otherwise(mdata, make_model, train, odd):
    mdata["rna"].var_names = [f"ENSG{i:011d}" for i in range(60)]
    with keep_obs():
        mdata.update()
    model = make_model(mdata)
    train(model)
    rna = mdata["rna"].copy()
    z = z_of(model, rna)
    rna.var_names = [odd.format(n) if i % 2 else n for i, n in enumerate(rna.var_names)]
    with pytest.warns(UserWarning, match=r"30 of the model's 60 genes .*align_genes"):
        z_of(model, rna)
    np.testing.assert_array_equal(z_of(model, scmomer.pp.align_genes(rna, model)), z)


def test_a_genome_before_each_gene(trained, mdata, refuses):
    adata = mdata["rna"].copy()
    adata.var_names = "GRCh38_" + adata.var_names
    remedy = "adata.var_names = adata.var_names.str.removeprefix('GRCh38_')"
    for call in (z_of, lambda model, data: scmomer.pp.align_genes(data, model)):
        with refuses(ValueError, remedy):
            call(trained, adata)
    exec(remedy, {"adata": adata})
    np.testing.assert_array_equal(z_of(trained, adata), z_of(trained, mdata["rna"]))


def test_a_gene_without_a_name(mdata, refuses):
    rna = mdata["rna"].copy()
    rna.var.index = pd.Index([np.nan, *rna.var_names[1:]], dtype=object)
    with refuses(ValueError, "1 missing (NaN)"):
        scmomer.pp.setup_anndata(rna)


PEAKS: dict[str, Callable[[str, int, int], str]] = {
    "Chr": lambda c, s, e: f"Chr{c}:{s}-{e}",
    "zeros": lambda c, s, e: f"chr{c}:{s:010d}-{e:010d}",
    "spaces": lambda c, s, e: f" chr{c}:{s}-{e} ",
}


@pytest.mark.parametrize("form", PEAKS)
def test_peaks_that_are_written_otherwise(trained, mdata, form):
    atac = mdata["atac"].copy()
    found = parse_peaks(atac.var_names)
    chroms = found.chromosomes[found.chromosome].str.removeprefix("chr")
    atac.var_names = [PEAKS[form](*p) for p in zip(chroms, found.start, found.end, strict=True)]
    np.testing.assert_array_equal(z_of(trained, atac), z_of(trained, mdata["atac"]))


def test_peaks_of_mitochondria():
    from scmomer.module import peaks_in_one_notation

    assert peaks_in_one_notation(pd.Index(["chrM:1-2", "MT-1-2"])).tolist() == ["MT:1-2"] * 2


# -- what was there before


@pytest.mark.parametrize("foreign", ["text", 5, ["a"], {"embed": "x"}])
@pytest.mark.filterwarnings("ignore:uns")
def test_foreign_records(trained, mdata, foreign):
    query, reference = mdata["rna"].copy(), mdata["rna"].copy()
    for data in (query, reference):
        data.uns["scmomer"] = foreign
        data.obsm["X_scmomer"] = np.zeros((120, 8))
    scmomer.tl.map_to_reference(query, reference, trained)
    assert query.uns["scmomer"]["embed"]["model_id"] == trained.id


def test_an_embedding_in_a_data_frame(trained, mdata):
    reference, query = mdata["rna"].copy(), mdata["rna"].copy()
    scmomer.tl.embed(reference, trained)
    frame = pd.DataFrame(reference.obsm["X_scmomer"], index=reference.obs_names)
    reference.obsm["X_scmomer"] = frame
    scmomer.tl.map_to_reference(query, reference, trained)
    assert np.isfinite(query.obs["reference_distance"]).all()


# -- arguments


def test_features_of_a_generator(trained, mdata, refuses):
    names, rna = trained.spec.features["atac"], mdata["rna"]
    out = TR(rna, trained, features=(name for name in names[:3]))  # type: ignore[arg-type]
    assert out.var_names.tolist() == names[:3].tolist()
    for features, part in (
        (names[0], f"['{names[0]}']"),
        (mdata["atac"], "var_names"),
        (pd.DataFrame({"a": names}), "one column"),
        (names.to_numpy().reshape(2, 100), "ravel()"),
    ):
        with refuses(TypeError, part):
            TR(rna, trained, features=features)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [None, [100] * 120, np.ones(120), True, -1])
def test_depths_that_are_no_number(trained, mdata, refuses, depth):
    with refuses(ValueError, "depth"):
        trained.get_translated(mdata["rna"], depth=depth)


@pytest.mark.parametrize("size", [0, -1, 2.5, "3", float("nan"), True])
def test_batch_sizes_and_epochs(trained, mdata, make_model, train, refuses, size):
    with refuses(ValueError, "batch_size"):
        z_of(trained, mdata, batch_size=size)
    model = make_model(mdata)
    for name in ("batch_size", "max_epochs"):
        with refuses(ValueError, name):
            train(model, **{name: size})
    assert model.stages_ == ()


def test_arguments_of_training(mdata, make_model, train, refuses):
    model = make_model(mdata)
    with refuses(ValueError, "['rna']"):
        train(model, stages="rna")
    with refuses(ValueError, "'lr'", "learning_rate"):
        train(model, plan_kwargs={"learning_rate": 1e-3})


def test_indices_of_other_kinds(trained, mdata, refuses):
    z = z_of(trained, mdata)
    part = z_of(trained, mdata, indices=slice(3, 9))
    np.testing.assert_allclose(part, z[3:9], rtol=0, atol=1e-6)
    for indices in (3, (i for i in range(3)), ["cell00001"]):
        with refuses(TypeError, "indices"):
            z_of(trained, mdata, indices=indices)


@pytest.mark.parametrize("named", ["same", "shuffled", "numbered", "other"])
def test_labels_in_a_series(trained, mdata, refuses, named):
    rna = mdata["rna"].copy()
    labels = rna.obs["cell_type"].astype(object)
    classifier = scmomer.CellTypeClassifier(trained, n_members=1)
    expected = classifier.fit(rna, labels.to_numpy()).predict(rna)
    given = {
        "same": labels,
        "shuffled": labels.sample(frac=1, random_state=0),
        "numbered": labels.reset_index(drop=True),
        "other": labels.set_axis([f"x{i}" for i in range(120)]),
    }[named]
    if named == "other":
        with refuses(ValueError, "labels.to_numpy()"):
            classifier.fit(rna, given)
        return
    assert (np.asarray(classifier.fit(rna, given).predict(rna)) == np.asarray(expected)).all()


def test_one_modality_and_genes_by_name(trained, mdata, refuses):
    classifier = scmomer.CellTypeClassifier(trained, n_members=1)
    assert classifier.fit(mdata, "cell_type", modalities="rna").fitted_.modalities == ("rna",)
    with refuses(ValueError, "'Gene0001'", "'zz'"):
        classifier.fit(mdata["rna"], "cell_type", genes=["zz"])


def test_paths(trained, mdata, saved, tmp_path, monkeypatch, refuses):
    class Pathlike:
        def __fspath__(self) -> str:
            return str(saved)

    rna = mdata["rna"]
    assert TR(rna, Pathlike()).shape == (120, 200)  # type: ignore[arg-type]
    monkeypatch.setenv("HOME", str(Path(saved).parent))
    assert TR(rna, f"~/{Path(saved).name}").shape == (120, 200)
    with refuses(FileNotFoundError, "model.save(path)"):
        scmomer.load(tmp_path / "none")
    for name in ("a.zarr", "a.csv"):
        with refuses(ValueError, "path=", ".h5ad"):
            TR(rna, trained, path=tmp_path / name)
    first = TR(rna, trained, path=tmp_path / "new" / "a.h5ad")
    with refuses(OSError, "adata.file.close()"):
        TR(rna, trained, path=tmp_path / "new" / "a.h5ad")
    first.file.close()
    rna.write_h5ad(tmp_path / "own.h5ad")
    backed = anndata.read_h5ad(tmp_path / "own.h5ad", backed="r")
    with refuses(ValueError, "file of the data"):
        TR(backed, trained, path=tmp_path / "own.h5ad")
