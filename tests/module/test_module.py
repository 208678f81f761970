"""The network as a whole: any subset of modalities in, and no cell sees another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scmomer.module import Encoded, Encoder, SCMOMERModule, get_config

KINDS = {
    "small": {},
    "all tokens": {"tokens": "all", "binning": "log2"},
    "softmax": {"rna_attention": "softmax"},
    "layer norm": {"latent_norm": "layer", "rna_value_skip": False, "atac_peak_skip": False},
    "mlp": {"rna_encoder": "mlp", "atac_encoder": "mlp"},
    "features to bridges": {"bridge_reads": "features"},
}
INPUTS = [("rna",), ("atac",), ("rna", "atac")]
N = 9
# Buffers of a bridge, of any modality, of RNA.
BRIDGE = ("scale", "shift")
KIND = ("baseline", "depth_mean", "depth_std")
RNA = (
    "target_sum",
    "gene_weight",
    "count_baseline",
    "library_mean",
    "library_std",
    "decoder.scale",
)


@pytest.fixture
def tables(counts) -> dict[str, torch.Tensor]:
    """Dense counts of nine cells; 0 and 8 are empty, 4 has no ATAC, 5 no RNA."""
    return {
        "rna": counts(N, 30, empty=(0, 5, 8)),
        "atac": counts(N, 40, seed=1, empty=(0, 4, 8)),
    }


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def options(request) -> dict[str, Any]:
    """What differs from the small size."""
    return request.param


@pytest.fixture
def module(options, make_module) -> SCMOMERModule:
    """An untrained network."""
    return make_module(n_batches=2, **options).eval()


@torch.no_grad()
@pytest.mark.parametrize("available", INPUTS, ids="+".join)
def test_any_subset_of_modalities_gives_an_embedding(module, tables, sparse, available):
    rows = {m: sparse(tables[m]) for m in available}
    features = {m: module.modality(m).normalize(counts) for m, counts in rows.items()}
    found = module.embed(rows)
    assert set(found.single) == {"rna", "atac"} and found.heads == {}
    assert all(z.shape == (N, 8) and z.isfinite().all() for z in (found.z, *found.single.values()))
    source = available[0]
    parts = module.bridge(source, found.single[source], features[source])
    if len(available) == 2:
        parts["atac"] = module.shrink_measured(parts["atac"], found.single["atac"], rows["atac"])
    assert torch.equal(found.z, module.fusion(parts["rna"], parts["atac"]))
    for m in ("rna", "atac"):
        if m in available:
            expected = module.modality(m).encoder(features[m]).cell
        else:
            (other,) = available  # its bridge reads normalized features, not raw counts
            bridge = module.bridges_from(other)[0]
            expected = bridge(found.single[other], features[other])[:, :8]
        torch.testing.assert_close(found.single[m], expected)


@torch.no_grad()
def test_a_bridge_refines_its_own_embedding_once_trained(make_module, tables, sparse):
    module = make_module(n_batches=2).eval()
    rna = module.rna.normalize(sparse(tables["rna"]))
    cell = module.rna.encoder(rna).cell
    parts = module.bridges_from("rna")[0](cell, rna)
    assert parts.shape == (N, 16)
    untrained = module.bridge("rna", cell, rna)
    assert torch.equal(untrained["rna"], cell) and torch.equal(untrained["atac"], parts[:, :8])
    module.refines.fill_(True)
    trained = module.bridge("rna", cell, rna)
    assert torch.equal(trained["rna"], parts[:, 8:])
    assert torch.equal(trained["atac"], untrained["atac"])
    plain = make_module(n_batches=2, bridge_refine_source=False).eval()
    assert plain.refines is None and "refines" not in plain.state_dict()
    assert torch.equal(plain.bridge("rna", cell, rna)["rna"], cell)


@torch.no_grad()
@pytest.mark.parametrize("available", INPUTS, ids="+".join)
def test_a_cell_does_not_see_its_batch(module, tables, sparse, available):
    def embed(cells) -> torch.Tensor:
        return module.embed({m: sparse(tables[m][cells]) for m in available}).z

    together = embed(slice(None))
    for i in range(N):
        torch.testing.assert_close(embed([i]), together[i : i + 1], rtol=0, atol=1e-5)
    order = torch.randperm(N)
    torch.testing.assert_close(embed(order), together[order], rtol=0, atol=1e-5)
    twice = embed([1, 1, 3])
    torch.testing.assert_close(twice[0], twice[1], rtol=0, atol=1e-5)
    assert torch.pdist(together[[1, 2, 3, 6, 7]]).min() > 1e-3  # else this would be empty


@torch.no_grad()
def test_embedding_repeats_exactly(module, tables, sparse):
    rows = {"rna": sparse(tables["rna"])}
    assert torch.equal(module.embed(rows).z, module.embed(rows).z)


@torch.no_grad()
def test_cached_embeddings_replace_encoders(make_module, tables, sparse):
    module = make_module(measured_gain=False).eval()
    rows = {m: sparse(t) for m, t in tables.items()}
    found = module.embed(rows)
    for kind in module.kinds().values():
        del kind.encoder  # not needed any more
    torch.testing.assert_close(module.embed(rows, found.single).z, found.z)


@torch.no_grad()
def test_a_deep_measurement_outweighs_what_was_predicted(make_module, sparse):
    module = make_module().eval()
    predicted, measured = torch.zeros(3, 8), torch.ones(3, 8)
    peaks = torch.zeros(3, 40)
    peaks[1, :10], peaks[2, :30] = 1, 1
    rows = sparse(peaks)
    as_measured = module.shrink_measured(predicted, measured, rows)
    torch.testing.assert_close(as_measured[:, 0], torch.ones(3))
    module.even_depth.fill_(10.0)
    shrunken = module.shrink_measured(predicted, measured, rows)
    torch.testing.assert_close(shrunken[:, 3], torch.tensor([0.0, 0.5, 0.75]))


def test_nothing_to_embed_is_an_error(make_module):
    module = make_module()
    with pytest.raises(ValueError, match="Expected counts of one of .*'rna', 'atac'"):
        module.embed({})
    with pytest.raises(ValueError, match="Expected counts of one of"):
        module.embed({}, {"rna": torch.zeros(2, 8)})


@pytest.mark.parametrize("only", ["rna", "atac"])
def test_a_model_of_one_modality(make_module, tables, sparse, only):
    module = make_module(**{"n_peaks" if only == "rna" else "n_genes": 0})
    assert not module.paired and not module.fused and list(module.kinds()) == [only]
    found = module.embed({only: sparse(tables[only])})
    assert set(found.single) == {only} and torch.equal(found.z, found.single[only])
    assert len(module.stage_parameters(only)) > 0


@torch.no_grad()
def test_predicted_depth_reads_rna_depth_and_is_bounded(make_module, tables, sparse):
    module = make_module().eval()
    rows = sparse(tables["rna"])
    z = module.embed({"rna": rows}).z
    torch.nn.init.normal_(module.depth_head("atac").weight, std=0.1)
    module.rna.library_mean.fill_(5.0)
    module.rna.library_std.fill_(2.0)
    depth = module.predict_depth(z, rows)
    assert depth.shape == (N,) and depth.isfinite().all()
    deeper = rows._replace(values=rows.values * 100)
    assert (module.predict_depth(z, deeper) != depth)[rows.lengths > 0].any()
    module.depth_head("atac").weight.fill_(1e6)
    assert module.predict_depth(z, deeper).abs().max() <= 4


def test_the_basis_waits_where_embeddings_leave(make_module, tables, sparse):
    """Decoders read embeddings that do not know of it."""
    module, rows = make_module().eval(), {"rna": sparse(tables["rna"])}
    before = module.embed(rows)
    module.basis.normal_()
    assert torch.equal(module.embed(rows).z, before.z)


def test_statistics_are_saved(make_module):
    saved = {f"bridges.{m}.{k}.{s}" for m in ("rna", "atac") for k in (0, 1) for s in BRIDGE}
    saved |= {f"modalities.{m}.{s}" for m in ("rna", "atac") for s in KIND}
    saved |= {f"modalities.rna.{s}" for s in RNA} | {"basis", "even_depth"}
    assert saved <= set(make_module().state_dict())


def test_weights_hold_the_whole_state(module, options, make_module, tables, sparse):
    rows = {m: sparse(t) for m, t in tables.items()}
    module.rna.target_sum.fill_(77.0)
    other = make_module(n_batches=2, seed=1, **options).eval()
    assert not torch.allclose(other.embed(rows).z, module.embed(rows).z)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.embed(rows).z, module.embed(rows).z)


# -- parts


def test_encoders_can_be_passed(make_module, tables, sparse):
    class Constant(Encoder):
        """The same embedding for all cells."""

        def forward(self, features):
            return Encoded(torch.ones(features.n_rows, 8), None)

    plain, own = make_module(), Constant()
    names = {"rna": [f"gene {i}" for i in range(30)]}
    config = get_config("small", n_latent=8, rna_encoder="custom")
    module = SCMOMERModule(names, 1, config, encoders={"rna": own})
    assert module.rna.encoder is own and module.custom_encoders() == {"rna": own}
    assert torch.equal(module.embed({"rna": sparse(tables["rna"])}).z, torch.ones(N, 8))
    assert plain.custom_encoders() == {}


def test_stages_train_their_own_parts(make_module):
    module = make_module()

    def of(*parts) -> set[int]:
        return {id(p) for part in parts for p in part.parameters() if p.requires_grad}

    def trained(stage) -> set[int]:
        return {id(p) for p in module.stage_parameters(stage)}

    kinds = module.kinds().values()
    decoders, encoders = [kind.decoder for kind in kinds], [kind.encoder for kind in kinds]
    for m, kind in module.kinds().items():
        assert trained(m) == of(kind.encoder, kind.decoder)
    assert trained("fusion") == of(*encoders, *decoders, module.fusion, module.discriminator)
    assert trained("bridge") == of(*decoders, module.bridges, module.fusion)


@pytest.mark.parametrize("options", [{}, {"rna_encoder": "mlp"}], ids=str)
def test_maps_with_start_values_move_slowly(make_module, options):
    module = make_module(**options)
    found = {name for name, p in module.named_parameters() for s in slow(module) if p is s}
    expected = {"modalities.atac.encoder.peak_skip", "fusion.to_out.weight"}
    names = ("linear", "bias") if options else ("pool.projection", "pool.bias")
    expected |= {f"modalities.rna.encoder.{name}" for name in names}
    assert found == expected
    assert slow(make_module(warm_start=False, **options)) == []


def slow(module: SCMOMERModule) -> list[torch.nn.Parameter]:
    return module.slow_parameters()
