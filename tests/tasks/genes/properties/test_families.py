"""Families by name, as groups and as a control."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scmomer.tasks.genes import NameTables, read_embeddings, read_groups
from scmomer.tasks.genes.properties._families import families, prefixes


def test_families_are_the_first_letters():
    names = pd.Index(["ZNF200", "Znf3", "HOXA11", "IL2", "CALM1", "CALR", "7SK"])
    assert families(names).tolist() == ["ZNF", "ZNF", "HOX", "IL", "CAL", "CAL", "7SK"]


def test_groups_by_a_series_leave_others_alone(refuses):
    genes = read_embeddings(pd.DataFrame(np.eye(4), index=list("ABCD")), "X", None)
    found = read_groups(pd.Series({"a": "x", "B": "x", "C": 3}), genes, NameTables())
    assert found.tolist() == ["x", "x", "3", "only D"]
    assert read_groups(None, genes, NameTables()) is None
    with refuses(ValueError, "'family' or a Series", "'kind'"):
        read_groups("kind", genes, NameTables())
    ids = pd.DataFrame(np.eye(2), index=["ENSG00000128683", "ENSG00000157005"])
    with refuses(ValueError, "symbols for groups='family'", "Ensembl ids", "Series"):
        read_groups("family", read_embeddings(ids, "X", None), NameTables())


def test_prefixes_of_every_length():
    names = pd.Index([f"ZNF{i}" for i in range(6)] + [f"ZBTB{i}" for i in range(5)] + ["HOXA1"])
    found = prefixes(names)
    columns = {tuple(column) for column in found.T.astype(int)}
    z, znf, zb = (tuple(names.str.startswith(p).astype(int)) for p in ("Z", "ZNF", "ZB"))
    assert columns == {z, znf, zb} and found.dtype == np.float32
    assert prefixes(pd.Index(["A1", "B1"])) is None
    assert prefixes(pd.Index([f"ENSG0000012868{i}" for i in range(9)])) is None
