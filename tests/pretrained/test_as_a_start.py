"""Published checkpoints as the start of a new model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scmomer
from scmomer.pretrained import load_scbert, load_scmomer

TINY = {
    "atac_dim": 8,
    "atac_n_layers": 1,
    "atac_n_heads": 2,
    "atac_mlp_dim": 8,
    "bridge_hidden": 16,
}


def copied(model, source, prefix: str) -> bool:
    """Whether all tensors of a part are those of the source."""
    ours, theirs = model.module.state_dict(), source.module.state_dict()
    names = [name for name in theirs if name.startswith(prefix)]
    return bool(names) and all(torch.equal(ours[name], theirs[name]) for name in names)


def train(model) -> None:
    model.train(1, batch_size=3, train_size=0.8, enable_progress_bar=False)


def test_scbert_gives_the_rna_encoder_of_two_modalities(scbert, genes, paired):
    source = load_scbert(scbert[0], genes=genes, accelerator="cpu")
    scmomer.pp.setup_mudata(paired)
    options = {"rna_pooling": "genes", "n_latent": 8, "latent_norm": "layer", **TINY}
    model = scmomer.SCMOMER(paired, init_from=source, **options)
    assert copied(model, source, "modalities.rna.encoder.model.")
    assert model.target_sum == 1e4 and model.stages_ == ("rna",)
    assert model.origin_["copied"] == ["rna encoder"]
    assert model.origin_["new"]["rna encoder, pool"] == "not trained in the source"
    pooling = model.module.rna.encoder.pool.projection.detach().clone()
    assert model.origin_["source"] == "scBERT's panglao_pretrain.pth"
    train(model)
    assert model.stages_ == ("rna", "atac", "fusion", "bridge")
    assert copied(model, source, "modalities.rna.encoder.model.")  # frozen by default
    assert not torch.equal(model.module.rna.encoder.pool.projection, pooling)  # scBERT has none
    assert model.get_translated(paired["rna"]).shape == (5, paired["atac"].n_vars)


def test_the_published_protocol_of_scbert(scbert, genes, cells):
    source = load_scbert(scbert[0], genes=genes, accelerator="cpu")
    scmomer.pp.setup_anndata(cells, modality="rna")
    model = scmomer.SCMOMER(cells, init_from=source)
    z = source.get_latent_representation(cells)
    np.testing.assert_allclose(model.get_latent_representation(cells), z, atol=1e-5)
    before = {k: v.clone() for k, v in model.module.named_parameters()}
    model.train(
        1, freeze="all_but_last", early_stopping=False, train_size=1.0, enable_progress_bar=False
    )
    after = model.module.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    layer = "modalities.rna.encoder.model.performer.net.layers"
    assert any(k.startswith(f"{layer}.1.") for k in changed)
    assert not any(
        k.startswith((f"{layer}.0.", "modalities.rna.encoder.model.to")) for k in changed
    )


def test_stage_two_goes_on(stage_two, genes, peaks, paired):
    source = load_scmomer(stage_two[0], genes=genes, peaks=peaks, accelerator="cpu")
    scmomer.pp.setup_mudata(paired)
    model = scmomer.SCMOMER(paired, init_from=source)
    assert model.stages_ == ("rna", "atac", "fusion")
    assert all(copied(model, source, p) for p in ("fusion.", "modalities.atac.encoder.vit."))
    pair = (x.get_latent_representation(paired) for x in (source, model))
    np.testing.assert_allclose(*pair, atol=1e-5)
    train(model)
    assert model.get_translated(paired["rna"]).shape == (5, len(peaks))


def test_what_was_trained_since_is_copied_too(stage_two, genes, peaks, paired, tmp_path):
    load_scmomer(stage_two[0], genes=genes, peaks=peaks, accelerator="cpu").save(tmp_path / "two")
    source = scmomer.load(tmp_path / "two", paired)
    source.train(1, batch_size=3, train_size=0.8, resume=True, enable_progress_bar=False)
    assert source.stages_[-1] == "bridge"
    again = paired.copy()
    scmomer.pp.setup_mudata(again)
    model = scmomer.SCMOMER(again, init_from=source)
    assert copied(model, source, "bridges.") and model.stages_ == source.stages_


def test_other_peaks_for_shared_patches_are_refused(stage_two, genes, peaks, paired, refuses):
    source = load_scmomer(stage_two[0], genes=genes, peaks=peaks, accelerator="cpu")
    paired.mod["atac"] = paired["atac"][:, ::-1].copy()
    scmomer.pp.setup_mudata(paired)
    with refuses(ValueError, "in their order", "pp.align_peaks(atac, model)"):
        scmomer.SCMOMER(paired, init_from=source)


@pytest.mark.parametrize("alone", [True, False])
def test_released_weights(released, genes, paired, alone):
    source = load_scmomer(released[0], genes=genes, accelerator="cpu")
    if alone:
        data = paired["rna"].copy()
        scmomer.pp.setup_anndata(data, modality="rna")
        model = scmomer.SCMOMER(data, init_from=source)
        assert model.stages_ == source.stages_
        pair = (x.get_latent_representation(data) for x in (source, model))
        np.testing.assert_allclose(*pair, atol=1e-5)
        return
    scmomer.pp.setup_mudata(paired)
    model = scmomer.SCMOMER(
        paired, init_from=source, **{k: v for k, v in TINY.items() if "atac" in k}
    )
    assert copied(model, source, "modalities.rna.encoder.pool.") and copied(
        model, source, "fusion."
    )
    assert model.stages_ == ("rna",) and "atac encoder" in model.origin_["new"]
    train(model)
    assert np.isfinite(model.get_translated(paired["rna"])).all()
