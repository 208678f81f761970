"""The network as a whole: any subset of modalities in, and no cell sees another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scmomer.module import SCMOMERModule

KINDS = {
    "small": {},
    "all tokens": {"tokens": "all", "binning": "log2"},
    "softmax": {"rna_attention": "softmax"},
    "layer norm": {"latent_norm": "layer", "rna_value_skip": False, "atac_peak_skip": False},
    "mlp": {"rna_encoder": "mlp", "atac_encoder": "mlp"},
    "embedding to bridge": {"bridge_input": "embedding"},
    "expression to bridge": {"bridge_input": "expression"},
}
INPUTS = [("rna",), ("atac",), ("rna", "atac")]
N = 9


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
    out = module.inference(**{m: sparse(tables[m]) for m in available})
    assert set(out) == {"z_rna", "z_atac", "z"}
    assert all(z.shape == (N, 8) and z.isfinite().all() for z in out.values())
    source = available[0]
    said = module.bridge(source, out[f"z_{source}"], sparse(tables[source]))
    if len(available) == 2:
        said["atac"] = module.weigh_measured(said["atac"], out["z_atac"], sparse(tables["atac"]))
    assert torch.equal(out["z"], module.fusion(said["rna"], said["atac"]))
    for m in ("rna", "atac"):
        if m in available:
            expected = module.encode(m, sparse(tables[m])).cell
        else:
            (other,) = available
            features = module.normalize(other, sparse(tables[other]))  # not raw counts
            expected = module.bridge_from(other)(out[f"z_{other}"], features)[:, :8]
        torch.testing.assert_close(out[f"z_{m}"], expected)


@torch.no_grad()
def test_a_bridge_refine_source_its_own_embedding_once_trained(make_module, tables, sparse):
    module, rna = make_module(n_batches=2).eval(), sparse(tables["rna"])
    cell = module.encode("rna", rna).cell
    said = module.bridge_from("rna")(cell, module.normalize("rna", rna))
    assert said.shape == (N, 16)
    untrained = module.bridge("rna", cell, rna)
    assert torch.equal(untrained["rna"], cell) and torch.equal(untrained["atac"], said[:, :8])
    module.refines.fill_(True)
    trained = module.bridge("rna", cell, rna)
    assert torch.equal(trained["rna"], said[:, 8:])
    assert torch.equal(trained["atac"], untrained["atac"])
    plain = make_module(n_batches=2, bridge_refine_source=False).eval()
    assert plain.refines is None and "refines" not in plain.state_dict()
    assert torch.equal(plain.bridge("rna", cell, rna)["rna"], cell)


@torch.no_grad()
@pytest.mark.parametrize("available", INPUTS, ids="+".join)
def test_a_cell_does_not_see_its_batch(module, tables, sparse, available):
    def embed(cells) -> torch.Tensor:
        return module.inference(**{m: sparse(tables[m][cells]) for m in available})["z"]

    together = embed(slice(None))
    for i in range(N):
        torch.testing.assert_close(embed([i]), together[i : i + 1], rtol=0, atol=1e-5)
    order = torch.randperm(N)
    torch.testing.assert_close(embed(order), together[order], rtol=0, atol=1e-5)
    twice = embed([1, 1, 3])
    torch.testing.assert_close(twice[0], twice[1], rtol=0, atol=1e-5)
    assert torch.pdist(together[[1, 2, 3, 6, 7]]).min() > 1e-3  # else this would be empty


@torch.no_grad()
def test_inference_repeats_exactly(module, tables, sparse):
    rows = sparse(tables["rna"])
    assert torch.equal(module.inference(rna=rows)["z"], module.inference(rna=rows)["z"])


@torch.no_grad()
def test_cached_embeddings_replace_encoders(make_module, tables, sparse):
    module = make_module(measured_gain=False).eval()
    rows = {m: sparse(t) for m, t in tables.items()}
    out = module.inference(**rows)
    cached = {k: out[k] for k in ("z_rna", "z_atac")}
    module.encoders = torch.nn.ModuleDict()  # not needed any more
    torch.testing.assert_close(module.inference(**rows, **cached)["z"], out["z"])


@torch.no_grad()
def test_a_deep_measurement_outweighs_what_was_expected(make_module, sparse):
    module = make_module().eval()
    expected, measured = torch.zeros(3, 8), torch.ones(3, 8)
    peaks = torch.zeros(3, 40)
    peaks[1, :10], peaks[2, :30] = 1, 1
    rows = sparse(peaks)
    as_measured = module.weigh_measured(expected, measured, rows)
    torch.testing.assert_close(as_measured[:, 0], torch.ones(3))
    module.even_depth.fill_(10.0)
    weighed = module.weigh_measured(expected, measured, rows)
    torch.testing.assert_close(weighed[:, 3], torch.tensor([0.0, 0.5, 0.75]))


def test_nothing_to_embed_is_an_error(make_module):
    module = make_module()
    with pytest.raises(ValueError, match="Expected counts of one of .*'rna', 'atac'"):
        module.inference()
    with pytest.raises(ValueError, match="Expected counts of one of"):
        module.inference(z_rna=torch.zeros(2, 8))


@pytest.mark.parametrize("only", ["rna", "atac"])
def test_a_model_of_one_modality(make_module, tables, sparse, only):
    module = make_module(**{"n_peaks" if only == "rna" else "n_genes": 0})
    assert not module.paired and list(module.encoders) == [only]
    out = module.inference(**{only: sparse(tables[only])})
    assert set(out) == {f"z_{only}", "z"} and torch.equal(out["z"], out[f"z_{only}"])
    assert len(module.stage_parameters(only)) > 0


def test_expression_is_normalized_to_the_target_sum(make_module, tables, sparse):
    module = make_module()
    module.target_sum.fill_(500.0)
    values = module.normalize("rna", sparse(tables["rna"]))
    totals = torch.zeros(N).index_add_(0, values.row_ids, 2**values.values - 1)
    torch.testing.assert_close(totals[[1, 2, 3]], torch.full((3,), 500.0))


@torch.no_grad()
def test_depth_is_standardized(make_module, tables, sparse):
    module = make_module().eval()
    n_open = (tables["atac"] > 0).sum(1).double()
    logs = n_open.log1p()
    module.size_stats[0] = torch.tensor([logs.mean(), logs.std()])
    depth = module.depth(sparse(tables["atac"]))
    torch.testing.assert_close(depth.double(), (logs - logs.mean()) / logs.std())


@torch.no_grad()
def test_predicted_depth_reads_rna_depth_and_is_bounded(make_module, tables, sparse):
    module = make_module().eval()
    rows = sparse(tables["rna"])
    z = module.inference(rna=rows)["z"]
    torch.nn.init.normal_(module.depth_head("atac").weight, std=0.1)
    module.size_stats[1:3] = torch.tensor([5.0, 2.0])
    depth = module.predict_depth(z, rows)
    assert depth.shape == (N,) and depth.isfinite().all()
    deeper = rows._replace(values=rows.values * 100)
    assert (module.predict_depth(z, deeper) != depth)[rows.lengths > 0].any()
    module.depth_head("atac").weight.fill_(1e6)
    assert module.predict_depth(z, deeper).abs().max() <= 4


def test_statistics_are_saved(make_module):
    saved = {"target_sum", "gene_weight", "baseline", "size_stats", "bridges.rna.scale"}
    saved |= {"bridges.rna.shift", "even_depth", "count_baseline", "decoders.rna.scale"}
    assert saved <= set(make_module().state_dict())


def test_weights_hold_the_whole_state(module, options, make_module, tables, sparse):
    rows = {m: sparse(t) for m, t in tables.items()}
    module.target_sum.fill_(77.0)
    other = make_module(n_batches=2, seed=1, **options).eval()
    assert not torch.allclose(other.inference(**rows)["z"], module.inference(**rows)["z"])
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.inference(**rows)["z"], module.inference(**rows)["z"])
