"""Training: any registered data, every encoder and option."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from mudata import MuData

import scmomer

STAGES = ("rna", "atac", "fusion", "bridge")


def weights(model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.module.state_dict().items()}


# -- data


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_one_modality_trains_and_embeds(trained_rna, trained_atac, name):
    model = {"rna": trained_rna, "atac": trained_atac}[name]
    assert model.stages_ == (name,) and list(model.history) == [name]
    z = model.get_latent_representation()
    assert z.shape == (120, 8) and np.isfinite(z).all() and z.std(0).max() > 1e-3


@pytest.mark.parametrize("container", ["MuData", "AnnData-rna", "AnnData-atac"])
def test_training_leaves_the_data_alone(mdata, make_model, train, unchanged, container):
    data = mdata if container == "MuData" else mdata[container[8:]].copy()
    for adata in mdata.mod.values() if container == "MuData" else [data]:
        adata.layers["other"] = adata.X.astype(np.float64) / 2
    keys = set(data.obsm), set(data.uns), set(data.obs)
    with unchanged(data):
        model = make_model(data, {"batch_key": "batch", "labels_key": "cell_type"})
        train(model)
        model.get_latent_representation()
    assert set(data.obsm) == keys[0]
    assert set(data.uns) - keys[1] == {"_scvi_uuid", "_scvi_manager_uuid"}
    assert set(data.obs) - keys[2] == {"_scvi_batch", "_scvi_labels"}


@pytest.mark.parametrize("kind", ["csr_array", "csc", "dense", "int64"])
def test_matrix_types_train_alike(make_mdata, make_model, train, seed, kind):
    convert = {
        "csr_array": sp.csr_array,
        "csc": lambda x: x.tocsc(),
        "dense": lambda x: x.toarray(),
        "int64": lambda x: x.astype(np.int64),
    }[kind]
    found = []
    for change in (lambda x: x, convert):
        mdata = make_mdata()
        for adata in mdata.mod.values():
            adata.X = change(adata.X)
        with seed(0):
            model = make_model(mdata)
            train(model)
        found.append(model.get_latent_representation())
    assert np.array_equal(*found)


@pytest.mark.parametrize("container", ["MuData", "AnnData-rna", "AnnData-atac"])
def test_empty_cells_and_features_train(mdata, make_model, train, container):
    for adata in mdata.mod.values():
        dense = adata.X.toarray()
        dense[:10], dense[:, :10] = 0, 0
        adata.X = sp.csr_matrix(dense)
    data = mdata if container == "MuData" else mdata[container[8:]].copy()
    model = make_model(data)
    train(model, batch_size=8)
    assert all(torch.isfinite(v).all() for v in weights(model).values())
    z = model.get_latent_representation()
    assert z.shape == (120, 8) and np.isfinite(z).all()
    if container == "MuData":
        for to in ("atac", "rna"):
            assert np.isfinite(model.get_translated(to=to)).all()
    assert all(np.isfinite(t["train_loss"]).all() for t in model.history.values())


def test_nothing_but_empty_cells_trains(make_model, train, mdata):
    for adata in mdata.mod.values():
        adata.X = sp.csr_matrix(adata.shape, dtype=np.float32)
    model = make_model(mdata)
    train(model)
    assert np.isfinite(model.get_latent_representation()).all()


@pytest.mark.parametrize(("n_cells", "n_genes", "n_peaks"), [(8, 60, 200), (40, 3, 3)])
def test_very_little_data_train(make_mdata, make_model, train, n_cells, n_genes, n_peaks):
    mdata = make_mdata(n_cells=n_cells, n_genes=n_genes, n_peaks=n_peaks)
    model = make_model(mdata)
    train(model)
    z = model.get_latent_representation()
    assert z.shape == (n_cells, 8) and np.isfinite(z).all()


# -- options


@pytest.mark.parametrize(
    "options",
    [
        {"rna_encoder": "mlp"},
        {"atac_encoder": "mlp"},
        {"rna_encoder": "mlp", "atac_encoder": "mlp"},
        {"tokens": "all"},
        {"binning": "log2"},
        {"tokens": "all", "binning": "log2"},
        {"rna_attention": "softmax"},
        {"rna_value_skip": False},
        {"atac_patch_weights": "shared"},
        {"atac_peak_skip": False},
        {"bridge_reads": "features"},
        {"latent_norm": "layer"},
        {"atac_depth_term": False},
        {"warm_start": False},
        {"rna_scale_genes": False},
        {"discriminator_weight": 0.0},
        {"rna_target_sum": 1e4},
    ],
    ids=lambda o: ", ".join(f"{k}={v}" for k, v in o.items()),
)
def test_options_train_and_do_not_depend_on_companions(mdata, make_model, train, options):
    setup = {"batch_key": "batch", "labels_key": "cell_type"}
    model = make_model(mdata, setup, **options)
    before = weights(model)
    train(model)
    assert model.stages_ == STAGES
    moved = sum(not torch.equal(value, before[key]) for key, value in weights(model).items())
    assert moved > 10
    for data in (mdata, mdata["rna"], mdata["atac"]):
        z = model.get_latent_representation(data)
        assert np.isfinite(z).all() and z.std(0).max() > 1e-5
        alone = model.get_latent_representation(data, indices=[3], batch_size=1)
        # Some options give embeddings of a much larger scale, and rounding errors grow with it.
        np.testing.assert_allclose(alone, z[[3]], rtol=0, atol=1e-5 * max(1, 2 * abs(z).max()))
    probability = model.get_translated(mdata["rna"])
    assert 0 <= probability.min() and probability.max() <= 1


def test_sizes_and_options_make_the_network(make_model, mdata):
    model = make_model(mdata, n_latent=6, rna_dim=4, tokens="all", bridge_reads="features")
    config = model.config
    assert (config.n_latent, config.modalities["rna"].dim, config.modalities["rna"].tokens) == (
        6,
        4,
        "all",
    )
    assert model.module.bridges_from("rna")[0].embedding is None
    assert "n_latent 6" in model._model_summary_string
    assert "60 genes, 200 peaks" in model._model_summary_string


def test_labels_and_batches_are_optional(make_mdata, make_model, train):
    model = make_model(make_mdata())
    train(model)
    assert model.spec.batches == model.spec.labels == []
    assert model.get_translated(MuData({"rna": make_mdata()["rna"]})).shape == (120, 200)


# -- trainer


def test_mixed_precision_on_a_cpu_is_refused(mdata, make_model, train, refuses):
    """Before anything is trained or fitted."""
    model = make_model(mdata)
    for method in (train, lambda model, **kwargs: model.pretrain(mdata["rna"], **kwargs)):
        with refuses(ValueError, "'32-true'", "'bf16-mixed'", "hundreds of times slower"):
            method(model, precision="bf16-mixed", accelerator="cpu")
    assert model.stages_ == () and not model._is_warm
    train(model, precision="32-true", accelerator="cpu", max_epochs={"rna": 1}, stages=["rna"])
    assert model.stages_ == ("rna",)


def test_mixed_precision_trains(mdata, make_model, train, monkeypatch):
    """As on a GPU, with the fused optimizer and clipped gradients."""
    monkeypatch.setattr("scmomer.train._device.has_bfloat16", lambda device: True)
    model = make_model(mdata)
    train(model, accelerator="cpu")
    assert model.stages_ == STAGES
    assert model.trainer.precision == "bf16-mixed"
    assert model.trainer.optimizers[0].param_groups[0]["fused"]
    assert np.isfinite(model.get_latent_representation()).all()
    assert all(np.isfinite(table["validation_loss"]).all() for table in model.history.values())


def test_early_stopping_takes_scvi_names_and_prints_nothing(mdata, make_model, train, capsys):
    model = make_model(mdata)
    train(model, max_epochs=8, early_stopping_patience=1, early_stopping_min_delta=1e3)
    assert all(len(table) == 2 for table in model.history.values())
    assert "Monitored metric" not in capsys.readouterr().out


@pytest.mark.parametrize(("n_genes", "n_peaks"), [(1, 1), (1, 20), (20, 1), (2, 2)])
def test_very_few_features(make_model, train, n_genes, n_peaks):
    full = scmomer.datasets.synthetic(40, 20, 20)
    few = MuData({"rna": full["rna"][:, :n_genes].copy(), "atac": full["atac"][:, :n_peaks].copy()})
    model = make_model(few)
    train(model)
    assert np.isfinite(model.get_latent_representation(few["rna"])).all()
