"""Three modalities in one network: any subset in, and pairs that were never measured together."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from scmomer.module import SCMOMERModule, get_config
from scmomer.module.modalities import KINDS
from scmomer.train._objectives import OBJECTIVES, stage_loss

N = 10
SIZES = {"rna": 30, "atac": 40, "protein": 12}
SUBSETS = [s for k in (1, 2, 3) for s in combinations(SIZES, k)]


@pytest.fixture
def module(make_layout) -> SCMOMERModule:
    """An untrained network of RNA, ATAC and protein."""
    torch.manual_seed(0)
    options = {"n_latent": 8, "bridge_hidden": 16, "rna_dim": 8, "rna_n_layers": 1, "rna_n_heads": 2}
    options |= {"rna_dim_head": 4, "atac_dim": 8, "atac_n_layers": 1, "atac_n_heads": 2}
    config = get_config("small", **options, atac_mlp_dim=8, atac_n_patches=6, protein_hidden=16)
    module = SCMOMERModule(30, make_layout(40, 6), 2, config, n_proteins=12)
    torch.nn.init.normal_(module.absent)
    return module


@pytest.fixture
def tables(counts) -> dict[str, torch.Tensor]:
    """Counts of the same cells; some have none of a modality."""
    return {
        "rna": counts(N, 30, empty=(0, 5)),
        "atac": counts(N, 40, seed=1, empty=(0, 4)),
        "protein": counts(N, 12, seed=2, density=0.9, empty=(0,)),
    }


@pytest.fixture
def minibatch(tables, sparse, module):
    """Makes a minibatch of some modalities, with cached embeddings."""

    def make(subset) -> dict:
        rows = {m: sparse(tables[m]) for m in subset}
        with torch.no_grad():
            cached = {f"z_{m}": module.encode(m, rows[m]).cell for m in subset}
        return {**rows, **cached, "batch": torch.arange(N) % 2}

    return make


def test_the_registry_is_in_the_order_of_the_constants():
    from scmomer._constants import MODALITIES

    assert tuple(KINDS) == MODALITIES and all(KINDS[m].name == m for m in MODALITIES)


@torch.no_grad()
@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_gives_all_embeddings(module, tables, sparse, subset):
    module.eval()
    out = module.inference(**{m: sparse(tables[m]) for m in subset})
    assert set(out) == {"z", "z_rna", "z_atac", "z_protein"}
    assert all(z.shape == (N, 8) and z.isfinite().all() for z in out.values())
    for m in subset:
        torch.testing.assert_close(out[f"z_{m}"], module.encode(m, sparse(tables[m])).cell)
    one = module.inference(**{m: sparse(tables[m][[3]]) for m in subset})
    torch.testing.assert_close(one["z"], out["z"][[3]], rtol=0, atol=1e-5)


@torch.no_grad()
def test_bridges_of_several_modalities_are_averaged(module, tables, sparse):
    module.eval()
    rows = {m: sparse(tables[m]) for m in ("rna", "atac")}
    out = module.inference(**rows)
    said = [module.bridge(m, out[f"z_{m}"], rows[m])["protein"] for m in rows]
    torch.testing.assert_close(out["z_protein"], (said[0] + said[1]) / 2)


@torch.no_grad()
def test_a_token_stands_where_no_bridge_was_trained(module, tables, sparse):
    """ATAC and protein were never measured in one cell: a multiome beside CITE-seq."""
    module.eval()
    module.measured_together[1, 2] = module.measured_together[2, 1] = False
    atac = sparse(tables["atac"])
    out = module.inference(atac=atac)
    assert set(out) == {"z", "z_rna", "z_atac"}
    said = module.bridge("atac", out["z_atac"], atac)
    token = module.absent[2].expand(N, -1)
    torch.testing.assert_close(out["z"], module.fusion(said["rna"], said["atac"], token))
    both = module.inference(rna=sparse(tables["rna"]), atac=atac)
    from_rna = module.bridge("rna", both["z_rna"], sparse(tables["rna"]))["protein"]
    torch.testing.assert_close(both["z_protein"], from_rna)


@pytest.mark.parametrize("subset", [s for s in SUBSETS if len(s) > 1], ids="+".join)
def test_stage_two_rebuilds_what_was_measured(module, minibatch, subset):
    terms = OBJECTIVES["fusion"](module, minibatch(subset))
    assert set(terms) == {f"{m}_reconstruction" for m in subset} | {"pair_matching"}
    torch.stack(list(terms.values())).sum().backward()
    grad = module.absent.grad
    learned = [False] * 3 if grad is None else grad.any(1).tolist()
    assert learned == [m not in subset for m in SIZES]


@pytest.mark.parametrize("subset", [s for s in SUBSETS if "rna" in s or len(s) > 1], ids="+".join)
def test_stage_three_translates_between_what_was_measured(module, minibatch, subset):
    terms = OBJECTIVES["bridge"](module, minibatch(subset))
    found = {name for name in terms if "_from_" in name and not name[-1].isdigit()}
    expected = {f"{to}_from_{m}" for m in subset for to in subset if m != to}
    if "rna" in subset:
        expected |= {"rna_from_rna", "counts_from_rna"}
    if len(subset) > 2:
        expected |= {f"{to}_from_others" for to in subset}
    assert found == expected and ("distillation" in terms) == (len(subset) > 1)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_stage_three_leaves_untrained_pairs_out(module, minibatch):
    module.measured_together[1, 2] = module.measured_together[2, 1] = False
    assert OBJECTIVES["bridge"](module, minibatch(("atac", "protein"))) == {}
    assert stage_loss(module, "bridge", minibatch(("atac", "protein")))[0] == 0


@pytest.mark.parametrize("missing", ["rna", "atac", "protein"])
def test_any_two_of_three_make_a_model(make_layout, tables, sparse, missing):
    config = get_config("small", n_latent=8, rna_dim=8, rna_dim_head=4, atac_dim=8, atac_n_heads=2)
    layout = None if missing == "atac" else make_layout(40, 64)
    sizes = {m: 0 if m == missing else n for m, n in SIZES.items()}
    module = SCMOMERModule(sizes["rna"], layout, 1, config, n_proteins=sizes["protein"])
    rows = {m: sparse(tables[m]) for m in SIZES if m != missing}
    assert module.absent is None and module.modalities == tuple(rows)
    cached = {f"z_{m}": module.encode(m, rows[m]).cell.detach() for m in rows}
    for stage in ("fusion", "bridge"):
        assert stage_loss(module, stage, {**rows, **cached})[0].isfinite()
    for m in rows:
        assert module.eval().inference(**{m: rows[m]})["z"].shape == (N, 8)
