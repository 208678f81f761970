"""The gene list is the published one; any other list raises an error."""

from __future__ import annotations

import pytest

from scmomer.pretrained import _vocabulary, panglao_genes


def test_the_published_genes_in_order():
    genes = panglao_genes()
    assert len(genes) == 16906
    assert genes.is_unique
    assert genes[:4].tolist() == ["A1BG", "A1CF", "A2ML1", "A2M"]
    assert genes[-1] == "ZBED1"


def test_another_list_is_an_error(monkeypatch):
    monkeypatch.setattr(_vocabulary, "_SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match="Expected the published gene list.*found 16906.*Rein"):
        _vocabulary.panglao_genes.__wrapped__()
