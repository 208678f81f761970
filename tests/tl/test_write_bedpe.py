"""``tl.write_bedpe``: links for genome browsers."""

from __future__ import annotations

import gzip

import pandas as pd

from scmomer import tl

LINKS = pd.DataFrame(
    {
        "peak": ["chr1:100-200", "chr1:900-950"],
        "gene": ["A", "B C"],
        "chrom": ["chr1", "chr1"],
        "start": [100, 900],
        "end": [200, 950],
        "tss": [500, 700],
        "strand": ["+", "-"],
        "score": [0.123456, -0.5],
        "group": ["all", "L2/3"],
    }
)


def test_lines_are_peak_and_transcription_start(tmp_path):
    tl.write_bedpe(LINKS, tmp_path / "links.bedpe")
    header, *lines = (tmp_path / "links.bedpe").read_text().splitlines()
    assert header.startswith("#chrom1\tstart1\tend1\tchrom2")
    assert [line.split("\t") for line in lines] == [
        ["chr1", "100", "200", "chr1", "500", "501", "A|all|chr1:100-200", "0.1235", ".", "+"],
        ["chr1", "900", "950", "chr1", "699", "700", "B_C|L2/3|chr1:900-950", "-0.5", ".", "-"],
    ]


def test_links_of_data_are_written(mdata, trained, tmp_path):
    tl.peak_gene_links(mdata, trained, distance=20_000)
    tl.write_bedpe(mdata.uns["scmomer_links"], str(tmp_path / "a.bedpe"))
    table = pd.read_csv(tmp_path / "a.bedpe", sep="\t")
    assert len(table) == len(mdata.uns["scmomer_links"]) and (table["end2"] > table["start2"]).all()


def test_a_table_without_places_is_refused(tmp_path, refuses):
    with refuses(KeyError, "'tss'", "without ['tss']", "scmomer_links"):
        tl.write_bedpe(LINKS.drop(columns="tss"), tmp_path / "no.bedpe")


def test_a_name_with_gz_is_compressed(tmp_path):
    tl.write_bedpe(LINKS, tmp_path / "a.bedpe")
    tl.write_bedpe(LINKS, tmp_path / "a.bedpe.gz")
    text = gzip.decompress((tmp_path / "a.bedpe.gz").read_bytes()).decode()
    assert text == (tmp_path / "a.bedpe").read_text()


def test_a_container_is_refused(mdata, refuses):
    with refuses(TypeError, "table of links", "MuData", "scmomer_links"):
        tl.write_bedpe(mdata, "never.bedpe")
