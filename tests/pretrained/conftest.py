"""Checkpoints with the published keys, shapes and types, and random values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

N_GENES, N_PEAKS, N_PATCHES = 211, 301, 128  # 3 peaks in a patch: 100 are full, 27 empty
SIZES = {
    "published": {"dim": 200, "depth": 6, "heads": 10, "dim_head": 64, "m": 266},
    "small": {"dim": 12, "depth": 2, "heads": 3, "dim_head": 8, "m": 16},
}


def performer_tensors(n_genes: int, dim: int, depth: int, heads: int, dim_head: int, m: int):
    """The tensors of all published RNA encoders, in the order of the files."""
    inner, f32 = heads * dim_head, torch.float32
    out = {
        "token_emb.weight": torch.randn(7, dim),
        "pos_emb.emb.weight": torch.randn(n_genes + 1, dim, dtype=torch.float64),
        "performer.calls_since_last_redraw": torch.tensor(17),
    }
    for i in range(depth):
        layer = f"performer.net.layers.{i}"
        shapes = {
            "0.norm.weight": (dim,),
            "0.norm.bias": (dim,),
            "0.fn.fast_attention.projection_matrix": (m, dim_head),
            **{f"0.fn.to_{k}.weight": (inner, dim) for k in "qkv"},
            "0.fn.to_out.weight": (dim, inner),
            "0.fn.to_out.bias": (dim,),
            "1.norm.weight": (dim,),
            "1.norm.bias": (dim,),
            "1.fn.fn.w1.weight": (4 * dim, dim),
            "1.fn.fn.w1.bias": (4 * dim,),
            "1.fn.fn.w2.weight": (dim, 4 * dim),
            "1.fn.fn.w2.bias": (dim,),
        }
        for name, shape in shapes.items():
            scale = 1.0 if "projection" in name else shape[-1] ** -0.5
            out[f"{layer}.{name}"] = scale * torch.randn(shape, dtype=f32)
    out["norm.weight"], out["norm.bias"] = torch.rand(dim) + 0.5, torch.randn(dim)
    return out


VIT_SIZES = {
    "published": {"dim": 512, "depth": 6, "mlp_dim": 2048},
    "small": {"dim": 16, "depth": 2, "mlp_dim": 24},
}


def linear(name: str, n_out: int, n_in: int) -> dict[str, Tensor]:
    """A linear map with bias."""
    return {
        f"{name}.weight": torch.randn(n_out, n_in) / n_in**0.5,
        f"{name}.bias": torch.randn(n_out),
    }


def layer_norm(name: str, dim: int) -> dict[str, Tensor]:
    """A layer norm."""
    return {f"{name}.weight": torch.rand(dim) + 0.5, f"{name}.bias": torch.randn(dim)}


def vit_tensors(n_peaks: int, dim: int, depth: int, mlp_dim: int) -> dict[str, Tensor]:
    """The tensors of the published ATAC encoder that all files have."""
    patch = -(-n_peaks // N_PATCHES)
    out = {
        "embeddings.cls_token": torch.randn(1, 1, dim),
        "embeddings.position_embeddings": torch.randn(1, N_PATCHES + 1, dim),
        **linear("embeddings.patch_embeddings.projection", dim, patch),
    }
    for i in range(depth):
        layer = f"encoder.layer.{i}"
        for name in ("query", "key", "value"):
            out |= linear(f"{layer}.attention.attention.{name}", dim, dim)
        out |= linear(f"{layer}.attention.output.dense", dim, dim)
        out |= linear(f"{layer}.intermediate.dense", mlp_dim, dim)
        out |= linear(f"{layer}.output.dense", dim, mlp_dim)
        out |= layer_norm(f"{layer}.layernorm_before", dim)
        out |= layer_norm(f"{layer}.layernorm_after", dim)
    return {
        **out,
        **layer_norm("layernorm", dim),
        **linear("pooler.dense", dim, dim),
        "loss_fn.pos_weight": torch.tensor([20.0]),
        **linear("decoder_pred", patch, dim),
    }


def stage_one_atac_tensors(n_peaks: int, **sizes: int) -> dict[str, Tensor]:
    """The state of ``s1_atac.pth`` without the prefix ``module.``."""
    mask_token = {"embeddings.mask_token": torch.randn(1, 1, sizes["dim"])}
    return {**vit_tensors(n_peaks, **sizes), **mask_token}


def stage_two_tensors(n_genes: int, n_peaks: int, size: str) -> dict[str, Tensor]:
    """The state of ``s2_multimodal.pth`` without the prefix ``module.``."""
    n_latent = 128
    vit = vit_tensors(n_peaks, **VIT_SIZES[size])
    shared = scmomer_tensors(n_genes, **SIZES[size])
    return {
        **{k: v for k, v in shared.items() if not k.startswith("encoder.")},
        **{f"atac_model.{name}": tensor for name, tensor in vit.items()},
        "atac_projection.weight": torch.randn(n_latent, VIT_SIZES[size]["dim"]) / 16,
        **linear("RNA.output_mean.0", n_genes, n_latent),
        **linear("ATAC.output_mean.0", n_peaks, n_latent),
        **linear("sub_task.linear1", 64, n_latent),
        **linear("sub_task.linear2", 2, 64),
    }


def scbert_tensors(n_genes: int, **sizes: int) -> dict[str, Tensor]:
    """The state of ``panglao_pretrain.pth``."""
    dim = sizes["dim"]
    head = {"to_out.weight": torch.randn(7, dim), "to_out.bias": torch.randn(7)}
    return {**performer_tensors(n_genes, **sizes), **head}


def scmomer_tensors(n_genes: int, **sizes: int) -> dict[str, Tensor]:
    """The state of ``pretrained_scmomer.pth``."""
    dim, n_latent, hidden = sizes["dim"], 128, 256
    rna = performer_tensors(n_genes, **sizes)
    rna["to_out.conv1.weight"] = torch.randn(1, 1, 1, dim)
    rna["to_out.conv1.bias"] = torch.randn(1)
    return {
        **{f"rna_model.model.{name}": tensor for name, tensor in rna.items()},
        "rna_projection.weight": torch.randn(n_latent, n_genes) / n_genes**0.5,
        "to_out.weight": torch.randn(n_latent, 2 * n_latent) / 16,
        "to_out.bias": torch.randn(n_latent),
        "encoder.encoder.0.weight": torch.randn(hidden, n_genes) / n_genes**0.5,
        "encoder.encoder.0.bias": torch.randn(hidden),
        "encoder.encoder.1.weight": torch.rand(hidden) + 0.5,
        "encoder.encoder.1.bias": torch.randn(hidden),
        "encoder.encoder.4.weight": torch.randn(n_latent, hidden) / 16,
        "encoder.encoder.4.bias": torch.randn(n_latent),
        **{f"{m}_ln.weight": torch.rand(n_latent) + 0.5 for m in ("rna", "atac")},
        **{f"{m}_ln.bias": torch.randn(n_latent) for m in ("rna", "atac")},
    }


@pytest.fixture
def make_scbert() -> Callable[[int, str], dict[str, Tensor]]:
    """Draw the state of a scBERT checkpoint for a number of genes, small or of published size."""
    return lambda n_genes, size: scbert_tensors(n_genes, **SIZES[size])


@pytest.fixture
def make_scmomer() -> Callable[[int, str], dict[str, Tensor]]:
    """Draw the state of a scMomer checkpoint for a number of genes, small or of published size."""
    return lambda n_genes, size: scmomer_tensors(n_genes, **SIZES[size])


@pytest.fixture
def make_stage_one_atac() -> Callable[[int, str], dict[str, Tensor]]:
    """Draw the state of an ATAC checkpoint for a number of peaks, small or of published size."""
    return lambda n_peaks, size: stage_one_atac_tensors(n_peaks, **VIT_SIZES[size])


@pytest.fixture
def make_stage_two() -> Callable[[int, int, str], dict[str, Tensor]]:
    """Draw the state of a checkpoint of stage 2 for numbers of genes and peaks."""
    return stage_two_tensors


@pytest.fixture(scope="session")
def peaks() -> list[str]:
    """Names for the peaks of small checkpoints, in no genomic order."""
    start = np.random.default_rng(1).permutation(N_PEAKS) * 1000
    return [f"chr{1 + i % 5}:{s}-{s + 500}" for i, s in enumerate(start)]


@pytest.fixture(scope="session")
def genes() -> list[str]:
    """Names for the genes of small checkpoints."""
    return [f"GENE{i}" for i in range(N_GENES)]


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a checkpoint as the published scripts do."""

    def make(tensors: dict[str, Tensor], name: str = "checkpoint.pth", **beside) -> Path:
        path = tmp_path / name
        torch.save({"model_state_dict": tensors, **beside}, path)
        return path

    return make


@pytest.fixture
def scbert(write) -> tuple[Path, dict[str, Tensor]]:
    """A scBERT checkpoint with optimizer and scheduler, and its tensors."""
    torch.manual_seed(0)
    tensors = scbert_tensors(N_GENES, **SIZES["small"])
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
    beside = {"optimizer_state_dict": optimizer, "epoch": 3, "losses": 0.5}
    return write(tensors, "panglao_pretrain.pth", **beside), tensors


@pytest.fixture
def released(write) -> tuple[Path, dict[str, Tensor]]:
    """A scMomer checkpoint and its tensors."""
    torch.manual_seed(1)
    tensors = scmomer_tensors(N_GENES, **SIZES["small"])
    return write(tensors, "pretrained_scmomer.pth"), tensors


@pytest.fixture
def stage_one_atac(write) -> tuple[Path, dict[str, Tensor]]:
    """An ATAC checkpoint of stage 1, as written under distributed training, and its tensors."""
    torch.manual_seed(4)
    tensors = stage_one_atac_tensors(N_PEAKS, **VIT_SIZES["small"])
    beside = {"optimizer_state_dict": {"state": {}}, "scheduler_state_dict": {}}
    return write({f"module.{k}": v for k, v in tensors.items()}, "s1_atac.pth", **beside), tensors


@pytest.fixture
def stage_two(write) -> tuple[Path, dict[str, Tensor]]:
    """A checkpoint of stage 2, as written under distributed training, and its tensors."""
    torch.manual_seed(5)
    tensors = stage_two_tensors(N_GENES, N_PEAKS, "small")
    return write({f"module.{k}": v for k, v in tensors.items()}, "s2_multimodal.pth"), tensors


@pytest.fixture
def cells(genes) -> AnnData:
    """Five cells of very different size with counts of these genes."""
    rng = np.random.default_rng(0)
    shown = rng.random((5, N_GENES)) < np.array([[0.02], [0.1], [0.3], [0.6], [0.9]])
    counts = sp.csr_matrix((rng.integers(1, 30, shown.shape) * shown).astype(np.float32))
    adata = AnnData(counts)
    adata.var_names = genes
    return adata


@pytest.fixture
def open_peaks(peaks) -> AnnData:
    """Five cells of very different depth with counts of these peaks."""
    rng = np.random.default_rng(2)
    shown = rng.random((5, N_PEAKS)) < np.array([[0.9], [0.02], [0.1], [0.6], [0.3]])
    counts = sp.csr_matrix((rng.integers(1, 4, shown.shape) * shown).astype(np.float32))
    adata = AnnData(counts)
    adata.var_names = peaks
    return adata


@pytest.fixture
def paired(cells, open_peaks) -> MuData:
    """Five cells with both."""
    return MuData({"rna": cells, "atac": open_peaks})
