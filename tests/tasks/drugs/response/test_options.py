from __future__ import annotations

import sys

import numpy as np
import pytest

import scmomer
from scmomer.tasks.drugs import DrugResponseModel

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")


def test_defaults(trained):
    assert DrugResponseModel().cell_inputs == "expression"
    assert DrugResponseModel(trained).cell_inputs == "both"
    assert DrugResponseModel(trained, cell_inputs="embedding").embedding_model is trained
    assert scmomer.DrugResponseModel is DrugResponseModel


@pytest.mark.parametrize("name", ["cell_inputs", "architecture", "pooling"])
def test_unknown_options(name, refuses):
    with refuses(ValueError, f"{name} among", "'deep'", "Choose one"):
        DrugResponseModel(**{name: "deep"})


def test_members(refuses):
    assert DrugResponseModel(n_members=3.0).n_members == 3
    for wrong in (0, 2.5, "five"):
        with refuses(ValueError, "n_members of at least 1", repr(wrong)):
            DrugResponseModel(n_members=wrong)
    with refuses(ValueError, "n_members of at least 2", "found 1", "Pass 5"):
        DrugResponseModel(n_members=1)


def test_embedding_models(make_model, mdata, refuses):
    for inputs in ("both", "embedding"):
        with refuses(ValueError, "an embedding_model", "none", "cell_inputs='expression'"):
            DrugResponseModel(cell_inputs=inputs)
    with refuses(TypeError, "SCMOMER", "int"):
        DrugResponseModel(3)
    with pytest.raises(RuntimeError, match="train"):
        DrugResponseModel(make_model(mdata))


def test_before_fit(screen, refuses, tmp_path):
    model = DrugResponseModel()
    for use in (
        lambda: model.drugs_,
        lambda: model.lines_,
        lambda: model.predict(screen.cells),
        lambda: model.save(tmp_path / "model"),
    ):
        with refuses(RuntimeError, "a trained model", "before fit()"):
            use()


@pytest.mark.parametrize("package", ["rdkit", "torch_geometric"])
def test_what_is_not_installed_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scmomer\[drug\]'"):
        DrugResponseModel()


def test_profiles_that_say_nothing_are_refused(screen):
    cells = screen.cells.copy()
    cells.X = np.tile(np.asarray(cells.X)[:1], (cells.n_obs, 1))
    with pytest.raises(ValueError, match="found the same for all"):
        DrugResponseModel(n_members=2).fit(screen.response, cells, screen.drugs, profile="zscore")
