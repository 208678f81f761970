"""Three modalities in one network: any subset in, and pairs that were never measured together."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from scmomer.module import SCMOMERModule, average_predictions
from scmomer.nn import CellBatch
from scmomer.train._objectives import bridge, fusion, stage_loss

N = 10
SIZES = {"rna": 30, "atac": 40, "protein": 12}
SUBSETS = [s for k in (1, 2, 3) for s in combinations(SIZES, k)]


@pytest.fixture
def module(make_module) -> SCMOMERModule:
    """An untrained network of RNA, ATAC and protein."""
    module = make_module(n_batches=2, n_proteins=12, protein_hidden=16)
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


def encode(module, rows) -> dict[str, torch.Tensor]:
    """What the encoders give of some modalities."""
    kinds = {m: module.modality(m) for m in rows}
    with torch.no_grad():
        return {m: kind.encoder(kind.normalize(rows[m])).cell for m, kind in kinds.items()}


@pytest.fixture
def minibatch(tables, sparse, module):
    """Makes a minibatch of some modalities, with cached embeddings."""

    def make(subset) -> CellBatch:
        rows = {m: sparse(tables[m]) for m in subset}
        return CellBatch(rows, encode(module, rows), torch.arange(N) % 2)

    return make


@torch.no_grad()
@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_gives_all_embeddings(module, tables, sparse, subset):
    module.eval()
    rows = {m: sparse(tables[m]) for m in subset}
    found = module.embed(rows)
    assert set(found.single) == set(SIZES)
    assert all(z.shape == (N, 8) and z.isfinite().all() for z in (found.z, *found.single.values()))
    for m, cell in encode(module, rows).items():
        torch.testing.assert_close(found.single[m], cell)
    one = module.embed({m: sparse(tables[m][[3]]) for m in subset})
    torch.testing.assert_close(one.z, found.z[[3]], rtol=0, atol=1e-5)


def predicted(module, source, found, rows) -> dict[str, torch.Tensor]:
    """What one bridge gives fusion."""
    features = module.modality(source).normalize(rows[source])
    return module.bridge(source, found.single[source], features)


@torch.no_grad()
def test_bridges_of_several_modalities_are_averaged(module, tables, sparse):
    module.eval()
    rows = {m: sparse(tables[m]) for m in ("rna", "atac")}
    found = module.embed(rows)
    one, other = (predicted(module, m, found, rows)["protein"] for m in rows)
    torch.testing.assert_close(found.single["protein"], (one + other) / 2)
    bridged = {"rna": {"protein": one}, "atac": {"protein": other, "atac": one}}
    torch.testing.assert_close(
        average_predictions(bridged, ["protein"])["protein"], (one + other) / 2
    )
    assert average_predictions(bridged, ["atac", "rna"]) == {}  # a bridge from itself is none


@torch.no_grad()
def test_a_token_stands_where_no_bridge_was_trained(module, tables, sparse):
    """ATAC and protein were never measured in one cell: a multiome beside CITE-seq."""
    module.eval()
    module.co_measured[1, 2] = module.co_measured[2, 1] = False
    assert not module.has_bridge("atac", "protein") and module.has_bridge("rna", "protein")
    rows = {m: sparse(tables[m]) for m in ("rna", "atac")}
    found = module.embed({"atac": rows["atac"]})
    assert set(found.single) == {"rna", "atac"}
    parts = predicted(module, "atac", found, rows)
    token = module.absent[2].expand(N, -1)
    torch.testing.assert_close(found.z, module.fusion(parts["rna"], parts["atac"], token))
    both = module.embed(rows)
    from_rna = predicted(module, "rna", both, rows)["protein"]
    torch.testing.assert_close(both.single["protein"], from_rna)


@pytest.mark.parametrize("subset", [s for s in SUBSETS if len(s) > 1], ids="+".join)
def test_stage_two_rebuilds_what_was_measured(module, minibatch, subset):
    terms = fusion(module, minibatch(subset))
    assert set(terms) == {f"{m}_reconstruction" for m in subset} | {"pair_matching"}
    torch.stack(list(terms.values())).sum().backward()
    grad = module.absent.grad
    learned = [False] * 3 if grad is None else grad.any(1).tolist()
    assert learned == [m not in subset for m in SIZES]


@pytest.mark.parametrize("subset", [s for s in SUBSETS if "rna" in s or len(s) > 1], ids="+".join)
def test_stage_three_translates_between_what_was_measured(module, minibatch, subset):
    terms = bridge(module, minibatch(subset))
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
    module.co_measured[1, 2] = module.co_measured[2, 1] = False
    assert bridge(module, minibatch(("atac", "protein"))) == {}
    assert stage_loss(module, "bridge", minibatch(("atac", "protein")))[0] == 0


@pytest.mark.parametrize("missing", ["rna", "atac", "protein"])
def test_any_two_of_three_make_a_model(make_module, tables, sparse, missing):
    names = {"rna": "n_genes", "atac": "n_peaks", "protein": "n_proteins"}
    sizes = {names[m]: 0 if m == missing else n for m, n in SIZES.items()}
    module = make_module(**sizes)
    rows = {m: sparse(tables[m]) for m in SIZES if m != missing}
    assert module.absent is None and module.fused_modalities == tuple(rows)
    assert all(module.has_bridge(*pair) for pair in (tuple(rows), tuple(rows)[::-1]))
    cells = CellBatch(rows, encode(module, rows))
    for stage in ("fusion", "bridge"):
        assert stage_loss(module, stage, cells)[0].isfinite()
    for m in rows:
        assert module.eval().embed({m: rows[m]}).z.shape == (N, 8)
