"""Coordinates of genes from var, tables and GTF files, and the peaks near them."""

from __future__ import annotations

import gzip
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scmomer.data import check_chromosomes, gene_positions, parse_peaks, peaks_within, read_gtf

NAMES = pd.Index(["A", "B", "C"])
TABLE = pd.DataFrame(
    {
        "chrom": ["chr2", "chr1", "chr1"],
        "start": [10, 20, 30],
        "end": [110, 220, 330],
        "strand": list("-+."),
    },
    index=["C", "A", "B"],
)
GTF = """#!genome-build x
chr1\thavana\tgene\t21\t220\t.\t+\t.\tgene_id "ENSG01.3"; gene_type "x"; gene_name "A";
chr1\thavana\ttranscript\t21\t220\t.\t+\t.\tgene_id "ENSG01.3"; gene_name "A";
chr1\thavana\texon\t21\t40\t.\t+\t.\tgene_id "ENSG01.3"; gene_name "A"; exon_note "my gene\t";
2\tensembl\tgene\t11\t110\t.\t-\t.\tgene_id "ENSG03.1";
"""
GFF = """##gff-version 3
1\tensembl\tgene\t21\t220\t.\t+\t.\tID=gene:ENSG01;Name=A;biotype=protein_coding;gene_id=ENSG01
1\tensembl\tmRNA\t21\t220\t.\t+\t.\tID=transcript:T;Parent=gene:ENSG01
1\tensembl\tncRNA_gene\t11\t110\t.\t-\t.\tID=gene:ENSG03;Name=C
"""


def expect(found, chroms, starts, ends, strands, genes):
    assert found.chromosomes[found.chromosome].tolist() == chroms
    assert found.start.tolist() == starts and found.end.tolist() == ends
    assert found.strand.tolist() == strands and found.gene.tolist() == genes


def test_a_table_is_read_in_the_order_of_the_names():
    found = gene_positions(NAMES, TABLE)
    expect(found, ["chr1", "chr1", "chr2"], [20, 30, 10], [220, 330, 110], [1, 0, -1], [0, 1, 2])
    assert found.tss.tolist() == [20, 180, 110]  # start, middle, end


@pytest.mark.parametrize(
    "columns",
    [
        ["Chromosome", "Start", "End", "Strand"],
        ["seqnames", "start", "end", "strand"],
        ["chromosome_name", "start_position", "end_position", "strand"],
    ],
)
def test_columns_may_have_usual_other_names(columns):
    table = TABLE.set_axis(columns, axis=1)
    found, expected = gene_positions(NAMES, table), gene_positions(NAMES, TABLE)
    assert np.array_equal(found.tss, expected.tss)
    table[columns[3]] = [-1, 1, np.nan]  # as BioMart writes strands
    assert np.array_equal(gene_positions(NAMES, table).tss, expected.tss)


@pytest.mark.parametrize("column", ["gene_name", "symbol", "gene_id"])
def test_names_may_be_a_column(column):
    table = TABLE.rename_axis(column).reset_index()
    assert gene_positions(NAMES, table).gene.tolist() == [0, 1, 2]


def test_names_match_without_versions_and_in_any_case():
    table = TABLE.set_axis(["ENSMUSG00000000003.4", "actb", "Gapdh"])
    names = pd.Index(["ENSMUSG00000000003", "ACTB", "GAPDH"])
    assert gene_positions(names, table).start.tolist() == [10, 20, 30]


def test_transcripts_are_several_rows():
    table = pd.concat([TABLE, TABLE.loc[["A"]].assign(start=99)])
    found = gene_positions(NAMES, table)
    assert found.gene.tolist() == [0, 0, 1, 2] and found.start.tolist() == [20, 99, 30, 10]


def test_var_of_rna_has_columns_or_intervals(caplog):
    var = TABLE.loc[["A", "B", "C"]]
    expected = gene_positions(NAMES, TABLE)
    assert np.array_equal(gene_positions(NAMES, var=var).tss, expected.tss)
    var = pd.DataFrame({"interval": ["chr1:20-220", "NA", "chr2:1,000-1,100"]}, NAMES)
    with caplog.at_level(logging.INFO, "scmomer"):
        found = gene_positions(NAMES, var=var)
    expect(found, ["chr1", "chr2"], [20, 1000], [220, 1100], [0, 0], [0, 2])
    assert "1 of 3 genes of mdata['rna'] have no coordinates" in caplog.text


@pytest.mark.parametrize("zipped", [False, True])
def test_genes_of_a_gtf_file(tmp_path, zipped):
    path = tmp_path / f"genes.gtf{'.gz' * zipped}"
    path.write_bytes(gzip.compress(GTF.encode()) if zipped else GTF.encode())
    table = read_gtf(path)
    assert table["gene_id"].tolist() == ["ENSG01.3", "ENSG03.1"]
    assert table["gene_name"].tolist()[0] == "A" and pd.isna(table["gene_name"][1])
    expect(gene_positions(NAMES, path), ["chr1"], [20], [220], [1], [0])
    by_id = gene_positions(pd.Index(["ENSG03", "ENSG01"]), str(path))
    expect(by_id, ["2", "chr1"], [10, 20], [110, 220], [-1, 1], [0, 1])


def test_content_not_the_name_tells_whether_a_file_is_zipped(tmp_path):
    (tmp_path / "a.gtf.gz").write_text(GTF)
    (tmp_path / "a.gtf").write_bytes(gzip.compress(GTF.encode()))
    one, other = (read_gtf(tmp_path / name) for name in ("a.gtf.gz", "a.gtf"))
    assert len(one) == 2 and one.equals(other)


def test_other_encodings_in_notes_do_no_harm(tmp_path):
    (tmp_path / "a.gtf").write_bytes(
        GTF.replace("gene_id", 'note "\xe9"; gene_id').encode("latin-1")
    )
    assert read_gtf(tmp_path / "a.gtf")["gene_id"].tolist() == ["ENSG01.3", "ENSG03.1"]


def test_genes_of_a_gff_file(tmp_path):
    (tmp_path / "genes.gff3").write_text(GFF)
    table = read_gtf(tmp_path / "genes.gff3")
    assert table["gene_id"].tolist() == ["ENSG01", "ENSG03"]
    assert table["gene_name"].tolist() == ["A", "C"]


def test_what_cannot_be_read_is_refused(tmp_path, refuses):
    with refuses(FileNotFoundError, "GTF or GFF", "none.gtf", "genes="):
        gene_positions(NAMES, tmp_path / "none.gtf")
    with refuses(FileNotFoundError, "GTF or GFF", "genes="):
        gene_positions(NAMES, tmp_path)
    (tmp_path / "cut.gtf.gz").write_bytes(gzip.compress(GTF.encode())[:-20])
    with refuses(ValueError, "complete gzip file", "cut.gtf.gz", "Download"):
        gene_positions(NAMES, tmp_path / "cut.gtf.gz")
    (tmp_path / "no.gtf").write_text(GTF.replace("\tgene\t", "\tCDS\t"))
    with refuses(ValueError, "feature 'gene'", "no.gtf", "found none", "DataFrame"):
        gene_positions(NAMES, tmp_path / "no.gtf")
    with refuses(TypeError, "genes=", "DataFrame", "a list"):
        gene_positions(NAMES, [1])
    with refuses(KeyError, "['chrom', 'start', 'end']", "genes", "'strand'", "without ['chrom']"):
        gene_positions(NAMES, TABLE.drop(columns="chrom"))
    with refuses(KeyError, "mdata['rna'].var", "found []", "genes=", "GTF"):
        gene_positions(NAMES, var=pd.DataFrame(index=NAMES))
    with refuses(ValueError, "'A', 'B', 'C'", "'x'", "the index", "Ensembl"):
        gene_positions(NAMES, TABLE.set_axis(["x", "y", "z"]))
    with refuses(ValueError, "mdata['rna'].var", "missing", "genes="):
        gene_positions(NAMES, var=pd.DataFrame({"interval": [None] * 3}, NAMES))
    with refuses(ValueError, "found 1", "Swap"):
        gene_positions(NAMES, TABLE.assign(end=[110, 2, 330]))


# -- windows


def test_peaks_within_windows_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    chrom, start = rng.integers(1, 4, 200), rng.integers(0, 5000, 200)
    length = rng.integers(0, 400, 200)
    peaks = parse_peaks(
        pd.Index([f"chr{c}:{s}-{s + n}" for c, s, n in zip(chrom, start, length, strict=True)])
    )
    windows = parse_peaks(
        pd.Index(
            [
                f"{c}:{s}-{s + 300}"
                for c, s in zip(rng.integers(1, 5, 50), rng.integers(0, 5000, 50), strict=True)
            ]
        )
    )
    early = windows.start - 700 * (np.arange(50) < 25)  # some begin before the chromosome
    windows = replace(windows, start=early)
    found = peaks_within(windows, peaks)
    pairs = set(zip(found.query.tolist(), found.target.tolist(), strict=True))
    expected = {
        (i, j)
        for i in range(50)
        for j in range(200)
        if "chr" + windows.chromosomes[windows.chromosome[i]]
        == peaks.chromosomes[peaks.chromosome[j]]
        and min(windows.end[i], peaks.end[j]) >= max(windows.start[i], peaks.start[j])
    }
    # intervals that only touch count if the window starts first
    assert expected >= pairs and len(found.query) == len(pairs)
    touching = {
        (i, j)
        for i, j in expected - pairs
        if windows.start[i] == peaks.end[j] or windows.end[i] == peaks.start[j]
    }
    assert expected - pairs == touching and len(pairs) > 100


@pytest.mark.parametrize(("ours", "theirs"), [("chr1", "1"), ("M", "chrM"), ("MT", "chrM")])
def test_chromosomes_are_matched_without_their_prefix(caplog, ours, theirs):
    genes = gene_positions(NAMES[:1], TABLE.assign(chrom=ours).set_axis(["A", "y", "z"]))
    peaks = parse_peaks(pd.Index([f"{theirs}:25-50"]))
    with caplog.at_level(logging.INFO, "scmomer"):
        check_chromosomes(genes, peaks)
    assert repr(ours) in caplog.text and repr(theirs) in caplog.text
    assert len(peaks_within(genes, peaks).query) == 1


def test_other_chromosomes_are_named(caplog, refuses):
    genes = gene_positions(NAMES, TABLE)
    with refuses(ValueError, "genes on 'chr1', 'chr2'", "peaks on 'NC_000001.11'", "Rename"):
        check_chromosomes(genes, parse_peaks(pd.Index(["NC_000001.11:1-20"])))
    with caplog.at_level(logging.INFO, "scmomer"):
        check_chromosomes(genes, parse_peaks(pd.Index(["chr1:1-20"])))
    assert "1 of 3 genes are on chromosomes without any peak, such as 'chr2'" in caplog.text
    with pytest.warns(UserWarning, match="2 of 3 peaks .* without any gene, such as 'chr7'"):
        check_chromosomes(genes, parse_peaks(pd.Index(["chr1:1-20", "chr7:1-2", "chr7:3-4"])))
