"""Habits of scvi-tools and scanpy, repeated calls, and errors with too little information."""

from __future__ import annotations

import re

import anndata
import numpy as np
import pytest
import scvi

import scmomer


def test_data_can_be_passed_to_load(trained, saved, mdata):
    model = scmomer.SCMOMER.load(saved, mdata)
    assert model.adata is mdata
    z = model.get_latent_representation()
    np.testing.assert_array_equal(z, trained.get_latent_representation(mdata))
    np.testing.assert_array_equal(scmomer.load(saved, adata=mdata).get_latent_representation(), z)


def test_registered_data_are_taken_as_they_are(saved, make_mdata):
    mdata = make_mdata()
    scmomer.pp.setup_mudata(mdata, batch_key="batch")
    before = mdata.uns["_scvi_uuid"] if "_scvi_uuid" in mdata.uns else None
    model = scmomer.SCMOMER.load(saved, mdata)
    assert before is None or mdata.uns["_scvi_uuid"] == before
    assert model.adata is mdata


def test_a_loaded_model_with_data_goes_on_training(make_model, mdata, make_mdata, train, tmp_path):
    model = make_model(mdata)
    train(model, stages=["rna", "atac"])
    model.save(tmp_path / "half")
    again = scmomer.SCMOMER.load(tmp_path / "half", make_mdata())
    assert again.stages_ == ("rna", "atac")
    weights = again.module.rna.encoder.state_dict()
    before = {k: v.clone() for k, v in weights.items()}
    train(again, resume=True)
    assert again.stages_ == ("rna", "atac", "fusion", "bridge")
    assert "rna" in again.history and before.keys() == weights.keys()
    assert again.get_latent_representation().shape == (120, 8)


def test_a_model_of_one_modality_is_loaded_with_its_data(trained_rna, mdata, tmp_path):
    trained_rna.save(tmp_path / "rna")
    rna = mdata["rna"].copy()
    model = scmomer.SCMOMER.load(tmp_path / "rna", rna)
    np.testing.assert_array_equal(
        model.get_latent_representation(), trained_rna.get_latent_representation(rna)
    )


def test_data_that_do_not_fit_the_model_are_refused(saved, mdata, refuses):
    few = mdata["rna"][:, :50].copy()
    from mudata import MuData

    from scmomer._compat import keep_obs

    with keep_obs():
        other = MuData({"rna": few, "atac": mdata["atac"]}, obs=mdata.obs)
    with refuses(ValueError, "60 genes", "found 10 missing", "without data"):
        scmomer.SCMOMER.load(saved, other)


def test_the_first_argument_is_called_as_in_scvi(trained, mdata):
    z = trained.get_latent_representation(mdata)
    np.testing.assert_array_equal(trained.get_latent_representation(adata=mdata), z)
    np.testing.assert_array_equal(
        trained.get_translated(adata=mdata, to="rna"), trained.get_translated(mdata, "rna")
    )


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_view_as_modality_is_named(mdata, name):
    mdata.mod[name] = mdata[name][:, ::-1]
    with pytest.raises(ValueError, match=rf"mdata\['{name}'\], found a view") as caught:
        scmomer.pp.setup_mudata(mdata)
    (line,) = re.findall(r"Run `(.*)` first", str(caught.value))
    exec(line, {"mdata": mdata})
    scmomer.pp.setup_mudata(mdata)
    assert not mdata[name].is_view


def test_a_view_is_named(mdata):
    view = mdata["rna"][:50]
    with pytest.raises(ValueError, match=r"`adata = adata\.copy\(\)`"):
        scmomer.pp.setup_anndata(view)


@pytest.mark.parametrize("verb", ["translate_atac", "translate_protein"])
def test_a_model_without_the_modality_says_what_would_have_it(trained_rna, mdata, refuses, verb):
    what = {"translate_atac": "peaks", "translate_protein": "proteins"}[verb]
    with refuses(ValueError, "one of ['rna']", f"predict {what}", "scmomer.pp.setup_mudata"):
        getattr(scmomer.tl, verb)(mdata["rna"], trained_rna)


def only_in(mdata, name: str) -> None:
    """Leaves the column of cell types in one modality's obs."""
    types = mdata.obs["cell_type"]
    for data in (mdata, *mdata.mod.values()):
        data.obs = data.obs.drop(columns=[c for c in data.obs if c.endswith("cell_type")])
    mdata[name].obs["cell_type"] = types.to_numpy()


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_column_is_found_wherever_it_is(trained, make_mdata, name):
    plain, mdata = make_mdata(), make_mdata()
    only_in(mdata, name)
    scmomer.tl.rank_peaks(plain, "cell_type")
    scmomer.tl.rank_peaks(mdata, "cell_type")
    found, expected = (d["atac"].uns["rank_peaks"]["names"] for d in (mdata, plain))
    assert found.tolist() == expected.tolist()
    scmomer.tl.map_to_reference(plain, mdata, trained, labels_key="cell_type")
    scmomer.tl.annotate(plain, mdata, labels_key="cell_type", model=trained)
    scmomer.pp.setup_mudata(mdata, labels_key="cell_type")


def test_a_column_of_a_mosaic_is_put_together(trained, make_mdata):
    mdata = make_mdata(missing={"rna": 0.3, "atac": 0.3})
    types = mdata.obs["cell_type"].astype(str)
    for data in (mdata, *mdata.mod.values()):
        data.obs = data.obs.drop(columns=[c for c in data.obs if c.endswith("cell_type")])
    for adata in mdata.mod.values():
        adata.obs["cell_type"] = types[adata.obs_names].to_numpy()
    query = make_mdata(seed=3)["rna"].copy()
    query.var_names = mdata["rna"].var_names
    scmomer.tl.map_to_reference(query, mdata, trained, labels_key="cell_type")
    assert set(query.obs["reference_label"].cat.categories) == set(types)


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
@pytest.mark.parametrize("kind", ["MuData", "rna"])
def test_annotating_twice_gives_the_same(trained, mdata, make_unseen, mode, kind):
    assert scvi.settings.seed is None
    first, second = (make_unseen() if kind == "MuData" else make_unseen()["rna"] for _ in range(2))
    for query in (first, second):
        scmomer.tl.annotate(query, mdata, labels_key="cell_type", model=trained, mode=mode)
    assert first.obs["scmomer_label"].equals(second.obs["scmomer_label"])
    np.testing.assert_array_equal(
        first.obsm["scmomer_label_probability"], second.obsm["scmomer_label_probability"]
    )


def test_other_calls_repeat_too(trained, mdata, make_unseen):
    runs = []
    for _ in range(2):
        query = make_unseen()["rna"].copy()
        scmomer.tl.map_to_reference(query, mdata, trained, labels_key="cell_type")
        atac = scmomer.tl.translate_atac(query, trained, uncertainty=True)
        runs.append((query.obsm["reference_probabilities"], atac.X, atac.layers["scmomer_std"]))
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_concatenation_of_samples_is_a_query(trained, mdata, make_unseen):
    parts = [make_unseen(seed=s)["rna"] for s in (7, 8)]
    joined = anndata.concat(parts, index_unique="-")
    scmomer.tl.embed(joined, trained)
    np.testing.assert_allclose(
        joined.obsm["X_scmomer"][:120], trained.get_latent_representation(parts[0]), atol=1e-6
    )
