"""What messages advise, done to the letter: the call that they came from works then."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import mudata
import numpy as np
import pandas as pd
import psutil
import pytest
from anndata import AnnData, concat
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer._constants import INTEGRATION_SCORES
from scmomer.data._messages import assigned, called, display_name, layer_argument, option
from scmomer.datasets import synthetic
from scmomer.tl import _integration_report

QUIET = {"max_epochs": 1, "enable_progress_bar": False}


def text_of(call: str, names: dict[str, Any]) -> str:
    """Return the message of a call: its error, or its warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(call, names)
        except Exception as error:  # noqa: BLE001
            return str(error.args[0])
    return next(str(w.message) for w in caught if "scmomer" in str(w.message))


@pytest.fixture
def follow() -> Callable[..., str]:
    """Runs a call, then the line that its message has, then the call; returns the message."""

    def run(call: str, *, then: str | None = None, **names: Any) -> str:
        names = {"scmomer": scmomer, "np": np, "mudata": mudata, **names}
        text = text_of(call, names)
        for line in re.findall(r"`([^`]+)`", text):
            exec(line, names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(then or call, names)
        return text

    return run


def in_a_layer(data: AnnData | MuData) -> Any:
    """Move counts into a layer and leave fractions in X."""
    for adata in data.mod.values() if isinstance(data, MuData) else (data,):
        adata.layers["counts"] = adata.X.copy()
        adata.X = adata.X / 2
    return data


def twice(data: AnnData, attribute: str) -> None:
    names = getattr(data, attribute).tolist()
    names[1] = names[0]
    setattr(data, attribute, names)


# -- set-up


def test_a_view_is_copied(follow, mdata):
    assert "`mdata = mdata.copy()`" in follow("scmomer.pp.setup_mudata(mdata)", mdata=mdata[:60])
    follow("scmomer.pp.setup_anndata(adata)", adata=mdata["rna"][:60])


@pytest.mark.parametrize("name", ["rna", "atac"])
@pytest.mark.parametrize("attribute", ["var_names", "obs_names"])
def test_names_become_unique(follow, mdata, name, attribute):
    twice(mdata[name], attribute)
    follow("scmomer.pp.setup_anndata(adata)", adata=mdata[name].copy())
    follow("scmomer.pp.setup_mudata(mdata)", mdata=mdata)


def test_no_matrix_in_x(follow, mdata):
    adata = mdata["rna"].copy()
    adata.layers["counts"], adata.X = adata.X.copy(), None
    again = "scmomer.pp.setup_anndata(adata, layer='counts')"
    text = follow("scmomer.pp.setup_anndata(adata)", then=again, adata=adata)
    assert "pass layer='counts'" in text


@pytest.mark.parametrize("key", ["rna", "measured"])
def test_cells_without_counts_are_dropped_whatever_the_layers(follow, mdata, key):
    data = MuData({key: mdata["rna"].copy(), "atac": mdata["atac"].copy()})
    counts = data[key].X.tolil()
    counts[0] = 0
    data[key].X = counts.tocsr()
    call = (
        "scmomer.pp.setup_mudata(mdata, rna_layer='counts', atac_layer='counts', "
        f"modalities={{'rna': {key!r}}})"
    )
    assert "atac_layer='counts')`" in follow(call, mdata=in_a_layer(data))


def test_drop_unmeasured_names_its_argument(mdata):
    names = {"scmomer": scmomer, "mdata": in_a_layer(mdata)}
    text = text_of("scmomer.pp.drop_unmeasured(mdata)", names)
    assert "pass rna_layer='counts'" in text
    scmomer.pp.drop_unmeasured(mdata, rna_layer="counts", atac_layer="counts")


def test_unregistered_data_are_named_by_kind(mdata):
    for name, data in (("mdata", mdata), ("adata", mdata["rna"].copy())):
        text = text_of(f"scmomer.SCMOMER({name})", {"scmomer": scmomer, name: data})
        exec(re.findall(r"`(.+?)`", text)[0], {"scmomer": scmomer, name: data})


def test_modalities_are_named_by_the_keys_that_there_are():
    protein = synthetic(120, 60, 200, n_proteins=30)
    mdata = MuData({"rna": protein["rna"].copy(), "xyz": protein["protein"].copy()})
    mdata["xyz"].var = mdata["xyz"].var[[]]
    text = text_of("scmomer.pp.setup_mudata(mdata)", {"scmomer": scmomer, "mdata": mdata})
    assert "modalities={'rna_layer': 'rna', 'protein_layer': 'xyz'}" in text
    scmomer.pp.setup_mudata(mdata, modalities={"rna_layer": "rna", "protein_layer": "xyz"})


def test_one_modality_of_two_alike_beside_what_was_named(mdata):
    parts = {"gex": mdata["rna"], "expression": mdata["rna"], "abc": mdata["atac"]}
    data = MuData({key: adata.copy() for key, adata in parts.items()})
    call = "scmomer.pp.setup_mudata(mdata, modalities={'atac': 'abc'})"
    text = text_of(call, {"scmomer": scmomer, "mdata": data})
    chosen = {"atac_layer": "abc", "rna_layer": "gex"}
    assert f"modalities={chosen}" in text
    scmomer.pp.setup_mudata(data, modalities=chosen)


# -- several modalities in one matrix


@pytest.fixture
def side_by_side(make_unseen) -> AnnData:
    """Genes and peaks in one AnnData."""
    mdata = make_unseen()
    return concat([mdata["rna"], mdata["atac"]], axis=1, merge="same")


def test_one_matrix_is_split_for_the_verb(follow, trained, side_by_side, mdata):
    atac = mdata["atac"].copy()
    for call in (
        "scmomer.pp.align_genes(adata, model)",
        "scmomer.pp.align_peaks(adata, model)",
        "scmomer.tl.rank_peaks(adata, 'cell_type')",
    ):
        follow(call, adata=side_by_side.copy(), model=trained)
    call = "scmomer.pp.pair_cells(rna, atac, on='labels', labels_key='cell_type')"
    follow(call, rna=side_by_side, atac=atac)


def test_one_matrix_is_split_by_its_layer(follow, side_by_side):
    again = "scmomer.pp.setup_mudata(mdata, rna_layer='counts', atac_layer='counts')"
    call = "scmomer.pp.setup_anndata(adata, layer='counts')"
    follow(call, then=again, adata=in_a_layer(side_by_side))


@pytest.fixture
def unscored(monkeypatch) -> None:
    """Integration reports without scib-metrics, which takes seconds for each embedding."""

    def scores(embeddings, obs, kbet, n_jobs):
        index = pd.Index(list(embeddings), name="embedding")
        return pd.DataFrame(dict.fromkeys(INTEGRATION_SCORES, 0.5), index=index)

    monkeypatch.setattr(_integration_report, "_scores", scores)


@pytest.mark.usefixtures("unscored")
def test_a_modality_of_a_mudata_is_split_in_its_place(follow, side_by_side, make_unseen):
    cells = make_unseen()
    mdata = MuData({"rna": side_by_side, "atac": cells["atac"].copy()}, obs=cells.obs)
    mdata.obsm["X_scmomer"] = np.random.default_rng(0).normal(size=(mdata.n_obs, 8))
    call = "scmomer.tl.integration_report(mdata, batch_key='batch', labels_key='cell_type')"
    assert "`mdata.mod['rna'] = " in follow(call, mdata=mdata)


# -- counts of registered data, of a reference, of a query


def test_registered_counts_come_back(follow, make_model, train, mdata):
    model = make_model(mdata)
    train(model)
    expected = model.get_latent_representation()
    in_a_layer(mdata)
    mdata["atac"].X = mdata["atac"].layers["counts"].copy()
    text = follow("z = model.get_latent_representation()", model=model, mdata=mdata)
    assert "rna_layer" not in text and "put the counts back" in text
    assert np.array_equal(model.get_latent_representation(), expected)


def test_load_names_the_set_up(saved, mdata):
    text = text_of(
        "scmomer.load(path, mdata)", {**globals(), "path": saved, "mdata": in_a_layer(mdata)}
    )
    assert "pass rna_layer='counts' to scmomer.pp.setup_mudata." in text
    layers = {"rna_layer": "counts", "atac_layer": "counts"}
    scmomer.pp.setup_mudata(mdata, batch_key="batch", labels_key="cell_type", **layers)
    assert scmomer.load(saved, mdata).adata is mdata


def test_pretrain_names_its_own_argument(saved, make_unseen):
    adata = in_a_layer(make_unseen()["rna"].copy())
    model = scmomer.load(saved)
    text = text_of(
        f"model.pretrain(adata, modality='rna', **{QUIET})", {"model": model, "adata": adata}
    )
    assert "adata.X" in text and "pass layer='counts'" in text
    model.pretrain(adata, modality="rna", layer="counts", **QUIET)


@pytest.mark.parametrize("kind", ["AnnData", "MuData"])
@pytest.mark.parametrize("verb", ["annotate", "map_to_reference"])
def test_a_reference_is_told_from_the_query(trained, mdata, make_unseen, verb, kind):
    def cells(data: MuData) -> AnnData | MuData:
        return data["rna"].copy() if kind == "AnnData" else data

    names = {"scmomer": scmomer, "model": trained}
    call = f"scmomer.tl.{verb}(query, reference, labels_key='cell_type', model=model"
    names |= {"reference": in_a_layer(cells(mdata)), "query": cells(make_unseen())}
    place, layer = ("reference.X", "'counts'") if kind == "AnnData" else ("reference['rna'].X", "{")
    text = text_of(f"{call})", names)
    assert place in text and f"pass reference_layer={layer}" in text
    given = re.findall(r"pass (reference_layer=.*)\.$", text)[0]
    if kind == "MuData":
        given = given.replace("}", ", 'atac': 'counts'}")
    exec(f"{call}, {given})", names)
    names |= {"query": in_a_layer(cells(make_unseen())), "reference": names["query"]}
    text = text_of(f"{call})", names)
    argument = "layer" if kind == "AnnData" else "rna_layer"
    assert "query" in text.split("found")[0] and f"pass {argument}='counts'" in text


# -- columns


@pytest.mark.usefixtures("unscored")
@pytest.mark.parametrize("place", ["data", "modality"])
def test_cells_without_a_value_are_dropped(follow, trained, make_unseen, place):
    reference = make_unseen()
    obs = (reference if place == "data" else reference["rna"]).obs
    obs["type"] = obs["cell_type"].astype(object)
    obs.iloc[:3, obs.columns.get_loc("type")] = None
    query = make_unseen()
    fit = "scmomer.CellTypeClassifier(model, n_members=1).fit(reference, 'type')"
    follow(fit, reference=reference, model=trained)
    call = "scmomer.tl.map_to_reference(query, reference, model, labels_key='type')"
    follow(call, reference=reference, model=trained, query=query)
    scmomer.tl.embed(reference, trained)
    call = "scmomer.tl.integration_report(mdata, batch_key='batch', labels_key='type', methods=())"
    follow(call, mdata=reference)


def test_labels_without_a_column_are_dropped_by_hand(trained, mdata, refuses):
    labels = mdata.obs["cell_type"].astype(object).to_numpy(copy=True)
    labels[0] = None
    with refuses(ValueError, "1 of 120 missing", "Drop these cells and their labels."):
        scmomer.CellTypeClassifier(trained).fit(mdata, labels)


def test_columns_of_modalities_are_listed(trained, make_unseen, refuses):
    cells = make_unseen()
    cells.obs = cells.obs[[]]
    with refuses(ValueError, "labels_key=", "'cell_type'"):
        scmomer.tl.annotate(make_unseen(), cells, model=trained)
    with refuses(KeyError, "reference['rna'].obs", "Name one of them."):
        scmomer.CellTypeClassifier(trained).fit(cells, "nope")


# -- translation


@pytest.mark.parametrize(("source", "to"), [("rna", "atac"), ("atac", "rna")])
def test_a_translation_that_does_not_fit_goes_to_disk(
    follow, trained, make_unseen, monkeypatch, tmp_path, source, to
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1}))
    names = {"model": trained, "adata": make_unseen()[source].copy()}
    call = f"scmomer.tl.translate_{to}(adata, model)"
    assert "indices" not in follow(call, then="assert out.isbacked; out.file.close()", **names)


def test_a_mudata_without_the_modality_says_what_to_translate(trained, make_unseen):
    mdata = MuData({"rna": make_unseen()["rna"].copy()})
    names = {"scmomer": scmomer, "mdata": mdata, "model": trained}
    for more in ("", ", path='out.h5ad'"):
        text = text_of(f"scmomer.tl.translate_atac(mdata, model{more})", names)
        line = "scmomer.tl.translate_atac(mdata['rna'], model)"
        assert line in text
        exec(line, names)


@pytest.mark.parametrize("kind", ["AnnData", "MuData"])
def test_peaks_without_values_are_left_out(follow, make_unseen, kind):
    mdata = make_unseen()
    values = np.random.default_rng(0).random(mdata["atac"].shape, np.float32)
    values[:, 3] = np.nan
    mdata["atac"].layers["scmomer"] = values
    names = {"adata": mdata["atac"].copy()} if kind == "AnnData" else {"mdata": mdata}
    follow(f"scmomer.tl.rank_peaks({next(iter(names))}, 'cell_type', layer='scmomer')", **names)


def test_a_string_of_one_group(make_unseen, refuses):
    with refuses(ValueError, "Pass groups=['type1']."):
        scmomer.tl.rank_peaks(make_unseen(), "cell_type", groups="type1")


# -- models and folders


def test_a_folder_of_the_other_kind(follow, trained, saved, mdata, tmp_path):
    path = tmp_path / "some.types"
    scmomer.CellTypeClassifier(trained, n_members=1).fit(mdata, "cell_type").save(path)
    for call, folder in (
        ("scmomer.load(path)", path),
        ("scmomer.CellTypeClassifier.load(path, model)", saved),
    ):
        names = {"scmomer": scmomer, "path": folder, "model": trained}
        exec(text_of(call, names).split("Load it with: ")[1], names)


def test_a_loaded_model_is_trained_on_with_data(saved, mdata, make_unseen, tmp_path):
    model, path = scmomer.load(saved), tmp_path / "more.scmomer"
    names = {"scmomer": scmomer, "model": model, "mdata": mdata, "path": path}
    assert "`model = scmomer.load(path, mdata)`" in text_of("model.train()", names)
    model.pretrain(make_unseen()["rna"].copy(), **QUIET)
    text = text_of("model.get_latent_representation(mdata)", names)
    save, load = re.findall(r"`([^`]+)`", text)
    exec(
        f"{save}\n{load}\nmodel.train(max_epochs=1, resume=True, enable_progress_bar=False)", names
    )
    names["model"].get_latent_representation(mdata)


def test_an_interrupted_pretraining_is_started_again(saved, make_unseen):
    class Stop(pl.Callback):
        def on_train_epoch_start(self, *args: Any) -> None:
            raise KeyboardInterrupt

    model = scmomer.load(saved)
    with pytest.warns(UserWarning, match="Call model.pretrain to go on"):
        model.pretrain(make_unseen()["rna"].copy(), callbacks=[Stop()], **QUIET)


def test_align_names_the_modality(follow, trained, make_unseen):
    mdata = make_unseen()
    mdata["rna"].var_names = mdata["rna"].var_names.str.lower()
    with keep_obs():
        mdata.update()
    follow("scmomer.tl.embed(mdata, model)", mdata=mdata, model=trained)


# -- the parts of which messages are made


def test_how_a_call_names_its_data(mdata):
    adata = mdata["rna"]
    assert (display_name(adata), display_name(mdata)) == ("adata", "mdata")
    assert (layer_argument(adata, "rna"), layer_argument(mdata, "rna")) == ("layer", "rna_layer")
    with called("reference", "reference_layer"), called("reference", keep=True):
        assert display_name(mdata) == "reference"
        assert option(layer_argument(adata, "rna"), "x") == "reference_layer='x'"
        assert option(layer_argument(mdata, "rna"), "x") == "reference_layer={'rna': 'x'}"
    with called(argument=None):
        assert layer_argument(mdata, "rna") is None
    assert display_name(mdata) == "mdata"
    assert assigned("mdata['a']") == "mdata.mod['a']" and assigned("adata") == "adata"


def test_genes_that_none_shares_are_aligned(follow, trained, mdata, make_unseen):
    reference, query = mdata["rna"][:, :30].copy(), make_unseen()["rna"][:, 30:].copy()
    call = "scmomer.tl.annotate(query, reference, labels_key='cell_type', model=model)"
    text = follow(call, query=query, reference=reference, model=trained)
    assert "`reference = scmomer.pp.align_genes(reference, model)`" in text
