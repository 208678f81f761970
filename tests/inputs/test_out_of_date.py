"""A MuData whose modalities were changed behind its back."""

from __future__ import annotations

import numpy as np
import pytest
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs


def filtered(mdata: MuData, keep: dict[str, slice]) -> MuData:
    """Replaces modalities by some of their cells, without ``update``."""
    for name, cells in keep.items():
        mdata.mod[name] = mdata[name][cells].copy()
    return mdata


BOTH = {"rna": slice(0, 90), "atac": slice(0, 90)}


def test_set_up_asks_for_an_update(mdata, refuses):
    filtered(mdata, BOTH)
    with refuses(ValueError, "30 cells", "mdata.update()"):
        scmomer.pp.setup_mudata(mdata)
    with keep_obs():
        mdata.update()
    scmomer.pp.setup_mudata(mdata)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, mdata: model.get_latent_representation(mdata),
        lambda model, mdata: scmomer.tl.embed(mdata, model, copy=True),
        lambda model, mdata: scmomer.tl.translate_atac(mdata, model),
        lambda model, mdata: scmomer.tl.annotate(mdata, mdata, labels_key="cell_type", model=model),
        lambda model, mdata: scmomer.tl.map_to_reference(mdata, mdata, model),
        lambda model, mdata: scmomer.tl.rank_peaks(mdata, "cell_type"),
        lambda model, mdata: scmomer.pp.drop_unmeasured(mdata),
    ],
    ids=["latent", "embed", "translate", "annotate", "map", "rank", "drop"],
)
def test_no_verb_reads_it_half(trained, mdata, refuses, call):
    with refuses(ValueError, "30 cells", ".update()` first"):
        call(trained, filtered(mdata, BOTH))


def test_after_the_update_results_are_those_of_the_cells(trained, mdata):
    z = trained.get_latent_representation(mdata)
    filtered(mdata, BOTH)
    with keep_obs():
        mdata.update()
    np.testing.assert_allclose(trained.get_latent_representation(mdata), z[:90], atol=1e-6)


def test_one_filtered_modality_makes_a_mosaic(trained, mdata):
    """Every cell still is in some modality: nothing is out of date but nothing is lost either."""
    filtered(mdata, {"atac": slice(0, 90)})
    z = trained.get_latent_representation(mdata)
    alone = trained.get_latent_representation(mdata["rna"])
    np.testing.assert_allclose(z[90:], alone[90:], atol=1e-5)


def test_other_cells_in_a_modality_are_found(trained, mdata, make_unseen, refuses):
    other = make_unseen()["rna"].copy()
    other.obs_names = [f"new{i}" for i in range(other.n_obs)]
    mdata.mod["rna"] = other
    with refuses(ValueError, "cells of its modalities that the MuData does not list", "update"):
        trained.get_latent_representation(mdata)


def test_the_order_of_a_modality_does_not_matter(trained, mdata):
    z = trained.get_latent_representation(mdata)
    mdata.mod["rna"] = mdata["rna"][np.random.default_rng(0).permutation(120)].copy()
    np.testing.assert_allclose(trained.get_latent_representation(mdata), z, atol=1e-6)
