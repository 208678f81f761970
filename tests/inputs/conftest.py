"""A small classifier for the verbs that annotate: what is read matters here, not how well."""

from __future__ import annotations

import pytest

from scmomer.tasks.annotation import _model
from scmomer.tasks.annotation._module import ClassifierConfig


@pytest.fixture(autouse=True)
def small_classifier(monkeypatch) -> None:
    """Two heads of a few units, trained for a few epochs."""
    small = {"n_members": 2, "hidden": 16, "max_epochs": 10}
    monkeypatch.setattr(
        _model, "ClassifierConfig", lambda **options: ClassifierConfig(**{**small, **options})
    )
