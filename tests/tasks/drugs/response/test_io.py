from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from scmomer.tasks.drugs import DrugResponseModel

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

pytestmark = pytest.mark.filterwarnings("ignore:.*resemble no training drug")

DRUGS = {"ester": "CCCC(=O)OC", "acid": "CCCCC(=O)O"}


def same(one: DrugResponseModel, other: DrugResponseModel, cells) -> None:
    for drugs in (None, DRUGS):
        a, b = (model.predict(cells, drugs) for model in (one, other))
        np.testing.assert_array_equal(a.X, b.X)
        for name in a.layers:
            np.testing.assert_array_equal(a.layers[name], b.layers[name])
        assert a.obs.equals(b.obs)
        assert a.var.equals(b.var)
        assert a.uns["scmomer_drug_response"] == b.uns["scmomer_drug_response"]


def test_round_trip(screen, fitted_response, tmp_path):
    path = tmp_path / "a.drugs"
    fitted_response.save(path)
    assert sorted(p.name for p in path.iterdir()) == ["drug_response.json", "weights.safetensors"]
    loaded = DrugResponseModel.load(path)
    same(fitted_response, loaded, screen.cells)
    assert loaded.n_members == 2
    assert loaded.lines_.equals(fitted_response.lines_)
    loaded.save(tmp_path / "again")
    same(DrugResponseModel.load(tmp_path / "again"), fitted_response, screen.cells)


def test_round_trip_of_networks(make_screen, few_epochs, monkeypatch, tmp_path):
    """Both branches, a rank below the largest, and mean pooling."""
    for where in ("lines", "drugs"):
        monkeypatch.setattr(
            f"scmomer.tasks.drugs.response._held_out_{where}.network_weight", lambda *_: 0.3
        )
    screen = make_screen(n_lines=14, n_drugs=24)
    model = DrugResponseModel(n_members=2, pooling="mean")
    model.fit(screen.response, screen.cells, screen.drugs, profile="zscore")
    model.save(tmp_path / "model")
    loaded = DrugResponseModel.load(tmp_path / "model")
    assert loaded.pooling == "mean"
    core = loaded.fitted_.core
    assert len(core.members) == len(core.cell_branches) == 2
    other = screen.cells.copy()
    other.obs_names = [f"new {i}" for i in range(14)]
    for cells in (screen.cells, other):
        same(model, loaded, cells)


def test_round_trip_of_the_published_network(screen, few_epochs, tmp_path):
    model = DrugResponseModel(architecture="published")
    model.fit(screen.response, screen.cells, screen.drugs, profile="zscore")
    model.save(tmp_path / "model")
    loaded = DrugResponseModel.load(tmp_path / "model")
    assert loaded.architecture == "published"
    same(model, loaded, screen.cells)


def test_existing_folders(fitted_response, tmp_path, refuses):
    fitted_response.save(tmp_path / "model")
    with refuses(FileExistsError, "a new folder", "overwrite=True"):
        fitted_response.save(tmp_path / "model")
    fitted_response.save(tmp_path / "model", overwrite=True)
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with refuses(FileExistsError, "notes.txt"):
        fitted_response.save(tmp_path / "model", overwrite=True)


def test_damage(fitted_response, tmp_path, refuses):
    with refuses(FileNotFoundError, "drug_response folder", "nothing"):
        DrugResponseModel.load(tmp_path / "absent")
    path = tmp_path / "model"
    fitted_response.save(path)
    file = path / "drug_response.json"
    meta = json.loads(file.read_text())
    for change in ({"n_blocks": 2}, {"line_spread": None}, {"n_cell_branches": 9}, {"options": {}}):
        file.write_text(json.dumps({**meta, **change}))
        with refuses(ValueError, "drug_response.json", "damage"):
            DrugResponseModel.load(path)
    file.write_text("{")
    with refuses(ValueError, "drug_response.json", "damage"):
        DrugResponseModel.load(path)
    file.write_text(json.dumps(meta))
    (path / "weights.safetensors").write_bytes(b"nothing")
    with refuses(ValueError, "safetensors", "damaged"):
        DrugResponseModel.load(path)


@pytest.mark.parametrize("name", ["lines", "drugs", "genes", "smiles", "removed"])
def test_shortened_lists(fitted_response, tmp_path, refuses, name):
    fitted_response.save(tmp_path / "model")
    file = tmp_path / "model" / "drug_response.json"
    meta = json.loads(file.read_text())
    for value in (meta[name][:-1], [*meta[name], "more"]):
        file.write_text(json.dumps({**meta, name: value}))
        with refuses(ValueError, "drug_response.json", "damage", "length"):
            DrugResponseModel.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["coefficients", "profiles.0", "units.mean", "completed"])
def test_weights_that_are_no_numbers(fitted_response, tmp_path, refuses, name):
    fitted_response.save(tmp_path / "model")
    file = tmp_path / "model" / "weights.safetensors"
    tensors = load_file(file)
    save_file({**tensors, name: tensors[name] * float("nan")}, file)
    with refuses(ValueError, "damage", f"{name} is not finite"):
        DrugResponseModel.load(tmp_path / "model")
    save_file({**tensors, name: tensors[name][:-1].contiguous()}, file)
    with refuses(ValueError, "damage", f"{name} does not have the length"):
        DrugResponseModel.load(tmp_path / "model")


def test_a_model_without_embeddings_takes_none(fitted_response, trained, tmp_path, refuses):
    fitted_response.save(tmp_path / "model")
    with refuses(ValueError, "no embedding_model", "trained without one"):
        DrugResponseModel.load(tmp_path / "model", trained)
