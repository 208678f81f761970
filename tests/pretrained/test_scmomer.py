"""scMomer's released checkpoint: the published embedding from RNA alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from performer_pytorch.performer_pytorch import linear_attention, softmax_kernel

import scmomer
from scmomer.pretrained import load_scmomer


def reference(tensors, values: torch.Tensor) -> dict[str, torch.Tensor]:
    """The published embedding of one cell, ``(n_genes,)`` log2 expression, written out."""
    rna = {k.removeprefix("rna_model.model."): v.float() for k, v in tensors.items()}

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], rna[f"{name}.weight"], rna[f"{name}.bias"])

    x = rna["token_emb.weight"][values.round().long().clamp(0, 5)]
    x = (x + rna["pos_emb.emb.weight"][: len(values)])[None]  # (1, n_genes, dim)
    i = 0
    while f"performer.net.layers.{i}.0.norm.weight" in rna:
        layer = f"performer.net.layers.{i}"
        h = norm(x, f"{layer}.0.norm")
        matrix = rna[f"{layer}.0.fn.fast_attention.projection_matrix"]
        q, k, v = (
            (h @ rna[f"{layer}.0.fn.to_{n}.weight"].T).unflatten(-1, (-1, matrix.shape[1]))
            for n in "qkv"
        )
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (1, heads, n_genes, dim_head)
        q = softmax_kernel(q, projection_matrix=matrix, is_query=True)
        k = softmax_kernel(k, projection_matrix=matrix, is_query=False)
        h = linear_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + h @ rna[f"{layer}.0.fn.to_out.weight"].T + rna[f"{layer}.0.fn.to_out.bias"]
        h = norm(x, f"{layer}.1.norm")
        h = F.gelu(F.linear(h, rna[f"{layer}.1.fn.fn.w1.weight"], rna[f"{layer}.1.fn.fn.w1.bias"]))
        x = x + F.linear(h, rna[f"{layer}.1.fn.fn.w2.weight"], rna[f"{layer}.1.fn.fn.w2.bias"])
        i += 1
    x = norm(x, "norm")
    conv = F.conv2d(x[:, None], rna["to_out.conv1.weight"], rna["to_out.conv1.bias"])
    pooled = F.relu(conv.flatten(1)) @ rna["rna_projection.weight"].T
    z_rna = norm(pooled / pooled.norm(dim=-1, keepdim=True), "rna_ln")
    h = F.linear(values[None], rna["encoder.encoder.0.weight"], rna["encoder.encoder.0.bias"])
    h = F.gelu(norm(h, "encoder.encoder.1"))
    z_atac = F.linear(h, rna["encoder.encoder.4.weight"], rna["encoder.encoder.4.bias"])
    z = F.linear(torch.cat([z_atac, z_rna], -1), tensors["to_out.weight"], tensors["to_out.bias"])
    return {"rna": z_rna[0], "atac": z_atac[0], "joint": z[0]}


def log_expression(adata) -> torch.Tensor:
    """Log2 counts per 10,000."""
    counts = adata.X.toarray()
    total = np.maximum(counts.sum(1, keepdims=True), 1)
    return torch.from_numpy(np.log2(1 + counts / total * 1e4)).float()


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [1, 4])
def test_equals_the_published_embedding(released, genes, cells, batch_size):
    path, tensors = released
    model = load_scmomer(path, genes=genes, accelerator="cpu")
    for modality in ("joint", "rna", "atac"):
        found = model.get_latent_representation(cells, modality=modality, batch_size=batch_size)
        assert found.shape == (5, 128)
        for cell, values in zip(found, log_expression(cells), strict=True):
            expected = reference(tensors, values)[modality].numpy()
            assert np.abs(cell - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_whole_published_file(make_scmomer, write):
    tensors = make_scmomer(16906, "published")
    assert len(tensors) == 104
    model = load_scmomer(write(tensors), accelerator="cpu")
    state = model.module.state_dict()
    torch.testing.assert_close(
        state["modalities.rna.encoder.pool.projection"], tensors["rna_projection.weight"].T
    )
    torch.testing.assert_close(state["fusion.to_out.weight"], tensors["to_out.weight"])
    assert model.spec.features["rna"].equals(scmomer.pretrained.panglao_genes())


def test_embeds_and_is_saved(released, genes, cells, tmp_path):
    model = load_scmomer(released[0], genes=genes)
    scmomer.tl.embed(cells)
    model.save(tmp_path / "released.scmomer")
    again = scmomer.load(tmp_path / "released.scmomer")
    for key, modality in (("", "joint"), ("_rna", "rna"), ("_atac", "atac")):
        np.testing.assert_array_equal(
            again.get_latent_representation(cells, modality=modality),
            cells.obsm[f"X_scmomer{key}"],
        )


def test_it_reports_what_it_cannot_do(released, genes, cells):
    model = load_scmomer(released[0], genes=genes)
    with pytest.raises(
        ValueError, match=r"one of \['rna'\], found 'atac'.*train a model on a MuData"
    ):
        model.get_translated(cells)
    assert list(model.module.kinds()) == ["rna"]


@pytest.mark.parametrize(
    "name", ["rna_projection.weight", "encoder.encoder.0.bias", "atac_ln.weight", "to_out.bias"]
)
def test_a_missing_tensor_is_named(released, write, genes, name):
    _, tensors = released
    rest = {k: v for k, v in tensors.items() if k != name}
    with pytest.raises(ValueError, match=f"missing {name}"):
        load_scmomer(write(rest), genes=genes)


def test_scberts_file_is_no_scmomer_file(scbert, genes):
    with pytest.raises(ValueError, match="lacks tensors of scMomer.*token_emb"):
        load_scmomer(scbert[0], genes=genes)


def test_a_flat_convolution_is_reported(released, write, genes):
    _, tensors = released
    tensors = {**tensors, "rna_model.model.to_out.conv1.weight": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"conv1.weight of shape \(5,\)"):
        load_scmomer(write(tensors), genes=genes)


def test_published_number_of_genes(released, genes):
    with pytest.raises(ValueError, match=f"found {len(genes) + 1}"):
        load_scmomer(released[0])
