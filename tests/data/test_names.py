"""Feature names: duplicates, coordinates of peaks, alignment by name."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scmomer.data._names import align_by_name, check_unique
from scmomer.module import looks_like_peaks, parse_peaks

COUNTS = sp.csr_matrix(np.array([[1, 2, 3, 4], [0, 5, 0, 6], [0, 0, 0, 0]], np.float32))
FOUND = pd.Index(["A", "B", "C", "D"])


def align(expected, found=FOUND, counts=COUNTS) -> sp.csr_matrix:
    """Aligns genes."""
    return align_by_name(counts, pd.Index(found), pd.Index(expected), "genes", "adata")


# -- duplicates


def test_unique_names_pass():
    check_unique(pd.Index(["a", "b"]), "adata.var_names")


def test_repeated_names_are_counted_and_the_first_are_listed(refuses):
    names = pd.Index(list("aabbccddeeffg"))
    with refuses(
        ValueError,
        "found 6 that",
        "(a, b, c, d, e, ...)",
        "`x['y.z'].obs_names_make_unique(); x.update()`",
    ):
        check_unique(names, "x['y.z'].obs_names")


def test_a_remedy_for_repeats_can_be_given(refuses):
    with refuses(ValueError, "in peaks, found 1", "(a). Drop them."):
        check_unique(pd.Index(list("aa")), "peaks", "Drop them.")


# -- peaks


@pytest.mark.parametrize("form", ["{}:{}-{}", "{}_{}_{}", "{}-{}-{}"])
@pytest.mark.parametrize("chrom", ["chr1", "X", "chrUn_KI270742v1", "HLA-A*01:01", "GL000194.1"])
def test_spellings_of_peaks(form, chrom):
    names = pd.Index([form.format(chrom, 2000, 2500), form.format("chr0", 7, 7)])
    peaks = parse_peaks(names)
    assert peaks.start.tolist() == [2000, 7] and peaks.start.dtype == np.int64
    assert len(set(peaks.chromosome.tolist())) == 2
    assert looks_like_peaks(names)


def test_chromosomes_are_in_natural_order():
    chroms = ["chrX", "chr10", "chr2", "chr1", "chr2"]
    peaks = parse_peaks(pd.Index([f"{c}:{i}-{i + 5}" for i, c in enumerate(chroms)]))
    assert peaks.chromosome.tolist() == [3, 2, 1, 0, 1]
    assert peaks.chromosomes.tolist() == ["chr1", "chr2", "chr10", "chrX"]
    assert (peaks.end - peaks.start).tolist() == [5] * 5


def test_names_that_are_no_peaks_are_counted_and_listed(refuses):
    names = pd.Index(["chr1:1-2", "Gad1", "chr1:x-9", "chr1:5", "chr1", "", "chr1:-3-9"])
    with refuses(
        ValueError, "chr1:1000-1500", "5 of 7", "'Gad1', 'chr1:x-9', 'chr1:5'", "var_names"
    ):
        parse_peaks(names)


def test_a_peak_may_not_end_before_it_starts(refuses):
    with refuses(ValueError, "1 of 2", "'chr1:20-10'"):
        parse_peaks(pd.Index(["chr1:20-10", "chr1:10-20"]))


def test_empty_peaks_are_refused_where_they_can_hold_nothing(refuses):
    names = pd.Index(["chr1:10-10", "chr1:10-20"])
    assert parse_peaks(names).end.tolist() == [10, 20]
    with refuses(ValueError, "1 of 2", "'chr1:10-10'", "Rename them in peaks."):
        parse_peaks(names, "peaks", empty=False)


def test_places_beyond_any_genome_are_refused(refuses):
    with refuses(ValueError, "1 of 1", "'chr1:1-99999999999999999999'"):
        parse_peaks(pd.Index(["chr1:1-99999999999999999999"]))


def test_genes_do_not_look_like_peaks():
    assert not looks_like_peaks(pd.Index(["Gad1", "mt-Nd1", "HLA-A", "RP11-34P13.7"]))
    assert not looks_like_peaks(pd.Index([]))


# -- alignment


def test_equal_names_are_passed_on(caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        assert align(FOUND) is COUNTS
    assert not caplog.records


@pytest.mark.parametrize(
    ("expected", "columns", "text"),
    [
        ("DCBA", [3, 2, 1, 0], "4 of the model's 4 genes found in the query (100%); 0 missing"),
        ("DXAYB", [3, None, 0, None, 1], "3 of the model's 5 genes found in the query (60%); 2"),
        ("CA", [2, 0], "2 of the model's 2 genes found in the query (100%); 0 missing ones count"),
        ("AXYZW", [0, None, None, None, None], "1 of the model's 5 genes found in the query (20%)"),
    ],
    ids=["permuted", "missing", "extra", "a fifth"],
)
def test_names_decide_and_one_line_says_how_many_matched(caplog, expected, columns, text):
    with caplog.at_level(logging.INFO, "scmomer"), warnings.catch_warnings():
        warnings.simplefilter("error")
        aligned = align(list(expected))
    dense = COUNTS.toarray()
    blank = np.zeros(3)
    wanted = np.stack([blank if c is None else dense[:, c] for c in columns], 1)
    assert type(aligned) is sp.csr_matrix and aligned.dtype == np.float32
    assert aligned.has_sorted_indices and np.array_equal(aligned.toarray(), wanted)
    (record,) = caplog.records
    assert text in record.getMessage()


def test_the_line_counts_what_is_left_out(caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        align(["A", "X"])
    assert "1 missing ones count as zero, 3 more in the query are ignored" in caplog.text


def test_few_matches_warn_with_counts():
    with pytest.warns(UserWarning) as caught:
        aligned = align(["A", *"stuvwxyz"])
    message = str(caught[0].message)
    for part in (
        "Only 1 of the model's 9 genes",
        "(11%)",
        "8 missing",
        "3 more",
        "'s', 't', 'u'",
    ):
        assert part in message
    assert aligned.toarray()[0].tolist() == [1] + [0] * 8


def test_no_match_is_an_error_that_shows_both_sides(refuses):
    with refuses(
        ValueError,
        "'x', 'y', 'z'",
        "none of its 3",
        "query's 4",
        "'A', 'B', 'C'",
        "species",
        "pp.align_genes",
    ):
        align(list("xyz"))


def test_repeated_names_in_the_query_are_refused(refuses):
    with refuses(ValueError, "adata.var_names, found 1", "(A)", "`adata.var_names_make_unique()`"):
        align(["A", "B"], found=["A", "A", "B", "C"])
