"""Which model is used when none is named."""

from __future__ import annotations

import pytest

import scmomer
from scmomer.model import _current_model, resolve_model


@pytest.fixture
def no_model(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(_current_model, "_current", None)


def test_without_any_model_the_error_says_how_to_get_one(no_model, refuses, mdata):
    with refuses(
        RuntimeError, "No model was given", "model.train()", "scmomer.load(path)", "model="
    ):
        resolve_model(None)
    for verb in (scmomer.tl.embed, scmomer.tl.translate_atac, scmomer.tl.translate_rna):
        with refuses(RuntimeError, "scmomer.load(path)"):
            verb(mdata)


def test_a_model_that_was_only_built_is_not_current(no_model, make_model, mdata):
    make_model(mdata)
    with pytest.raises(RuntimeError):
        resolve_model(None)


def test_the_model_trained_last_is_current(no_model, make_model, train, mdata):
    models = [make_model(mdata[name].copy()) for name in ("rna", "atac")]
    for model in models:
        train(model)
        assert resolve_model(None) is model


def test_the_model_loaded_last_is_current(saved, trained):
    loaded = scmomer.load(saved)
    assert resolve_model(None) is loaded


def test_a_model_or_a_path_can_be_given(saved, trained):
    assert resolve_model(trained) is trained
    for path in (saved, str(saved)):
        assert resolve_model(path).spec.to_dict() == trained.spec.to_dict()


def test_anything_else_is_refused(refuses, mdata):
    with refuses(TypeError, "an SCMOMER, a path or None", "MuData"):
        resolve_model(mdata)
