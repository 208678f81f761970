"""Choices that depend on the data."""

from __future__ import annotations

import pytest

from scmomer.module import get_config, resolve_encoder, resolve_for_depth


@pytest.mark.parametrize("size", ["small", "base"])
def test_rna_alone_has_a_perceptron(size):
    assert resolve_encoder(get_config(size), True).modalities["rna"].encoder == "mlp"
    with_others = resolve_encoder(get_config(size), False)
    assert with_others.modalities["rna"].encoder == "performer"


@pytest.mark.parametrize(
    "options",
    [{"rna_encoder": "performer"}, {"rna_dim": 32}, {"binning": "log2"}, {"size": "paper"}],
)
def test_who_asks_for_a_performer_gets_one(options):
    assert resolve_encoder(get_config(**options), True).modalities["rna"].encoder == "performer"


@pytest.mark.parametrize(
    "options", [{"rna_mlp_hidden": 64}, {"rna_min_spread": 0.2}, {"n_latent": 16}]
)
def test_options_of_all_encoders_leave_the_choice(options):
    assert resolve_encoder(get_config(**options), True).modalities["rna"].encoder == "mlp"


@pytest.mark.parametrize(("n_expressed", "expected"), [(400, True), (401, False)])
def test_measurements_of_cells_with_many_genes_stay_as_they_are(n_expressed, expected):
    assert resolve_for_depth(get_config("small"), n_expressed).measured_gain is expected
    for own in (True, False):
        config = get_config("small", measured_gain=own)
        assert resolve_for_depth(config, n_expressed).measured_gain is own
    assert resolve_for_depth(get_config("paper"), n_expressed).measured_gain is False


def test_more_of_the_predicted_depth_counts_in_deep_cells():
    def share(n_expressed: float, **options: float) -> float | None:
        config = get_config("small", **options)
        return resolve_for_depth(config, n_expressed).modalities["atac"].depth_share

    assert share(400) is None and share(401) == 1.0
    assert share(100, atac_depth_share=0.2) == share(3000, atac_depth_share=0.2) == 0.2
