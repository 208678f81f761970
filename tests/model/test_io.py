"""Model folders: complete, without pickle, checked when they are read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import scmomer
from scmomer.model import _current_model, _folder

META, WEIGHTS = "model.json", "weights.safetensors"


@pytest.fixture
def folder(saved, tmp_path):
    """A model folder that may be damaged."""
    return shutil.copytree(saved, tmp_path / "tiny.scmomer")


def edit(folder, change) -> None:
    """Changes the JSON of a model folder."""
    meta = json.loads((folder / META).read_text())
    change(meta)
    (folder / META).write_text(json.dumps(meta))


# -- there and back


def test_a_folder_holds_two_files_and_no_pickle(saved):
    assert sorted(p.name for p in saved.iterdir()) == [META, WEIGHTS]
    json.loads((saved / META).read_text())
    for file in saved.iterdir():
        with (
            pytest.raises((pickle.UnpicklingError, KeyError, ValueError)),
            file.open("rb") as stream,
        ):
            pickle.load(stream)


@pytest.mark.parametrize("container", ["MuData", "mosaic", "AnnData-rna", "AnnData-atac"])
def test_a_loaded_model_gives_the_same(trained, saved, make_unseen, container):
    data = make_unseen(missing={"rna": 0.3, "atac": 0.3} if container == "mosaic" else None)
    data = data[container[8:]] if container.startswith("AnnData") else data
    for loaded in (scmomer.load(saved), scmomer.SCMOMER.load(str(saved), accelerator="cpu")):
        for modality in ("joint", "rna", "atac"):
            expected = trained.get_latent_representation(data, modality=modality)
            found = loaded.get_latent_representation(data, modality=modality)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        for to in ("atac", "rna"):
            expected = trained.get_translated(data, to, batch="batch2")
            found = loaded.get_translated(data, to, batch="batch2")
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_split_is_saved_and_older_folders_lack_it(trained, folder):
    record = trained._split
    assert record is not None and scmomer.load(folder)._split == record
    edit(folder, lambda meta: meta.pop("split"))
    loaded = scmomer.load(folder)
    assert loaded._split is None and loaded._is_warm


def test_an_untrained_model_sets_its_statistics_later(make_model, mdata, tmp_path):
    make_model(mdata).save(tmp_path / "model")
    loaded = scmomer.load(tmp_path / "model")
    assert not loaded._is_warm and loaded._split is None


@pytest.mark.parametrize("wrong", [{"seed": "x"}, {"seed": 1, "train_size": 7}, {"other": 1}, 3])
def test_a_damaged_split_is_refused(folder, refuses, wrong):
    edit(folder, lambda meta: meta.update(split=wrong))
    with refuses(ValueError, "damage"):
        scmomer.load(folder)


def test_another_process_gives_the_same(trained, saved, make_unseen, tmp_path):
    query = make_unseen()["rna"]
    query.write_h5ad(tmp_path / "query.h5ad")
    script = """
import sys, anndata, numpy, scmomer
folder, query, out = sys.argv[1:]
model = scmomer.load(folder)
cells = anndata.read_h5ad(query)
scmomer.tl.embed(cells, model)
numpy.savez(out, z=cells.obsm["X_scmomer"], atac=scmomer.tl.translate_atac(cells).X)
"""
    paths = [str(saved), str(tmp_path / "query.h5ad"), str(tmp_path / "out.npz")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script, *paths], check=True, env=env, cwd=tmp_path)
    found = np.load(tmp_path / "out.npz")
    expected = trained.get_latent_representation(query)
    np.testing.assert_allclose(found["z"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["atac"], trained.get_translated(query), rtol=0, atol=1e-6)


def test_everything_that_is_known_survives(trained, saved):
    loaded = scmomer.load(saved)
    assert loaded.id == trained.id and loaded.stages_ == trained.stages_ and loaded.is_trained_
    assert loaded.config == trained.config
    assert loaded._model_summary_string == trained._model_summary_string
    assert loaded.spec.to_dict() == trained.spec.to_dict()
    assert loaded.spec.batches == ["batch1", "batch2"] and loaded.target_sum == trained.target_sum
    assert list(loaded.history) == ["rna", "atac", "fusion", "bridge"]
    for stage, table in trained.history.items():
        pd.testing.assert_frame_equal(loaded.history[stage], table, check_dtype=False)
    state = trained.module.state_dict()
    assert state.keys() == loaded.module.state_dict().keys()
    assert all(torch.equal(v, state[k]) for k, v in loaded.module.state_dict().items())


def test_a_loaded_model_can_be_saved_again(saved, tmp_path):
    scmomer.load(saved).save(tmp_path / "again")
    assert (tmp_path / "again" / META).read_text() == (saved / META).read_text()
    first, second = (load_file(p / WEIGHTS) for p in (saved, tmp_path / "again"))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_model_of_one_modality_survives(trained_rna, trained_atac, mdata, tmp_path, name):
    model = {"rna": trained_rna, "atac": trained_atac}[name]
    model.save(tmp_path / "one")
    loaded = scmomer.load(tmp_path / "one")
    assert loaded.spec.modalities == (name,)
    found = loaded.get_latent_representation(mdata[name])
    np.testing.assert_allclose(found, model.get_latent_representation(), rtol=0, atol=1e-6)


def test_an_untrained_model_stays_untrained(make_model, mdata, tmp_path, refuses):
    make_model(mdata).save(tmp_path / "new")
    loaded = scmomer.load(tmp_path / "new")
    assert loaded.stages_ == () and not loaded.is_trained_ and loaded.history == {}
    with refuses(RuntimeError, "never trained"):
        loaded.get_latent_representation(mdata)


def test_stages_that_are_finished_survive(make_model, train, mdata, tmp_path, refuses):
    model = make_model(mdata)
    train(model, stages=["rna", "atac"])
    model.save(tmp_path / "half")
    loaded = scmomer.load(tmp_path / "half")
    assert loaded.stages_ == ("rna", "atac") and list(loaded.history) == ["rna", "atac"]
    with refuses(RuntimeError, "'fusion'"):
        loaded.get_latent_representation(mdata)


def test_a_loaded_model_has_no_data_of_its_own(saved, refuses):
    loaded = scmomer.load(saved)
    with refuses(RuntimeError, "registered data", "loaded without data", "Pass data"):
        loaded.get_latent_representation()
    with refuses(RuntimeError, "registered data", "`model = scmomer.load(path, mdata)`"):
        loaded.train()


def test_names_that_are_not_ascii_survive(make_model, train, make_mdata, tmp_path):
    mdata = make_mdata()
    rna = mdata["rna"].copy()
    rna.var_names = [f"Gène-β{i}" for i in range(60)]
    rna.obs["site"] = ["Zürich", "京都"] * 60
    model = make_model(rna, {"batch_key": "site"})
    train(model)
    model.save(tmp_path / "modèle")
    loaded = scmomer.load(tmp_path / "modèle")
    assert loaded.spec.batches == ["Zürich", "京都"]
    found = loaded.get_latent_representation(rna)
    np.testing.assert_allclose(found, model.get_latent_representation(), rtol=0, atol=1e-6)


# -- writing


def test_an_existing_folder_is_not_overwritten(trained, folder, refuses):
    before = (folder / META).read_bytes()
    with refuses(FileExistsError, "a new folder", str(folder), "overwrite=True"):
        trained.save(folder)
    assert (folder / META).read_bytes() == before


def test_a_model_folder_is_replaced_when_asked_to(trained_rna, folder):
    trained_rna.save(folder, overwrite=True)
    assert scmomer.load(folder).id == trained_rna.id
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]  # no drafts stay


def test_nothing_but_a_model_folder_is_replaced(trained, tmp_path, refuses):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "paper.tex").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    for name, found in (("results", "['paper.tex']"), ("file", "a file")):
        with refuses(FileExistsError, "a model folder to overwrite", found, "another path"):
            trained.save(tmp_path / name, overwrite=True)
    assert (tmp_path / "results" / "paper.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "more work"


def test_a_failed_save_keeps_the_older_model(trained, trained_rna, folder, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(_folder, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        trained_rna.save(folder, overwrite=True)
    assert scmomer.load(folder).id == trained.id


def test_missing_parents_are_made(trained, tmp_path):
    trained.save(tmp_path / "a" / "b" / "tiny.scmomer")
    assert scmomer.load(tmp_path / "a" / "b" / "tiny.scmomer").id == trained.id


# -- damaged and foreign folders


def test_nothing_there(tmp_path, refuses):
    with refuses(FileNotFoundError, "a model folder", str(tmp_path / "none"), "found nothing"):
        scmomer.load(tmp_path / "none")
    (tmp_path / "file").write_text("{}")
    with refuses(FileNotFoundError, "a model folder", "found a file"):
        scmomer.load(tmp_path / "file")


@pytest.mark.parametrize("name", [META, WEIGHTS])
def test_a_missing_file(folder, refuses, name):
    (folder / name).unlink()
    left = META if name == WEIGHTS else WEIGHTS
    with refuses(FileNotFoundError, f"{META} and {WEIGHTS}", f"found ['{left}']", "model.save"):
        scmomer.load(folder)


def test_a_pickle_of_another_package_is_not_opened(tmp_path, refuses):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    torch.save({"model_state_dict": {}, "attr_dict": Bomb()}, tmp_path / "model.pt")
    with refuses(
        FileNotFoundError, f"{META} and {WEIGHTS}", "['model.pt']", "that model.save(path) wrote"
    ):
        scmomer.load(tmp_path)
    torch.save(Bomb(), tmp_path / WEIGHTS)
    torch.save(Bomb(), tmp_path / META)
    with refuses(ValueError, META, "damage"):
        scmomer.load(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_pickle_instead_of_weights_is_not_opened(folder, trained, refuses):
    torch.save(trained.module.state_dict(), folder / WEIGHTS)
    with refuses(ValueError, "safetensors", WEIGHTS, "foreign", "Save the model again"):
        scmomer.load(folder)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights(folder, refuses, share):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: int(share * len(whole))])
    with refuses(
        ValueError, "safetensors", str(folder / WEIGHTS), "damaged", "Save the model again"
    ):
        scmomer.load(folder)


@pytest.mark.parametrize("text", ["", "{", '{"format": "scmomer-model",', "\0\1\2"])
def test_broken_json(folder, refuses, text):
    (folder / META).write_text(text)
    with refuses(ValueError, META, str(folder), "damage", "Save the model again"):
        scmomer.load(folder)


def test_json_that_is_no_text(folder, refuses):
    (folder / META).write_bytes(b"\xff\xfe\x80")
    with refuses(ValueError, META, "damage"):
        scmomer.load(folder)


@pytest.mark.parametrize(
    ("text", "found"), [("[]", "'list'"), ("{}", "None"), ('{"format": "x"}', "'x'")]
)
def test_another_format(folder, refuses, text, found):
    (folder / META).write_text(text)
    with refuses(ValueError, "format 'scmomer-model'", f"found {found}", "model.save"):
        scmomer.load(folder)


@pytest.mark.parametrize("version", [3, "2", None])
def test_another_version(folder, refuses, version):
    edit(folder, lambda meta: meta.update(format_version=version, scmomer_version="9.9"))
    with refuses(ValueError, "version 2 or older", f"found {version!r}", "9.9", "Upgrade"):
        scmomer.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.pop("spec"),
        lambda meta: meta.pop("config"),
        lambda meta: meta.pop("stages"),
        lambda meta: meta.pop("format_version"),
        lambda meta: meta["spec"].pop("features"),
        lambda meta: meta["spec"].update(color="red"),
        lambda meta: meta["config"].update(color="red"),
        lambda meta: meta["config"]["modalities"]["rna"].update(color="red"),
        lambda meta: meta["config"].update(n_latent="many"),
        lambda meta: meta["spec"]["features"].update(atac=["Gad1"]),
        lambda meta: meta["history"].update(rna={"loss": [1.0]}),
        lambda meta: meta.update(history=3),
        lambda meta: meta.update(spec=[1, 2]),
    ],
)
def test_json_with_other_contents(folder, refuses, change):
    edit(folder, change)
    with refuses(ValueError, META, str(folder)):
        scmomer.load(folder)


@pytest.mark.parametrize("kind", ["missing", "extra", "shape"])
def test_tensors_that_do_not_fit_are_listed(folder, refuses, kind):
    tensors = load_file(folder / WEIGHTS)
    name = "fusion.to_out.weight"
    if kind == "missing":
        del tensors[name]
        problem = f"missing {name}"
    elif kind == "extra":
        tensors["color"] = torch.ones(3)
        problem = "unexpected color"
    else:
        tensors[name] = torch.ones(8, 5)
        problem = f"{name} of shape (8, 5) instead of (8, 16)"
    save_file(tensors, folder / WEIGHTS)
    with refuses(ValueError, META, WEIGHTS, "found 1 that", problem):
        scmomer.load(folder)


def test_weights_of_another_model_are_refused(folder, trained_rna, tmp_path, refuses):
    trained_rna.save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS, folder / WEIGHTS)
    with refuses(ValueError, "missing bridges.atac", "; ...", "not of the same model"):
        scmomer.load(folder)


def test_a_failed_load_leaves_the_current_model(folder, trained):
    from scmomer.model import resolve_model

    _current_model.set_current(trained)
    (folder / META).write_text("{")
    with pytest.raises(ValueError, match="damage"):
        scmomer.load(folder)
    assert resolve_model(None) is trained
