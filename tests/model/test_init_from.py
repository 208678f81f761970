"""``SCMOMER(init_from=)``: what is copied, what starts anew, what is refused."""

from __future__ import annotations

import logging
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer._compat import keep_obs
from scmomer.data import read_cells
from scmomer.datasets import synthetic
from scmomer.inference import Inference
from scmomer.nn import to_rows


def begin(data, source, setup=None, **options):
    set_up = scmomer.pp.setup_mudata if isinstance(data, MuData) else scmomer.pp.setup_anndata
    set_up(data, **(setup or {}))
    return scmomer.SCMOMER(data, init_from=source, **options)


def part(mdata: MuData, **kept: np.ndarray) -> MuData:
    """Some features of each modality, in the order given."""
    with keep_obs():
        return MuData(
            {m: adata[:, kept.get(m, slice(None))].copy() for m, adata in mdata.mod.items()}
        )


@pytest.fixture
def target(make_unseen) -> MuData:
    """Unseen cells with 50 of the 60 genes and 150 of the 200 peaks, in another order."""
    rng = np.random.default_rng(3)
    mdata = make_unseen()
    found = part(mdata, rna=rng.permutation(60)[:50], atac=rng.permutation(200)[:150])
    found.obs = mdata.obs.copy()
    return found


def test_the_same_data_give_the_same_results(trained, make_unseen, same):
    data = make_unseen()
    model = begin(data, trained, {"batch_key": "batch"})
    for query in (data, data["rna"], data["atac"]):
        for modality in ("joint", "rna", "atac"):
            pair = (m.get_latent_representation(query, modality=modality) for m in (trained, model))
            same(*pair, atol=1e-6)
    same(model.get_translated(data["rna"]), trained.get_translated(data["rna"]), atol=1e-6)
    same(model.get_translated(data["atac"]), trained.get_translated(data["atac"]), atol=1e-5)
    assert model.stages_ == trained.stages_ and model.is_trained
    assert model.id != trained.id and model.history_ is None


def at_total_of(model, source):
    """The source, normalizing counts to another total."""
    other = deepcopy(source)
    other.module.rna.target_sum.copy_(model.module.rna.target_sum)
    return other


def test_the_total_follows_the_shared_genes(trained, mdata, target, make_unseen):
    total = mdata["rna"].X.sum(1)
    some = trained.spec.features["rna"].isin(target["rna"].var_names)
    share = float((mdata["rna"].X[:, some].sum(1) / total).mean())
    model = begin(target, trained, {"batch_key": "batch"})
    assert model.target_sum == pytest.approx(trained.target_sum * share, rel=0.05)
    assert 0.7 < share < 0.95
    wider = make_unseen()["rna"].copy()
    wider.var_names = [n if i % 3 else f"New{i}" for i, n in enumerate(wider.var_names)]
    new = np.array([n.startswith("New") for n in wider.var_names])
    share = float((mdata["rna"].X[:, ~new].sum(1) / total).mean())
    of_data = float(wider.X[:, ~new].sum() / wider.X.sum())
    model = begin(wider, trained)
    assert model.target_sum == pytest.approx(trained.target_sum * share / of_data, rel=0.05)


def test_shared_features_give_the_same_results(trained, target, same):
    model = begin(target, trained, {"batch_key": "batch"})
    assert model.module.modalities.atac.encoder.layout.n_patches == (
        trained.module.modalities.atac.encoder.layout.n_patches
    )
    theirs = at_total_of(model, trained)
    for m in ("rna", "atac"):
        cells = (read_cells(target[m], x.spec, modality=m) for x in (theirs, model))
        pair = zip((theirs, model), cells, strict=True)
        found = [Inference(x.module, c.select_modality(m)).encode(m) for x, c in pair]
        same(*found, atol=3e-6)
    pair = (x.get_latent_representation(target["atac"]) for x in (trained, model))
    same(*pair, atol=1e-6)
    expected = trained.get_translated(target["atac"], "rna", features=target["rna"].var_names)
    same(model.get_translated(target["atac"], "rna"), expected, atol=1e-5)


def test_a_gene_that_is_not_in_the_data_counts_as_average(trained, target, same):
    model = begin(target, trained, {"batch_key": "batch"})
    out = ~trained.spec.features["rna"].isin(target["rna"].var_names)
    theirs = at_total_of(model, trained)
    for bridge in theirs.module.bridges_from("rna"):
        bridge.shift[torch.from_numpy(out)] = 0  # of no influence where it is not expressed
    peaks = target["atac"].var_names
    expected = theirs.get_translated(target["rna"], features=peaks)
    same(model.get_translated(target["rna"]), expected, atol=1e-6)
    pair = (x.get_latent_representation(target["rna"]) for x in (theirs, model))
    same(*pair, atol=1e-5)


def test_new_features_begin_without_influence(trained, make_unseen, same):
    data = make_unseen()
    rng = np.random.default_rng(0)
    extra = AnnData(sp.csr_matrix(rng.poisson(2.0, (120, 5)).astype(np.float32)))
    extra.var_names, extra.obs_names = [f"New{i}" for i in range(5)], data.obs_names
    rna = AnnData(sp.hstack([extra.X, data["rna"].X]).tocsr())
    rna.var_names = [*extra.var_names, *data["rna"].var_names]
    rna.obs_names = data.obs_names
    with keep_obs():
        wider = MuData({"rna": rna, "atac": data["atac"].copy()})
    model = begin(wider, trained)
    known = AnnData(
        sp.hstack([sp.csr_matrix((120, 5), dtype=np.float32), data["rna"].X]).tocsr(),
        var=rna.var,
        obs=rna.obs,
    )
    theirs = at_total_of(model, trained)
    same(model.get_latent_representation(known), theirs.get_latent_representation(data["rna"]))
    means = model.module.rna.decoder.linear.bias.detach() * model.module.rna.decoder.scale[:, 0]
    assert (means[:5] > 1).all()  # two counts in each cell
    for name in ("pos_emb.emb.weight",):
        assert not model.module.rna.encoder.model.get_parameter(name)[:5].any()
    assert not model.module.rna.encoder.pool.projection[:5].any()


def test_peaks_are_matched_by_overlap(trained, make_unseen, same):
    data = make_unseen()
    moved = data["atac"].copy()
    at = moved.var_names.str.extract(r"(.*):(\d+)-(\d+)")
    starts = at[1].astype(int) + 40  # of some hundred bases
    moved.var_names = [f"{c}-{s}-{e}" for c, s, e in zip(at[0], starts, at[2], strict=True)]
    with keep_obs():
        other = MuData({"rna": data["rna"].copy(), "atac": moved})
    model = begin(other, trained)
    assert model.origin_["features"]["atac"] == {"copied": 200, "new": 0, "left_out": 0}
    pair = (trained.get_latent_representation(data), model.get_latent_representation(other))
    same(*pair)


def test_batches_of_the_same_name_are_copied(trained, make_unseen, same):
    data = make_unseen(n_batches=3)
    model = begin(data, trained, {"batch_key": "batch"})
    assert model.spec.batches == ["batch1", "batch2", "batch3"]
    for batch in (None, "batch1", "batch2"):
        pair = (m.get_translated(data["rna"], batch=batch) for m in (trained, model))
        same(*pair, atol=1e-6)
    new, average = (model.get_translated(data["rna"], batch=b) for b in ("batch3", None))
    same(new, average, atol=1e-6)


def test_one_batch_is_the_average_one(trained, make_unseen, same):
    data = make_unseen()
    model = begin(data, trained)
    pair = (m.get_translated(data["rna"]) for m in (trained, model))
    same(*pair, atol=1e-6)


def test_ensembl_versions_do_not_matter(make_model, train, same):
    data = synthetic(n_cells=60, n_genes=40, n_peaks=50)["rna"]
    data.var_names = [f"ENSG{i:08d}.{i % 3}" for i in range(40)]
    source = make_model(data)
    train(source)
    newer = data.copy()
    newer.var_names = [f"ENSG{i:08d}.7" for i in range(40)]
    model = begin(newer, source)
    same(model.get_latent_representation(newer), source.get_latent_representation(data))


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_a_modality_that_the_data_lack_is_kept(
    trained, make_unseen, same, train, tmp_path, modality
):
    data = make_unseen()[modality].copy()
    model = begin(data, trained, {"batch_key": "batch"})
    assert set(model.spec.modalities) == {"rna", "atac"}
    assert model.origin_["kept"] == [{"rna": "atac", "atac": "rna"}[modality]]
    same(model.get_translated(data), trained.get_translated(data), atol=1e-5)
    if modality == "atac":
        return  # without RNA no stage has cells; see below
    train(model, freeze="encoders")
    assert [*model.history_] == ["bridge"]
    assert np.isfinite(model.get_translated(data)).all()
    model.save(tmp_path / "model")
    again = scmomer.load(tmp_path / "model", data)
    same(again.get_translated(data), model.get_translated(data), atol=1e-6)
    train(again, freeze="encoders")


def test_an_encoder_for_a_model_of_two_modalities(trained_rna, make_unseen, same, train, refuses):
    data = make_unseen()
    model = begin(data, trained_rna, {"batch_key": "batch"})
    assert model.stages_ == ("rna",)
    counts = to_rows(data["rna"].X)
    pair = (m.module.rna.encoder(m.module.rna.normalize(counts)).cell for m in (trained_rna, model))
    same(*(z.detach().numpy() for z in pair))
    record = model.origin_
    assert record["copied"] == ["rna encoder"]
    assert record["new"]["atac encoder"] == "the source has no atac"
    assert record["new"]["fusion"] == "the source fuses other modalities"
    with refuses(ValueError, "'fusion'", "['atac']", "stages=['atac', 'fusion']"):
        train(model, stages=["fusion"], freeze="none")
    with refuses(ValueError, "the encoder of 'atac'", "Leave freeze= out", "'rna_encoder'"):
        train(model, freeze="encoders")
    before = {k: v.clone() for k, v in model.module.rna.encoder.state_dict().items()}
    train(model)
    assert model.stages_ == ("rna", "atac", "fusion", "bridge")
    assert [*model.history_] == ["atac", "fusion", "bridge"]
    after = model.module.rna.encoder.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())  # frozen by default


def test_a_third_modality_beside_two(trained, train, same):
    data = synthetic(n_cells=120, n_genes=60, n_peaks=200, n_proteins=8)
    model = begin(data, trained)
    assert model.spec.modalities == ("rna", "atac", "protein")
    assert model.stages_ == ("rna", "atac")
    for m in ("rna", "atac"):
        counts = to_rows(data[m].X)
        kinds = [x.module.modality(m) for x in (trained, model)]
        same(*(k.encoder(k.normalize(counts)).cell.detach().numpy() for k in kinds))
    train(model)
    assert model.stages_ == ("rna", "atac", "protein", "fusion", "bridge")


def test_a_model_file_says_what_it_began_with(trained, saved, target, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "scmomer"):
        model = begin(target, saved)
    report = next(r.getMessage() for r in caplog.records if "Copied from" in r.getMessage())
    assert "50 genes; 0 genes of the data are new, 10 of the model are left out" in report
    assert "150 peaks" in report and trained.id in report
    model.save(tmp_path / "model")
    again = scmomer.load(tmp_path / "model")
    assert again.origin_ == model.origin_ and again.origin_["model_id"] == trained.id
    assert again.config == model.config
    z = model.get_latent_representation(target)
    assert np.array_equal(again.get_latent_representation(target), z)
    third = begin(target, again)  # and so on
    np.testing.assert_allclose(third.get_latent_representation(target), z, atol=1e-6)


def test_the_source_is_left_alone_and_let_go(trained, target, train):
    before = {k: v.clone() for k, v in trained.module.state_dict().items()}
    model = begin(target, trained)
    train(model, freeze="none")
    assert all(torch.equal(v, trained.module.state_dict()[k]) for k, v in before.items())
    kept = [*vars(model).values(), *model.init_params_["kwargs"].values()]
    assert not any(value is trained for value in kept)


def test_sizes_follow_the_source_unless_allowed(trained, target, refuses, train):
    model = begin(target, trained)
    assert model.config.n_latent == 8 and model.config.modalities["rna"].dim == 8
    with refuses(ValueError, "rna encoder", "allow_new_sizes=True"):
        begin(target, trained, rna_dim=16)
    with refuses(ValueError, "rna encoder", "allow_new_sizes=True"):
        begin(target, trained, rna_encoder="mlp")
    with refuses(ValueError, "allow_new_sizes=True"):
        begin(target, trained, size="base")
    other = begin(target, trained, rna_dim=16, allow_new_sizes=True)
    assert other.stages_ == ("atac",)
    assert other.origin_["new"]["rna encoder"] == "other sizes"
    train(other)
    assert other.stages_ == ("rna", "atac", "fusion", "bridge")


def test_another_species_is_refused(trained, make_unseen, refuses):
    rna = make_unseen()["rna"].copy()
    rna.var_names = [name.upper() + "x" for name in rna.var_names]
    with refuses(ValueError, "species", "0 of the 60 genes", "align_genes(rna, model, orthologs="):
        begin(rna, trained)


def test_another_assembly_is_refused(trained, make_unseen, refuses):
    atac = make_unseen()["atac"].copy()
    var = atac.var
    atac.var_names = [
        f"{c}:{s + 10**7}-{e + 10**7}"
        for c, s, e in zip(var.chrom, var.start, var.end, strict=True)
    ]
    with refuses(ValueError, "assembly", "0 of the 200 peaks", "liftOver"):
        begin(atac, trained)


def test_other_modalities_are_refused(trained_atac, make_unseen, refuses):
    with refuses(ValueError, "['rna']", "['atac']"):
        begin(make_unseen()["rna"].copy(), trained_atac)


def test_what_is_no_trained_model_is_refused(make_model, mdata, make_unseen, refuses, tmp_path):
    data = make_unseen()
    with refuses(ValueError, "never trained", "leave init_from= out"):
        begin(data, make_model(mdata))
    with refuses(TypeError, "init_from=", "int"):
        begin(data, 3)
    with refuses(FileNotFoundError, "no-such-folder"):
        begin(data, tmp_path / "no-such-folder")


def test_copied_bounds_of_gene_weights(trained, target):
    model = begin(target, trained)
    rows = pd.Index(trained.spec.features["rna"]).get_indexer(target["rna"].var_names)
    assert (model.module.rna.gene_weight <= trained.module.rna.gene_weight[rows] + 1e-6).all()


@pytest.fixture
def begun(trained, target):
    return begin(target, trained, {"batch_key": "batch", "labels_key": "cell_type"})


def test_a_reference_of_such_a_model(begun, target, make_unseen):
    query = make_unseen(seed=11)["rna"].copy()
    scmomer.tl.map_to_reference(query, target, begun, labels_key="cell_type")
    assert query.obs["reference_label"].notna().all()


def test_labels_by_such_a_model(begun, target, seed):
    query = target["rna"].copy()
    with seed(0):
        classifier = scmomer.CellTypeClassifier(begun, n_members=2, max_epochs=20)
        classifier.fit(target["rna"], target.obs["cell_type"])
    scmomer.tl.annotate(query, classifier)
    assert (query.obs["scmomer_label"] == query.obs["cell_type"]).mean() > 0.5


def test_query_batches_of_such_a_model(begun, make_unseen):
    query = make_unseen(seed=11)
    query.obs["batch"] = "new"
    adapted = begun.load_query_data(query)
    assert adapted.spec.all_batches[-1] == "new" and adapted.origin_ == begun.origin_
    z = begun.get_latent_representation(query)
    assert np.array_equal(adapted.get_latent_representation(query), z)


def test_batches_of_queries_are_copied_too(trained, make_unseen, same):
    query = make_unseen(seed=11)
    query.obs["batch"] = "new"
    adapted = trained.load_query_data(query)
    data = make_unseen()
    data.obs["batch"] = np.where(np.arange(data.n_obs) % 2, "new", "batch1")
    model = begin(data, adapted, {"batch_key": "batch"})
    assert model.origin_["batches"] == ["batch1", "new"]
    for batch in ("batch1", "new"):
        pair = (m.get_translated(data["rna"], batch=batch) for m in (adapted, model))
        same(*pair, atol=1e-6)
