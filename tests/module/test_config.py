"""Configuration: errors that help, overrides, a round trip through JSON."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from scmomer.module import ModuleConfig, get_config


@pytest.mark.parametrize("size", ["small", "base", "paper"])
def test_round_trip_through_json(size):
    config = get_config(size)
    text = json.dumps(config.to_dict())
    assert ModuleConfig.from_dict(json.loads(text)) == config


def test_round_trip_keeps_overrides():
    config = get_config("small", n_latent=7, rna_dim=20, atac_n_layers=3, tokens="all")
    again = ModuleConfig.from_dict(config.to_dict())
    assert again == config and again != get_config("small")


def test_auto_depends_on_the_machine():
    assert get_config(has_gpu=True) == get_config("base")
    assert get_config(has_gpu=False) == get_config() == get_config("small")
    assert get_config("small", has_gpu=True) == get_config("small")


def test_overrides_by_prefix():
    config = get_config("small", rna_dim=20, atac_dim=28, binning="log2", n_latent=6)
    assert (config.rna.dim, config.atac.dim, config.n_latent) == (20, 28, 6)
    assert config.rna.binning == get_config("small", rna_binning="log2").rna.binning == "log2"
    expected = get_config("small")
    assert config.rna == replace(expected.rna, dim=20, binning="log2")
    assert config.atac == replace(expected.atac, dim=28)


@pytest.mark.parametrize("name", ["n_latnet", "dim", "rna", "stages", "rna_n_patches", "encoder"])
def test_unknown_option_lists_choices(name):
    with pytest.raises(ValueError, match=rf"{name}.*Choose among.*atac_n_patches.*n_latent.*rna_d"):
        get_config("small", **{name: 1})


def test_unknown_size_lists_choices():
    with pytest.raises(ValueError, match=r"auto.*small.*base.*paper.*found 'huge'"):
        get_config("huge")


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("rna_binning", "log2.*quantile"),
        ("tokens", "expressed.*all"),
        ("atac_encoder", "vit.*mlp"),
        ("bridge_input", "embedding.*expression.*both"),
    ],
)
def test_unknown_choice_lists_choices(name, choices):
    with pytest.raises(ValueError, match=rf"{name}.*{choices}.*found 'quantil'"):
        get_config("small", **{name: "quantil"})


def test_records_are_frozen():
    config = get_config("small")
    for record in (config, config.rna, config.atac, config.stages["rna"]):
        with pytest.raises(FrozenInstanceError):
            record.dim = 3


def test_sizes_cannot_be_changed_through_a_copy():
    config = get_config("small")
    config.stages["rna"] = replace(config.stages["rna"], max_epochs=12345)
    assert get_config("small").stages["rna"].max_epochs != 12345


def test_paper_size_is_the_published_architecture():
    config = get_config("paper")
    rna, atac = config.rna, config.atac
    assert (rna.dim, rna.depth, rna.heads, rna.dim_head, rna.ff_mult) == (200, 6, 10, 64, 4)
    assert (rna.tokens, rna.binning, rna.n_bins, rna.pooling) == ("all", "log2", 5, "genes")
    assert (atac.dim, atac.depth, atac.heads, atac.mlp_dim, atac.n_patches) == (
        512,
        6,
        8,
        2048,
        128,
    )
    assert (config.n_latent, config.latent_norm, config.target_sum) == (128, "layer", 1e4)
    assert (config.bridge_input, config.bridge_hidden) == ("expression", 256)


def test_options_of_older_models_are_read():
    older = {**get_config("small").to_dict(), "fusion_hidden": 0, "mask_fraction": 0.15}
    assert ModuleConfig.from_dict(older) == get_config("small")
    with pytest.raises(ValueError, match=r"Expected fusion_hidden=0.*found 64.*train it again"):
        ModuleConfig.from_dict({**older, "fusion_hidden": 64})
