"""Counts that are not in X: the arguments that name them, and advice that works."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import scanpy as sc

import scmomer

PROCESSED = ("layer", "raw")


def processed(adata, keep: str):
    """Log values in X, as after scanpy's tutorial; counts in a layer or in raw."""
    adata = adata.copy()
    if keep == "layer":
        adata.layers["counts"] = adata.X.copy()
    else:
        adata.raw = adata.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


VERBS = {
    "embed": lambda d, m, ref, **k: scmomer.tl.embed(d, m, **k) or d.obsm["X_scmomer"],
    "translate": lambda d, m, ref, **k: scmomer.tl.translate_atac(d, m, **k).X,
    "annotate": lambda d, m, ref, **k: (
        scmomer.tl.annotate(d, ref, labels_key="cell_type", model=m, **k)
        or d.obsm["scmomer_label_probability"]
    ),
    "map": lambda d, m, ref, **k: (
        scmomer.tl.map_to_reference(d, ref, m, labels_key="cell_type", **k)
        or d.obsm["reference_probabilities"]
    ),
    "latent": lambda d, m, ref, **k: m.get_latent_representation(d, **k),
    "translated": lambda d, m, ref, **k: m.get_translated(d, **k),
    "load_query": lambda d, m, ref, **k: m.load_query_data(d, batch_key="new", **k).get_translated(
        ref["rna"], "rna", batch="b"
    ),
    "predict": lambda d, m, ref, **k: (
        scmomer.CellTypeClassifier(m, n_members=1, max_epochs=5)
        .fit(ref, "cell_type")
        .predict_proba(d, **k)
    ),
    "fit": lambda d, m, ref, **k: (
        scmomer.CellTypeClassifier(m, n_members=1, max_epochs=5)
        .fit(d, "cell_type", **k)
        .predict_proba(ref["rna"])
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_layer_that_the_error_names_is_the_one_to_pass(
    trained, mdata, make_unseen, refuses, verb
):
    query = make_unseen()["rna"].copy()
    query.obs["new"] = "b"
    expected = VERBS[verb](query.copy(), trained, mdata)
    log = processed(query, "layer")
    two = {"annotate": "query", "map": "query", "load_query": "query", "predict": "query"}
    name = {**two, "fit": "reference"}.get(verb, "adata")  # as the verb calls its argument
    place = f"raw counts in {name}.X"
    with refuses(ValueError, place, "layers['counts'] holds", " layer='counts'"):
        VERBS[verb](log.copy(), trained, mdata)
    found = VERBS[verb](log, trained, mdata, layer="counts")
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize("verb", ["embed", "translate", "latent"])
def test_counts_in_raw_are_named_too(trained, mdata, make_unseen, verb):
    query = make_unseen()["rna"].copy()
    expected = VERBS[verb](query.copy(), trained, mdata)
    log = processed(query, "raw")
    with pytest.raises(ValueError, match="adata.raw holds counts") as caught:
        VERBS[verb](log, trained, mdata)
    (line,) = re.findall(r"run `(.*)` first", str(caught.value))
    scope = {"adata": log}
    exec(line, scope)
    found = VERBS[verb](scope["adata"], trained, mdata)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize("keep", PROCESSED)
@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_mudata_names_the_modality(trained, make_unseen, keep, name):
    mdata = make_unseen()
    expected = trained.get_latent_representation(mdata)
    mdata.mod[name] = processed(mdata[name], keep)
    if keep == "layer":
        with pytest.raises(ValueError, match=f"{name}_layer='counts'"):
            trained.get_latent_representation(mdata)
        found = trained.get_latent_representation(mdata, **{f"{name}_layer": "counts"})
    else:
        with pytest.raises(ValueError, match="holds counts") as caught:
            trained.get_latent_representation(mdata)
        (line,) = re.findall(r"run `(.*)` first", str(caught.value))
        exec(line, {"mdata": mdata})
        found = trained.get_latent_representation(mdata)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_mudata_is_translated_from_a_layer(trained, make_unseen):
    mdata = make_unseen()
    expected = scmomer.tl.translate_atac(mdata, trained, copy=True)["atac"].layers["scmomer"]
    mdata.mod["rna"] = processed(mdata["rna"], "layer")
    scmomer.tl.translate_atac(mdata, trained, rna_layer="counts")
    np.testing.assert_allclose(mdata["atac"].layers["scmomer"], expected, atol=1e-6)


def test_a_translation_on_disk_reads_the_layer(trained, make_unseen, tmp_path):
    query = make_unseen()["rna"].copy()
    expected = scmomer.tl.translate_atac(query, trained).X
    out = scmomer.tl.translate_atac(
        processed(query, "layer"), trained, layer="counts", path=tmp_path / "out.h5ad"
    )
    np.testing.assert_allclose(out.X[:], expected, atol=1e-6)


@pytest.mark.parametrize("verb", ["annotate", "map"])
def test_the_reference_has_a_layer_of_its_own(trained, mdata, make_unseen, refuses, verb):
    query = make_unseen()["rna"].copy()
    expected = VERBS[verb](query.copy(), trained, mdata["rna"].copy())
    log = processed(mdata["rna"], "layer")
    found = VERBS[verb](query.copy(), trained, log, reference_layer="counts")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mdata.mod["rna"] = log
    VERBS[verb](query.copy(), trained, mdata, reference_layer={"rna": "counts"})
    with refuses(TypeError, "reference_layer={'rna': 'counts'}"):
        VERBS[verb](query.copy(), trained, mdata, reference_layer="counts")
    with refuses(TypeError, "['gex']"):
        VERBS[verb](query.copy(), trained, mdata, reference_layer={"gex": "counts"})


def test_set_up_names_its_own_argument(mdata, refuses):
    mdata.mod["rna"] = processed(mdata["rna"], "layer")
    with refuses(ValueError, "rna_layer='counts'"):
        scmomer.pp.setup_mudata(mdata)
    scmomer.pp.setup_mudata(mdata, rna_layer="counts")
    with refuses(ValueError, "pass layer='counts'"):
        scmomer.pp.setup_anndata(mdata["rna"].copy())
    with refuses(ValueError, "rna_layer='counts'"):
        scmomer.pp.pair_cells(mdata["rna"], mdata["atac"], on="embedding", genes=None)


def test_the_wrong_layer_is_told_from_the_right_one(trained, make_unseen, refuses):
    query = make_unseen()["rna"].copy()
    query.layers["scaled"] = query.X / 3
    with refuses(ValueError, "adata.layers['scaled']", "adata.X holds counts: leave out layer="):
        scmomer.tl.embed(query, trained, layer="scaled")
    with refuses(KeyError, "'spliced'", "['scaled']"):
        scmomer.tl.embed(query, trained, layer="spliced")
    del query.layers["scaled"]
    query.X = query.X / 3
    with refuses(ValueError, "Put the raw counts into a layer and pass layer="):
        scmomer.tl.embed(query, trained)


def test_layer_is_for_an_anndata(trained, mdata, refuses):
    with refuses(TypeError, "rna_layer='counts'"):
        scmomer.tl.embed(mdata, trained, layer="counts")
    with refuses(TypeError, "['rna_leyer']"):
        scmomer.tl.embed(mdata, trained, rna_leyer="counts")
    with refuses(TypeError, "Leave out layer="):
        trained.get_latent_representation(layer="counts")


@pytest.mark.parametrize(
    "verb",
    [
        "embed",
        "translate_atac",
        "translate_rna",
        "translate_protein",
        "annotate",
        "map_to_reference",
    ],
)
def test_every_verb_takes_layers(verb):
    kinds = {p.kind for p in inspect.signature(getattr(scmomer.tl, verb)).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD in kinds
    assert "layer" in getattr(scmomer.tl, verb).__doc__
