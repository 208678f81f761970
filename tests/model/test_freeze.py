"""``train(freeze=)``: what stays as it is, and which stages are left."""

from __future__ import annotations

import logging

import pytest
import torch

import scmomer


@pytest.fixture
def model(trained, make_unseen) -> scmomer.SCMOMER:
    data = make_unseen()
    scmomer.pp.setup_mudata(data, batch_key="batch")
    return scmomer.SCMOMER(data, init_from=trained)


def changed(model, train, **kwargs) -> set[str]:
    """Names of the parameters that training changed."""
    before = {k: v.detach().clone() for k, v in model.module.named_parameters()}
    train(model, early_stopping=False, train_size=1.0, **kwargs)
    return {k for k, v in model.module.named_parameters() if not torch.equal(v, before[k])}


def of(names: set[str], *parts: str) -> set[str]:
    return {n for n in names if any(p in n for p in parts)}


def test_encoders_by_name_and_by_default(model, train):
    for freeze in (None, "encoders", ("rna_encoder", "atac_encoder")):
        found = changed(model, train, freeze=freeze)
        assert found and not of(found, ".encoder.")
        assert of(found, "bridges.") and of(found, "fusion.") and of(found, ".decoder.")


def test_all_but_the_last_blocks(model, train):
    found = of(changed(model, train, freeze="all_but_last", stages=["fusion"]), ".encoder.")
    assert of(
        found,
        "rna.encoder.model.performer.net.layers.0",
        "rna.encoder.pool",
        "atac.encoder.vit.layer.0",
    )
    assert not of(
        found, "token_emb", "pos_emb", "patch_embedding", "position_embeddings", "cls_token"
    )


def test_last_third_of_the_blocks():
    import pandas as pd

    from scmomer.module import RNAModality, get_config

    config = get_config("paper", rna_dim=8, rna_dim_head=4, rna_n_heads=2)
    encoder = RNAModality(pd.Index(["A", "B"]), 1, config).encoder
    blocks = encoder.model.performer.net.layers
    last = encoder.last_layers()
    assert [b in last for b in blocks] == [False] * 4 + [True] * 2  # as published
    assert encoder.model.norm in last and encoder.pool in last and encoder.model.to_out not in last


def test_nothing_frozen(model, train):
    assert of(changed(model, train, freeze="none"), ".encoder.")


def test_parts_by_name(model, train):
    found = changed(model, train, freeze=("encoders", "fusion", "decoders"))
    assert found and all(name.startswith("bridges.") and ".decoders." not in name for name in found)
    assert all(p.requires_grad for p in model.module.parameters())  # thawed afterwards


def test_stages_without_a_point_are_skipped_and_named(model, train, caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        train(model, freeze=("encoders", "fusion"))
    assert [*model.history_] == ["bridge"]
    text = caplog.text
    assert all(
        f"Stage '{s}' is skipped: what it trains is frozen" in text for s in ("rna", "fusion")
    )


def test_a_model_from_scratch_can_freeze_too(make_model, mdata, train):
    model = make_model(mdata)
    train(model, freeze=("rna_encoder",))
    assert [*model.history_] == ["atac", "fusion", "bridge"]


def test_nothing_left_is_refused(model, train, refuses):
    with refuses(ValueError, "a stage to train", "frozen", "freeze='none'"):
        train(model, freeze=("encoders", "fusion", "bridges", "decoders"))
    with refuses(ValueError, "'rna'", "frozen"):
        train(model, freeze="encoders", stages=["rna"])


def test_unknown_parts_are_refused(model, train, refuses):
    with refuses(ValueError, "'encoders'", "'rna_encoder'", "'bridges'", "['decoder']"):
        train(model, freeze="decoder")


def test_atac_alone_leaves_no_stage(trained, make_unseen, train, refuses):
    atac = make_unseen()["atac"].copy()
    scmomer.pp.setup_anndata(atac)
    model = scmomer.SCMOMER(atac, init_from=trained)
    with refuses(ValueError, "'bridge': the data have no cells for it", "freeze='none'"):
        train(model)
    with refuses(ValueError, "decoders read fused embeddings", "stages=['atac']"):
        train(model, freeze="none")
    with refuses(ValueError, "'bridge': the data have no cells for it", "Register data with"):
        train(model, stages=["bridge"])
    train(model, freeze="none", stages=["atac"])
    assert model.stages_ == ("rna", "atac")


def test_what_it_began_with_competes(model, train):
    weights = {k: v.clone() for k, v in model.module.state_dict().items() if "linear" in k}
    # Decoders of heads into RNA are fitted to these cells in any case.
    before = {k: v for k, v in weights.items() if ".decoders.rna." not in k}
    train(model, plan_kwargs={"lr": 10.0, "warmup": 0.0}, stages=["bridge"], freeze="encoders")
    after = model.module.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_resume_trains_what_was_not_trained_here(model, train):
    train(model, resume=True)
    assert model.history_
    trained_here = [*model.history_]
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    train(model, resume=True, stages=trained_here)
    assert all(torch.equal(v, model.module.state_dict()[k]) for k, v in before.items())
