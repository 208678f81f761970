"""Files and mappings of gene sets: what is read, and what is refused."""

from __future__ import annotations

import gzip

import pytest

from scmomer.tasks.genes import read_gene_sets

TEXT = b"one\td\tA\tB\ntwo\td\tC\n"


def test_files_and_mappings(tmp_path):
    wanted = {"one": ["A", "B"], "two": ["C"]}
    for name, raw in (("a.gmt", TEXT), ("b.gmt", TEXT.replace(b"\n", b"\r\n"))):
        (tmp_path / name).write_bytes(raw)
        assert read_gene_sets(tmp_path / name, "gene_sets") == wanted
    (tmp_path / "c.gmt.gz").write_bytes(gzip.compress(TEXT))
    assert read_gene_sets(str(tmp_path / "c.gmt.gz"), "gene_sets") == wanted
    assert read_gene_sets(wanted, "gene_sets") == wanted


@pytest.mark.parametrize(
    "raw",
    [gzip.compress(TEXT, mtime=0)[:-12], b"\x1f\x8bxx", TEXT.replace(b"one", b"on\xe9")],
    ids=["cut", "not gzip", "not UTF-8"],  # two processes must collect the same names
)
def test_broken_files_are_refused(raw, tmp_path, refuses):
    (tmp_path / "a.gmt").write_bytes(raw)
    with refuses(ValueError, "a whole GMT file in UTF-8", "a.gmt"):
        read_gene_sets(tmp_path / "a.gmt", "gene_sets")


def test_other_things_are_refused(refuses):
    with refuses(TypeError, "gene_sets as a GMT file or a mapping", "found list"):
        read_gene_sets(["A"], "gene_sets")
    with refuses(TypeError, "a list of genes for each term of gene_sets", "'one'"):
        read_gene_sets({"one": "A,B"}, "gene_sets")
