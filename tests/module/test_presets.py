"""Configurations: errors that help, replaced fields, JSON, and what older versions wrote."""

from __future__ import annotations

import json
import warnings
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from scmomer.module import (
    MODALITY_TYPES,
    ModuleConfig,
    config_from_dict,
    config_to_dict,
    get_config,
)
from scmomer.module._presets import _REMOVED, _RENAMED

# What scmomer wrote of its small size before modalities had records of their own.
_STAGE = {"max_epochs": 1, "lr": 0.001, "batch_size": 64, "weight_decay": 0.01, "patience": 5}
_STAGE |= {"warmup": 0.1, "min_steps": 50}
FORMER: dict[str, Any] = {
    "rna": {
        "encoder": "performer",
        "tokens": "expressed",
        "binning": "quantile",
        "n_bins": 5,
        "dim": 64,
        "depth": 2,
        "heads": 4,
        "dim_head": 16,
        "ff_mult": 2,
        "attention": "auto",
        "n_features": None,
        "stabiliser": "head",
        "pooling": "genes",
        "value_skip": True,
        "frozen_positions": False,
        "mlp_hidden": 256,
        "mlp_dropout": 0.3,
    },
    "atac": {
        "encoder": "vit",
        "n_patches": 64,
        "patch_weights": "per_peak",
        "dim": 64,
        "depth": 2,
        "heads": 4,
        "mlp_dim": 128,
        "peak_skip": True,
        "mlp_hidden": 256,
        "mlp_dropout": 0.3,
    },
    "protein": {"hidden": 128, "dropout": 0.3},
    "n_latent": 32,
    "latent_norm": "none",
    "expression_metric": True,
    "bridge_input": "both",
    "bridge_input_atac": "embedding",
    "bridge_hidden": 256,
    "bridge_dropout": 0.5,
    "bridge_input_dropout": 0.5,
    "bridge_centred": True,
    "bridge_refines": True,
    "bridge_rebuild": 2.0,
    "bridge_rates": 2.0,
    "bridge_unpaired": True,
    "bridge_heads": 3,
    "depth_free_heads": 2,
    "measured_gain": True,
    "embedding_dropout": 0.5,
    "discriminator_weight": 0.1,
    "atac_pos_weight": 1.0,
    "scale_genes": True,
    "distill_weight": 0.1,
    "warm_start": True,
    "input_dropout": 0.2,
    "depth_term": True,
    "depth_share": 0.7,
    "target_sum": None,
    "stages": {
        "rna": _STAGE,
        "atac": _STAGE,
        "protein": {**_STAGE, "min_steps": 200},
        "fusion": {**_STAGE, "max_epochs": 2, "min_steps": 100},
        "bridge": {
            **_STAGE,
            "max_epochs": 10,
            "lr": 0.002,
            "batch_size": 128,
            "warmup": 0.3,
            "min_steps": 500,
        },
    },
}
# Each former name of an option, with a value that no size has.
RENAMED = {
    "bridge_centred": False,
    "bridge_refines": False,
    "bridge_rebuild": 0.25,
    "bridge_rates": 0.25,
    "bridge_unpaired": False,
    "bridge_heads": 7,
    "embedding_dropout": 0.125,
    "scale_genes": False,
    "target_sum": 123.0,
    "depth_term": False,
    "rna_depth": 7,
    "rna_heads": 7,
    "rna_stabiliser": "cell",
    "atac_depth": 7,
    "atac_heads": 7,
}


def option(config, name: str) -> Any:
    """The value of an option by the name that users give it."""
    prefix, _, rest = name.partition("_")
    records = {**config.modalities, "bridge": config.bridge}
    return getattr(records[prefix], rest) if prefix in records else getattr(config, name)


# -- options


def test_auto_depends_on_the_machine():
    assert get_config(has_gpu=True) == get_config("base")
    assert get_config(has_gpu=False) == get_config() == get_config("small")
    assert get_config("small", has_gpu=True) == get_config("small")


def test_options_by_prefix():
    config, small = (
        get_config("small", rna_dim=20, atac_dim=28, binning="log2"),
        get_config("small"),
    )
    rna, atac = config.modalities["rna"], config.modalities["atac"]
    assert rna == replace(small.modalities["rna"], dim=20, binning="log2")
    assert atac == replace(small.modalities["atac"], dim=28)
    assert get_config("small", rna_dim=20, atac_dim=28, rna_binning="log2") == config
    config = get_config("small", n_latent=6, bridge_hidden=10, protein_hidden=12)
    assert config.n_latent == 6 and config.modalities["protein"].hidden == 12
    assert config.bridge == replace(small.bridge, hidden=10)


@pytest.mark.parametrize(
    "name",
    ["n_latnet", "dim", "rna", "stages", "modalities", "bridge", "rna_n_patches", "encoder"],
)
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
        ("bridge_reads", "auto.*features"),
        ("latent_norm", "none.*layer"),
    ],
)
def test_unknown_choice_lists_choices(name, choices):
    with pytest.raises(ValueError, match=rf"{name}.*{choices}.*found 'quantil'"):
        get_config("small", **{name: "quantil"})


def test_every_former_name_is_tested():
    assert set(RENAMED) == set(_RENAMED)


@pytest.mark.parametrize("name", RENAMED)
def test_a_former_name_sets_the_present_option_with_a_warning(name):
    value, present = RENAMED[name], _RENAMED[name]
    with pytest.warns(FutureWarning, match=f"{name}= is now called {present}="):
        config = get_config("small", **{name: value})
    assert option(config, present) == value != option(get_config("small"), present)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_config("small", **{present: value}) == config


# -- sizes


@pytest.mark.parametrize("size", ["small", "base", "paper"])
def test_a_size_is_made_of_the_presets_of_all_modalities(size):
    config = get_config(size)
    assert list(config.modalities) == list(MODALITY_TYPES)
    assert list(config.stages) == [*MODALITY_TYPES, "fusion", "bridge"]
    for m, kind in MODALITY_TYPES.items():
        assert (config.modalities[m], config.stages[m]) == kind.preset(size)


def test_records_are_frozen():
    config = get_config("small")
    for record in (config, config.bridge, *config.modalities.values(), config.stages["rna"]):
        with pytest.raises(FrozenInstanceError):
            record.dim = 3


def test_sizes_cannot_be_changed_through_a_copy():
    config = get_config("small")
    config.stages["rna"] = replace(config.stages["rna"], max_epochs=12345)
    config.modalities["rna"] = replace(config.modalities["rna"], dim=12345)
    assert get_config("small").stages["rna"].max_epochs != 12345
    assert get_config("small").modalities["rna"].dim != 12345


def test_paper_size_is_the_published_architecture():
    config = get_config("paper")
    rna, atac = config.modalities["rna"], config.modalities["atac"]
    assert (rna.dim, rna.n_layers, rna.n_heads, rna.dim_head, rna.ff_mult) == (200, 6, 10, 64, 4)
    assert (rna.tokens, rna.binning, rna.n_bins, rna.pooling) == ("all", "log2", 5, "genes")
    assert (atac.dim, atac.n_layers, atac.n_heads, atac.mlp_dim) == (512, 6, 8, 2048)
    assert atac.n_patches == 128
    assert (config.n_latent, config.latent_norm, rna.target_sum) == (128, "layer", 1e4)
    assert (config.bridge.reads, config.bridge.hidden) == ("features", 256)


# -- JSON


@pytest.mark.parametrize("size", ["small", "base", "paper"])
def test_round_trip_through_json(size):
    config = get_config(size)
    text = json.dumps(config_to_dict(config))
    assert config_from_dict(json.loads(text)) == config


def test_round_trip_keeps_options():
    config = get_config("small", n_latent=7, rna_dim=20, atac_n_layers=3, tokens="all")
    again = config_from_dict(config_to_dict(config))
    assert again == config and again != get_config("small")


def test_reading_leaves_its_input_alone():
    for values in (FORMER, config_to_dict(get_config("small"))):
        before = json.dumps(values)
        config_from_dict(values)
        assert json.dumps(values) == before


def former_defaults(**options: Any) -> ModuleConfig:
    """Return today's configuration with the encoder that was the default."""
    return get_config("small", **{"rna_encoder": "performer", "measured_gain": True, **options})


def test_a_former_configuration_is_read():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert config_from_dict(json.loads(json.dumps(FORMER))) == former_defaults()


@pytest.mark.parametrize("name", RENAMED)
def test_former_names_are_read(name):
    prefix, _, rest = name.partition("_")
    value, former = RENAMED[name], dict(FORMER)
    if prefix in MODALITY_TYPES:
        former[prefix] = {**former[prefix], rest: value}
    else:
        former[name] = value
    if name == "bridge_heads":
        former["depth_free_heads"] = value - 1
    assert config_from_dict(former) == former_defaults(**{_RENAMED[name]: value})


def test_former_options_that_kept_their_names_are_read():
    former = {**FORMER, "n_latent": 6, "bridge_hidden": 10, "atac_pos_weight": 5.0}
    former["protein"] = {"hidden": 12, "dropout": 0.0}
    kept = {"n_latent": 6, "bridge_hidden": 10, "atac_pos_weight": 5.0}
    expected = former_defaults(**kept, protein_hidden=12, protein_dropout=0.0)
    assert config_from_dict(former) == expected


def test_bridges_that_read_features_are_read():
    both = {"bridge_input": "expression", "bridge_input_atac": "expression"}
    assert config_from_dict({**FORMER, **both}) == former_defaults(bridge_reads="features")
    for odd in ({"bridge_input": "embedding"}, {"bridge_input_atac": "both"}):
        with pytest.raises(ValueError, match="Expected bridge_input='both'.*found.*train it again"):
            config_from_dict({**FORMER, **odd})


@pytest.mark.parametrize(("n_heads", "n_free"), [(0, 2), (1, 0), (2, 1), (3, 2)])
def test_heads_of_which_one_has_a_depth_term_are_read(n_heads, n_free):
    former = {**FORMER, "bridge_heads": n_heads, "depth_free_heads": n_free}
    share = None if n_heads else 0.7
    expected = former_defaults(bridge_n_heads=n_heads, atac_depth_share=share)
    assert config_from_dict(former) == expected


@pytest.mark.parametrize(("n_heads", "n_free", "n_told"), [(1, 2, 0), (3, 0, 3), (2, 2, 0)])
def test_other_heads_are_an_error_unless_there_is_no_depth_term(n_heads, n_free, n_told):
    former = {**FORMER, "bridge_heads": n_heads, "depth_free_heads": n_free}
    with pytest.raises(ValueError, match=f"of {n_heads} heads.*found {n_told}.*train it again"):
        config_from_dict(former)
    expected = former_defaults(bridge_n_heads=n_heads, atac_depth_term=False)
    assert config_from_dict({**former, "depth_term": False}) == expected


@pytest.mark.parametrize(
    ("n_heads", "share", "now"), [(3, 0.7, None), (3, 0.5, 0.25), (0, 0.5, 0.5)]
)
def test_shares_of_the_depth_are_those_of_all_decoders(n_heads, share, now):
    """One of three heads and the decoder had a depth term."""
    former = {**FORMER, "bridge_heads": n_heads, "depth_share": share}
    assert config_from_dict(former) == former_defaults(bridge_n_heads=n_heads, atac_depth_share=now)


@pytest.mark.parametrize("name", _REMOVED)
def test_removed_options_raise_if_they_were_set(name):
    only = _REMOVED[name]
    assert config_from_dict({**FORMER, name: only}) == former_defaults()
    with pytest.raises(ValueError, match=rf"Expected {name}={only!r}.*found 64.*train it again"):
        config_from_dict({**FORMER, name: 64 if only != 64 else 640})


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("depth_share", "atac_depth_share"), ("bridge_input", "bridge_reads='features'")],
)
def test_options_that_became_something_else_name_it(name, remedy):
    with pytest.raises(ValueError, match=f"{name} is no longer an option.*{remedy}"):
        get_config("small", **{name: 0.5})


@pytest.mark.parametrize("share", [-0.1, 2, "all"])
def test_a_share_of_the_depth_is_from_0_to_1(share):
    with pytest.raises(ValueError, match=f"atac_depth_share None or a number.*{share!r}"):
        get_config("small", atac_depth_share=share)
