"""Peaks under names that are written otherwise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scmomer
from scmomer.module import are_peaks, parse_peaks, peaks_in_one_notation

FORMS = {
    "colon": "{c}:{s}-{e}",
    "dashes": "{c}-{s}-{e}",
    "underscores": "{c}_{s}_{e}",
    "dots": "{c}.{s}.{e}",
    "commas": "{c}:{s:,}-{e:,}",
    "colons": "{c}:{s}:{e}",
    "tabs": "{c}\t{s}\t{e}",
    "range": "{c}:{s}..{e}",
}


def spelled(peaks, form: str) -> list[str]:
    """The same intervals in another notation."""
    found = parse_peaks(peaks)
    places = zip(found.chromosomes[found.chromosome], found.start, found.end, strict=True)
    return [FORMS[form].format(c=c, s=int(s), e=int(e)) for c, s, e in places]


@pytest.mark.parametrize("form", FORMS)
def test_notations_are_read(mdata, form):
    names = pd.Index(spelled(mdata["atac"].var_names, form))
    found, expected = parse_peaks(names), parse_peaks(mdata["atac"].var_names)
    for name in ("chromosome", "start", "end"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert are_peaks(names).all()


@pytest.mark.parametrize("form", FORMS)
def test_they_are_registered_as_peaks(mdata, form):
    atac = mdata["atac"].copy()
    atac.var_names = spelled(atac.var_names, form)
    scmomer.pp.setup_anndata(atac)
    model = scmomer.SCMOMER(atac, size="small")
    assert model.spec.modalities == ("atac",)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prefix", [True, False], ids=["chr", "no chr"])
def test_a_query_in_another_notation_is_matched(trained, mdata, form, prefix):
    atac = mdata["atac"].copy()
    expected = trained.get_latent_representation(atac)
    names = spelled(atac.var_names, form)
    atac.var_names = names if prefix else [n.removeprefix("chr") for n in names]
    np.testing.assert_array_equal(trained.get_latent_representation(atac), expected)


def test_one_notation():
    names = pd.Index(["chr1:1,000-2,000", "1_1000_2000", "chrX.5.6"])
    assert peaks_in_one_notation(names).tolist() == ["1:1000-2000", "1:1000-2000", "X:5-6"]
    assert peaks_in_one_notation(pd.Index(["chr1:1-2", "Gad1"])) is None


def test_repeats_in_two_notations_are_refused(trained, mdata, refuses):
    atac = mdata["atac"].copy()
    names = spelled(atac.var_names, "dots")
    names[1] = atac.var_names[0]
    atac.var_names = names
    with refuses(ValueError, "as coordinates", "found 1"):
        trained.get_latent_representation(atac)


@pytest.mark.parametrize(
    "names", [lambda n: [str(i) for i in range(n)], lambda n: [f"peak_{i + 1}" for i in range(n)]]
)
def test_numbers_that_are_declared_peaks_are_no_genes(mdata, refuses, names):
    atac = mdata["atac"].copy()
    intervals = atac.var_names.to_numpy()
    atac.var_names = names(atac.n_vars)
    atac.var = atac.var[[]]
    atac.var["feature_types"] = "Peaks"
    with refuses(ValueError, "chr1:1000-1500", "200 of 200", "Rename them in adata.var_names"):
        scmomer.pp.setup_anndata(atac)
    atac.var["interval"] = intervals  # as in 10x files
    with refuses(ValueError, "`adata.var_names = adata.var['interval'].to_numpy()`"):
        scmomer.pp.setup_anndata(atac)
    atac.var_names = atac.var["interval"].to_numpy()
    scmomer.pp.setup_anndata(atac)


def test_columns_of_coordinates_make_names(mdata, refuses):
    mdata["atac"].var_names = [f"peak{i}" for i in range(200)]
    adata = mdata["atac"].copy()
    adata.var["feature_types"] = "Peaks"
    with refuses(ValueError, "`v = adata.var; adata.var_names = v['chrom']") as _:
        scmomer.pp.setup_anndata(adata)
    v = adata.var
    adata.var_names = (
        v["chrom"].astype(str) + ":" + v["start"].astype(str) + "-" + v["end"].astype(str)
    )
    scmomer.pp.setup_anndata(adata)


def test_genes_with_dots_and_dashes_stay_genes(mdata):
    rna = mdata["rna"].copy()
    names = [f"RP11-{i}P13.{i}" for i in range(30)] + [f"HLA-A-{i}" for i in range(30)]
    rna.var_names = names
    scmomer.pp.setup_anndata(rna)
    assert scmomer.SCMOMER(rna, size="small").spec.modalities == ("rna",)
