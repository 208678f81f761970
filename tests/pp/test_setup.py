"""Registration: valid and invalid data, messages, and unchanged inputs."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer.pp import setup_anndata, setup_mudata

RNA_MATRIX, ATAC_MATRIX, ALONE = "mdata['rna'].X", "mdata['atac'].X", "adata.X"


def set_up(data, **kwargs) -> None:
    """Register either container."""
    (setup_mudata if isinstance(data, MuData) else setup_anndata)(data, **kwargs)


@pytest.fixture(params=["MuData-rna", "MuData-atac", "AnnData-rna", "AnnData-atac"])
def case(request, mdata):
    """A container, one of its modalities, and the name of its counts in messages."""
    container, modality = request.param.split("-")
    if container == "MuData":
        return mdata, mdata[modality], {"rna": RNA_MATRIX, "atac": ATAC_MATRIX}[modality]
    adata = mdata[modality].copy()
    return adata, adata, ALONE


# -- counts


@pytest.mark.parametrize("dense", [False, True], ids=["csr", "dense"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [(0.5, "non-integer"), (-2, "negative"), (np.nan, "NaN or infinite"), (np.inf, "NaN or inf")],
    ids=["fraction", "negative", "nan", "inf"],
)
def test_values_that_are_not_counts_are_refused(case, refuses, value, kind, dense):
    data, adata, place = case
    matrix = adata.X.toarray()
    cell, feature = 3, 7
    matrix[cell, feature] = value
    adata.X = matrix if dense else sp.csr_matrix(matrix)
    names = (repr(adata.obs_names[cell]), repr(adata.var_names[feature]))
    with refuses(
        ValueError, f"raw counts in {place}", kind, "1 of", f"{value:g} at", *names, "layer="
    ):
        set_up(data)
    assert "_scvi_batch" not in data.obs and "_scvi_uuid" not in data.uns


def test_normalized_values_are_refused_but_their_counts_layer_is_not(mdata, refuses):
    for adata in mdata.mod.values():
        adata.layers["counts"] = adata.X.copy()
        adata.X = adata.X / 3
    with refuses(ValueError, "non-integer", "rna_layer="):
        setup_mudata(mdata, atac_layer="counts")
    with refuses(ValueError, ATAC_MATRIX, "non-integer"):
        setup_mudata(mdata, rna_layer="counts")
    setup_mudata(mdata, rna_layer="counts", atac_layer="counts")
    cells = scmomer.SCMOMER(mdata, size="small")._training_cells()
    for name, counts in cells.counts.items():
        assert (counts != mdata[name].layers["counts"]).nnz == 0


def test_an_absent_layer_is_named_beside_those_present(mdata, refuses):
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    with refuses(KeyError, "'spliced'", "mdata['rna'].layers", "['counts']"):
        setup_mudata(mdata, rna_layer="spliced")
    with refuses(KeyError, "'spliced'", "adata.layers", "['counts']"):
        setup_anndata(mdata["rna"].copy(), layer="spliced")


def test_nothing_in_x_is_refused(mdata, refuses):
    empty = AnnData(obs=mdata["rna"].obs, var=mdata["rna"].var)
    with refuses(TypeError, "no matrix", ALONE):
        setup_anndata(empty)


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_data_without_cells_or_features_are_refused(mdata, refuses, axis):
    adata = (mdata["rna"][:0] if axis == "obs" else mdata["rna"][:, :0]).copy()
    with refuses(ValueError, "cells and features", str(adata.shape)):
        setup_anndata(adata, modality="rna")


def test_matrix_types_are_registered_alike(mdata, as_matrix, unchanged):
    for adata in mdata.mod.values():
        adata.X = adata.X.astype(bool).astype(np.float32)
    reference = {name: adata.X.copy() for name, adata in mdata.mod.items()}
    for adata in mdata.mod.values():
        adata.X = as_matrix(adata.X)
    with unchanged(mdata):
        setup_mudata(mdata)
        cells = scmomer.SCMOMER(mdata, size="small")._training_cells()
    for name, counts in cells.counts.items():
        assert isinstance(counts, sp.csr_matrix) and counts.dtype == np.float32
        assert (counts != reference[name]).nnz == 0 and counts.nnz == reference[name].nnz


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
def test_backed_data_are_registered(mdata, tmp_path, storage):
    adata, path = mdata["rna"].copy(), tmp_path / "backed.h5ad"
    counts = adata.X.copy()
    adata.X = {"csr": counts, "csc": counts.tocsc(), "dense": counts.toarray()}[storage]
    adata.write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    setup_anndata(backed)
    assert backed.isbacked
    found = scmomer.SCMOMER(backed, size="small")._training_cells().counts["rna"]
    assert (found != counts).nnz == 0


def test_views_are_refused_with_the_reason(mdata, refuses):
    with refuses(ValueError, "a view", "data.copy()"):
        setup_anndata(mdata["rna"][:50])
    with refuses(ValueError, "a view", "data.copy()"):
        setup_mudata(mdata[:50])


# -- names


def test_duplicated_features_are_refused(case, refuses):
    data, adata, place = case
    names = adata.var_names.tolist()
    names[1] = names[0]
    adata.var_names = names
    attribute = place.replace(".X", ".var_names")
    with refuses(
        ValueError,
        f"unique names in {attribute}",
        "1 that occur",
        names[0],
        "duplicated()" if names[0].startswith("chr") else "_make_unique()",
    ):
        set_up(data)


def test_duplicated_cells_are_refused(case, refuses):
    data, adata, place = case
    names = adata.obs_names.tolist()
    names[1] = names[0]
    adata.obs_names = names
    attribute = place.replace(".X", ".obs_names")
    with refuses(ValueError, f"{attribute}, found 1", names[0], f"`{attribute}_make_unique()"):
        set_up(data)


def test_peaks_that_do_not_parse_are_refused(mdata, refuses):
    names = mdata["atac"].var_names.tolist()
    names[5:7] = ["peak_6", "chr1:900"]
    mdata["atac"].var_names = names
    for data in (mdata, mdata["atac"].copy()):
        with refuses(ValueError, "chr1:1000-1500", "2 of 200", "'peak_6', 'chr1:900'", "Name them"):
            set_up(data)


def test_a_peak_that_ends_before_it_starts_is_refused(mdata, refuses):
    names = mdata["atac"].var_names.tolist()
    names[5] = "chr1:1500-1000"
    mdata["atac"].var_names = names
    with refuses(ValueError, "1 of 200", "'chr1:1500-1000'"):
        setup_mudata(mdata)


@pytest.mark.parametrize("form", ["{}:{}-{}", "{}_{}_{}", "{}-{}-{}"])
def test_three_spellings_of_peaks_give_the_same_model(make_mdata, form):
    plain, other = make_mdata(), make_mdata()
    var = other["atac"].var
    other["atac"].var_names = [
        form.format(*row) for row in var[["chrom", "start", "end"]].to_numpy()
    ]
    layouts = []
    for data in (plain, other):
        setup_mudata(data)
        layouts.append(scmomer.SCMOMER(data, size="small").module.modality("atac").encoder.layout)
    assert layouts[0].patch.equal(layouts[1].patch) and layouts[0].slot.equal(layouts[1].slot)
    assert layouts[0].n_patches > 1


# -- modalities


@pytest.mark.parametrize("absent", ["rna", "atac"])
def test_a_missing_modality_is_named_beside_those_present(mdata, refuses, absent):
    parts = {("other" if name == absent else name): adata for name, adata in mdata.mod.items()}
    present = str(sorted(parts))
    with refuses(
        KeyError,
        "two of ['rna', 'atac', 'protein']",
        f"found {present}",
        "modalities=",
        "setup_anndata",
    ):
        setup_mudata(MuData(parts))


@pytest.mark.parametrize(
    "modalities",
    [{"rna_layer": "gex", "atac_layer": "peaks"}, {"rna": "gex", "atac": "peaks"}],
    ids=["as MULTIVI", "short"],
)
def test_modalities_can_have_other_names(mdata, modalities):
    renamed = MuData({"peaks": mdata["atac"], "gex": mdata["rna"]})
    setup_mudata(renamed, modalities=modalities)
    model = scmomer.SCMOMER(renamed, size="small")
    assert model.spec.modality_keys == {"rna": "gex", "atac": "peaks"}
    assert model.spec.features["rna"].equals(mdata["rna"].var_names)
    assert model.spec.features["atac"].equals(mdata["atac"].var_names)


def test_unknown_keys_of_modalities_are_refused(mdata, refuses):
    with refuses(ValueError, "rna_layer", "['methylation']"):
        setup_mudata(mdata, modalities={"methylation": "met"})
    with refuses(KeyError, "'adt'", "['atac', 'rna']"):
        setup_mudata(mdata, modalities={"protein": "adt"})


def test_modalities_without_common_cells_are_refused(mdata, refuses):
    mdata["atac"].obs_names = [f"{name}-1" for name in mdata["atac"].obs_names]
    apart = MuData(dict(mdata.mod))
    with refuses(ValueError, "2 cells with both", "0 of 240", "obs_names"):
        setup_mudata(apart)


def test_the_modality_of_an_anndata_is_inferred_from_its_features(mdata):
    for name, adata in mdata.mod.items():
        setup_anndata(adata)
        assert scmomer.SCMOMER(adata, size="small").spec.modalities == (name,)


def test_the_modality_of_an_anndata_can_be_given(mdata, refuses):
    setup_anndata(mdata["atac"], modality="rna")
    assert scmomer.SCMOMER(mdata["atac"], size="small").spec.modalities == ("rna",)
    with refuses(ValueError, "['rna', 'atac', 'protein']", "'methylation'"):
        setup_anndata(mdata["rna"], modality="methylation")
    with refuses(ValueError, "chr1:1000-1500", "60 of 60"):
        setup_anndata(mdata["rna"], modality="atac")


def test_the_wrong_container_is_refused(mdata, refuses):
    with refuses(TypeError, "a MuData", "AnnData", "setup_anndata"):
        setup_mudata(mdata["rna"])
    with refuses(TypeError, "an AnnData", "MuData", "setup_mudata"):
        setup_anndata(mdata)
    with refuses(TypeError, "a MuData", "ndarray"):
        setup_mudata(np.ones((3, 3)))


# -- columns


@pytest.mark.parametrize("argument", ["batch_key", "labels_key"])
@pytest.mark.parametrize("container", ["MuData", "AnnData"])
def test_an_absent_column_is_named_beside_those_present(mdata, refuses, argument, container):
    mdata["atac"].obs["lane"] = "1"
    data = mdata if container == "MuData" else mdata["rna"].copy()
    columns = ["'batch', 'cell_type', 'state'", argument]
    if container == "MuData":
        columns += ["data['rna'].obs has", "data['atac'].obs has", "'lane'"]
    with refuses(KeyError, "'donor'", "data.obs has", *columns):
        set_up(data, **{argument: "donor"})


def test_columns_are_looked_up_in_the_container_then_in_the_modalities(mdata):
    mdata.obs["where"] = "both"
    mdata["rna"].obs["where"] = "rna"
    mdata["rna"].obs["lane"] = "rna"
    mdata["atac"].obs["lane"] = "atac"
    mdata["atac"].obs["run"] = "atac"
    for key, found in {"where": "both", "lane": "rna", "run": "atac"}.items():
        setup_mudata(mdata, batch_key=key, labels_key=key)
        spec = scmomer.SCMOMER(mdata, size="small").spec
        assert spec.batches == spec.labels == [found]


def test_columns_of_a_modality_reach_the_cells_of_a_mosaic(make_mdata):
    mdata = make_mdata(missing={"rna": 0.2})
    batch = mdata["rna"].obs.pop("batch").astype(str)
    mdata["rna"].obs["lane"] = batch
    setup_mudata(mdata, batch_key="lane")
    codes = scmomer.SCMOMER(mdata, size="small")._training_cells().batch
    has = mdata.obs_names.isin(mdata["rna"].obs_names)
    assert (codes[~has] == -1).all() and (~has).sum() == 24
    expected = batch.reindex(mdata.obs_names[has]).map({"batch1": 0, "batch2": 1})
    assert np.array_equal(codes[has], expected)


@pytest.mark.parametrize("container", ["MuData", "AnnData"])
def test_missing_values_in_a_column_are_refused(mdata, refuses, container):
    data = mdata if container == "MuData" else mdata["rna"].copy()
    data.obs["donor"] = data.obs["batch"].astype(object)
    data.obs.loc[data.obs_names[:5], "donor"] = np.nan
    with refuses(ValueError, "'donor'", "5 of 120 missing", "'unknown'"):
        set_up(data, batch_key="donor")


def test_numbers_are_batches_too(mdata):
    mdata.obs["run"] = np.arange(120) % 3
    setup_mudata(mdata, batch_key="run")
    model = scmomer.SCMOMER(mdata, size="small")
    assert model.spec.batches == ["0", "1", "2"]
    assert np.array_equal(model._training_cells().batch, np.arange(120) % 3)


# -- results


@pytest.mark.parametrize("container", ["MuData", "AnnData-rna", "AnnData-atac"])
def test_only_scvi_columns_are_added(mdata, unchanged, container):
    data = mdata if container == "MuData" else mdata[container[8:]].copy()
    for adata in dict(getattr(data, "mod", {"": data})).values():
        adata.layers["other"] = adata.X.astype(np.float64) / 2
    before = set(data.obs.columns), set(data.uns)
    with unchanged(data):
        set_up(data, batch_key="batch", labels_key="cell_type")
    assert set(data.obs.columns) - before[0] == {"_scvi_batch", "_scvi_labels"}
    assert set(data.uns) - before[1] == {"_scvi_uuid", "_scvi_manager_uuid"}


def test_data_can_be_registered_again(mdata):
    setup_mudata(mdata)
    setup_mudata(mdata, batch_key="batch")
    assert scmomer.SCMOMER(mdata, size="small").spec.batches == ["batch1", "batch2"]


@pytest.mark.parametrize("what", ["cells", "features"])
def test_empty_cells_and_features_are_accepted(case, what):
    data, adata, _ = case
    matrix = adata.X.toarray()
    matrix[(slice(0, 5) if what == "cells" else (slice(None), slice(0, 5)))] = 0
    adata.X = sp.csr_matrix(matrix)
    set_up(data)
    assert scmomer.SCMOMER(data, size="small")._training_cells().n_cells == 120


# -- construction


def test_a_model_needs_registered_data(mdata, refuses):
    with refuses(ValueError, "not registered", "(MuData)", "scmomer.pp.setup_mudata"):
        scmomer.SCMOMER(mdata, size="small")
    with refuses(ValueError, "not registered", "(AnnData)", "scmomer.pp.setup_anndata"):
        scmomer.SCMOMER(mdata["rna"], size="small")
    with refuses(ValueError, "No data", "scmomer.load"):
        scmomer.SCMOMER()
    with refuses(TypeError, "an AnnData or a MuData", "ndarray"):
        scmomer.SCMOMER(np.ones((3, 3)))


def test_unknown_options_are_refused(mdata):
    setup_mudata(mdata)
    with pytest.raises(ValueError, match=r"n_layers.*n_latent"):
        scmomer.SCMOMER(mdata, size="small", n_layers=2)
    with pytest.raises(ValueError, match="huge"):
        scmomer.SCMOMER(mdata, size="huge")
