"""Files of the published stages 1 (ATAC) and 2, against the published network written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from anndata import AnnData

import scmomer
from scmomer.data import read_cells
from scmomer.inference import Inference
from scmomer.nn import to_rows
from scmomer.pretrained import load_scmomer

HEADS_ATAC = 8  # not in a file


class Published:
    """The published network, cell by cell in float64, from the tensors of a file."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        bias = self.tensors.get(f"{name}.bias")
        return F.linear(x, self.tensors[f"{name}.weight"], bias)

    def norm(self, x: torch.Tensor, name: str, eps: float = 1e-5) -> torch.Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)

    # -- ATAC

    def vit(self, is_open: torch.Tensor, prefix: str) -> torch.Tensor:
        """Map ``(n_peaks,)`` zeros and ones to ``(1 + n_patches, dim)``."""
        positions = self.tensors[f"{prefix}embeddings.position_embeddings"][0]
        n_patches = len(positions) - 1
        size = math.ceil(len(is_open) / n_patches)
        padded = torch.cat([is_open, is_open.new_zeros(n_patches * size - len(is_open))])
        patches = padded.reshape(n_patches, size)
        x = self.linear(patches, f"{prefix}embeddings.patch_embeddings.projection")
        x = torch.cat([self.tensors[f"{prefix}embeddings.cls_token"][0], x]) + positions
        i = 0
        while f"{prefix}encoder.layer.{i}.layernorm_before.weight" in self.tensors:
            layer = f"{prefix}encoder.layer.{i}"
            h = self.norm(x, f"{layer}.layernorm_before", 1e-12)
            q, k, v = (
                self.linear(h, f"{layer}.attention.attention.{n}").chunk(HEADS_ATAC, -1)
                for n in ("query", "key", "value")
            )
            heads = [
                torch.softmax(a @ b.T / a.shape[-1] ** 0.5, -1) @ c
                for a, b, c in zip(q, k, v, strict=True)
            ]
            x = x + self.linear(torch.cat(heads, -1), f"{layer}.attention.output.dense")
            h = self.norm(x, f"{layer}.layernorm_after", 1e-12)
            h = F.gelu(self.linear(h, f"{layer}.intermediate.dense"))
            x = x + self.linear(h, f"{layer}.output.dense")
            i += 1
        return self.norm(x, f"{prefix}layernorm", 1e-12)

    def pooled(self, is_open: torch.Tensor, prefix: str) -> torch.Tensor:
        return torch.tanh(self.linear(self.vit(is_open, prefix)[0], f"{prefix}pooler.dense"))

    def atac(self, is_open: torch.Tensor) -> torch.Tensor:
        cell = self.linear(self.pooled(is_open, "atac_model."), "atac_projection")
        return self.norm(cell / cell.norm(), "atac_ln")

    # -- RNA

    def features(self, x: torch.Tensor, matrix: torch.Tensor, keys: bool) -> torch.Tensor:
        """Random features of ``(heads, n_genes, dim_head)``; the maximum of keys is the cell's."""
        m, d = matrix.shape
        projected = d**-0.25 * x @ matrix.T
        norm = x.square().sum(-1, keepdim=True) * d**-0.5 / 2
        top = projected.max() if keys else projected.amax(-1, keepdim=True)
        return m**-0.5 * (torch.exp(projected - norm - top) + 1e-4)

    def rna(self, expression: torch.Tensor) -> torch.Tensor:
        """Map ``(n_genes,)`` log2 expression to ``(n_latent,)``."""
        model = "rna_model.model."
        bins = expression.round().long().clamp(0, 5)
        x = self.tensors[f"{model}token_emb.weight"][bins]
        x = x + self.tensors[f"{model}pos_emb.emb.weight"][: len(bins)]
        i = 0
        while f"{model}performer.net.layers.{i}.0.norm.weight" in self.tensors:
            layer = f"{model}performer.net.layers.{i}"
            matrix = self.tensors[f"{layer}.0.fn.fast_attention.projection_matrix"]
            h = self.norm(x, f"{layer}.0.norm")
            q, k, v = (
                self.linear(h, f"{layer}.0.fn.to_{n}")
                .unflatten(-1, (-1, matrix.shape[1]))
                .movedim(1, 0)
                for n in "qkv"
            )
            q, k = self.features(q, matrix, keys=False), self.features(k, matrix, keys=True)
            context, total = k.transpose(1, 2) @ v, k.sum(1)
            h = q @ context / (q @ total[..., None])
            x = x + self.linear(h.movedim(0, 1).flatten(1), f"{layer}.0.fn.to_out")
            h = F.gelu(self.linear(self.norm(x, f"{layer}.1.norm"), f"{layer}.1.fn.fn.w1"))
            x = x + self.linear(h, f"{layer}.1.fn.fn.w2")
            i += 1
        x = self.norm(x, f"{model}norm")
        weight = self.tensors[f"{model}to_out.conv1.weight"]
        conv = F.conv2d(x[None, None], weight, self.tensors[f"{model}to_out.conv1.bias"])
        cell = self.linear(torch.relu(conv.flatten()), "rna_projection")
        return self.norm(cell / cell.norm(), "rna_ln")

    # -- both

    def forward(self, expression: torch.Tensor, is_open: torch.Tensor) -> dict[str, np.ndarray]:
        rna, atac = self.rna(expression), self.atac(is_open)
        z = self.linear(torch.cat([atac, rna]), "to_out")
        hidden = torch.relu(self.linear(z, "sub_task.linear1"))
        found = {
            "rna": rna,
            "atac": atac,
            "joint": z,
            "to_rna": self.linear(z, "RNA.output_mean.0"),
            "to_atac": self.linear(z, "ATAC.output_mean.0"),
            "real": self.linear(hidden, "sub_task.linear2"),
        }
        return {name: value.numpy() for name, value in found.items()}


def log_expression(adata: AnnData) -> torch.Tensor:
    """Log2 counts per 10,000."""
    counts = adata.X.toarray().astype(np.float64)
    return torch.from_numpy(np.log2(1 + counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4))


def is_open(adata: AnnData) -> torch.Tensor:
    """Open peaks, in the order of the file."""
    return torch.from_numpy((adata.X.toarray() > 0).astype(np.float64))


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


# -- stage 2


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [1, 5])
def test_stage_two_equals_the_published_network(stage_two, genes, peaks, paired, batch_size):
    path, tensors = stage_two
    model = load_scmomer(path, genes=genes, peaks=peaks, accelerator="cpu", rna_stabilizer="cell")
    theirs, data = Published(tensors), (log_expression(paired["rna"]), is_open(paired["atac"]))
    cells = [theirs.forward(*cell) for cell in zip(*data, strict=True)]
    expected = {name: np.stack([cell[name] for cell in cells]) for name in cells[0]}
    for m in ("joint", "rna", "atac"):
        found = model.get_latent_representation(paired, modality=m, batch_size=batch_size)
        assert_close(found, expected[m])
    run = Inference(model.module, read_cells(paired, model.spec), batch_size=batch_size)
    embedded = run.embed()
    for m in ("rna", "atac"):
        logits = model.module.modality(m).decoder(torch.from_numpy(embedded.z)).numpy()
        assert_close(logits, expected[f"to_{m}"])
    outputs = {m: run.decode(m, embedded, slice(None), None, None)[0] for m in ("rna", "atac")}
    assert_close(outputs["rna"], expected["to_rna"].clip(min=0))
    assert_close(outputs["atac"], 1 / (1 + np.exp(-expected["to_atac"])))
    real = model.module.discriminator(torch.from_numpy(embedded.z)).numpy()
    assert_close(real, expected["real"])


def test_every_tensor_of_stage_two_is_used(stage_two, genes, peaks, caplog):
    path, tensors = stage_two
    with caplog.at_level("INFO", logger="scmomer"):
        model = load_scmomer(path, genes=genes, peaks=peaks)
    assert f"{len(tensors) - 2} tensors of s2_multimodal.pth loaded" in caplog.text
    assert "atac_model.loss_fn.pos_weight (weight of open peaks" in caplog.text
    assert model.stages_ == ("rna", "atac", "fusion")
    assert model.spec.features["atac"].tolist() == peaks
    assert float(model.module.modality("atac").baseline) == len(peaks)


def test_what_needs_stage_three_says_so(stage_two, genes, peaks, paired):
    model = load_scmomer(stage_two[0], genes=genes, peaks=peaks)
    needed = r"Expected stages .*'bridge'.* to be trained.*train \['bridge'\]"
    with pytest.raises(RuntimeError, match=needed):
        model.get_translated(paired, "atac")
    with pytest.raises(RuntimeError, match=needed):
        model.get_latent_representation(paired["rna"])


def test_stage_three_can_follow(stage_two, genes, peaks, paired, tmp_path):
    """Save, load with data, train what is missing."""
    load_scmomer(stage_two[0], genes=genes, peaks=peaks).save(tmp_path / "two.scmomer")
    model = scmomer.load(tmp_path / "two.scmomer", paired)
    assert model.config.modalities["atac"].patch_order == "file"
    before = model.get_latent_representation()
    model.train(1, resume=True, train_size=1.0, enable_progress_bar=False)
    assert model.stages_ == ("rna", "atac", "fusion", "bridge")
    # Stage 1 and 2 stay; fusion is trained further.
    np.testing.assert_array_equal(
        model.get_latent_representation(modality="atac"),
        load_scmomer(stage_two[0], genes=genes, peaks=peaks).get_latent_representation(
            paired, modality="atac"
        ),
    )
    assert not np.array_equal(model.get_latent_representation(), before)
    # The error of a profile is a mean over features, as published.
    assert 0 < model.history_["bridge"]["atac_from_rna_train"].iloc[0] < 20
    assert model.get_translated(paired["rna"], "atac").shape == (5, len(peaks))


def test_the_whole_published_stage_two(make_stage_two, write):
    tensors = make_stage_two(16906, 1000, "published")
    names = [f"chr1:{i}-{i + 1}" for i in range(1000)]
    model = load_scmomer(write(tensors), peaks=names, accelerator="cpu")
    encoder = model.module.modality("atac").encoder
    assert (encoder.layout.n_patches, encoder.layout.patch_size) == (128, 8)
    assert [block.heads for block in encoder.vit.layer] == [8] * 6
    torch.testing.assert_close(
        encoder.vit.layer[5].dense.weight, tensors["atac_model.encoder.layer.5.output.dense.weight"]
    )


# -- stage 1 of ATAC


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [1, 5])
def test_stage_one_equals_the_published_encoder(stage_one_atac, peaks, open_peaks, batch_size):
    path, tensors = stage_one_atac
    model = load_scmomer(path, peaks=peaks, accelerator="cpu")
    assert model.stages_ == ("atac",)
    assert list(model.spec.features) == ["atac"]
    theirs = Published(tensors)
    expected = np.stack([theirs.pooled(cell, "").numpy() for cell in is_open(open_peaks)])
    assert_close(model.get_latent_representation(open_peaks, batch_size=batch_size), expected)
    encoder = model.module.modality("atac").encoder
    rows = read_cells(open_peaks, model.spec).counts["atac"]
    hidden = encoder(model.module.modality("atac").normalize(to_rows(rows))).tokens
    for cell, tokens in zip(is_open(open_peaks), hidden, strict=True):
        patches = theirs.vit(cell, "")[1:]
        assert_close(tokens.numpy(), patches.numpy())
        logits = theirs.linear(patches, "decoder_pred").numpy()
        assert_close(encoder.decoder_pred(tokens).numpy(), logits)
    torch.testing.assert_close(encoder.mask_token, tensors["embeddings.mask_token"].flatten())


def test_the_order_of_the_data_does_not_matter(stage_one_atac, peaks, open_peaks, tmp_path):
    """Peaks are matched by name to those of the file; also after saving."""
    model = load_scmomer(stage_one_atac[0], peaks=peaks)
    expected = model.get_latent_representation(open_peaks)
    model.save(tmp_path / "atac.scmomer")
    order = np.random.default_rng(0).permutation(len(peaks))
    found = scmomer.load(tmp_path / "atac.scmomer").get_latent_representation(
        open_peaks[:, order].copy()
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# -- invalid files and peaks


def test_peaks_are_needed(stage_one_atac, stage_two, genes):
    with pytest.raises(ValueError, match=r"Expected peaks=, the 257 to 384 peaks of.*s1_atac.pth"):
        load_scmomer(stage_one_atac[0])
    with pytest.raises(ValueError, match=r"the 301 peaks of.*s2_multimodal.*mdata\['atac'\]"):
        load_scmomer(stage_two[0], genes=genes)


def test_peaks_that_do_not_fit(stage_one_atac, stage_two, genes, peaks):
    with pytest.raises(ValueError, match="Expected 257 to 384 peaks.*found 256"):
        load_scmomer(stage_one_atac[0], peaks=peaks[:256])
    with pytest.raises(ValueError, match="Expected 301 peaks.*found 300"):
        load_scmomer(stage_two[0], genes=genes, peaks=peaks[1:])
    with pytest.raises(ValueError, match="unique, found duplicates of"):
        load_scmomer(stage_one_atac[0], peaks=[*peaks[1:], peaks[5]])
    with pytest.raises(ValueError, match="Expected peak names such as"):
        load_scmomer(stage_one_atac[0], peaks=[f"peak_{i}x" for i in range(301)])


def test_no_peaks_for_the_released_weights(released, genes, peaks):
    with pytest.raises(ValueError, match="Expected no peaks=.*found 301. Leave out"):
        load_scmomer(released[0], genes=genes, peaks=peaks)


@pytest.mark.parametrize(
    "name",
    [
        "atac_model.embeddings.cls_token",
        "atac_model.encoder.layer.1.attention.output.dense.bias",
        "atac_model.decoder_pred.weight",
        "atac_projection.weight",
        "ATAC.output_mean.0.bias",
        "RNA.output_mean.0.weight",
        "sub_task.linear2.bias",
        "rna_model.model.to_out.conv1.bias",
        "atac_ln.weight",
    ],
)
def test_a_missing_tensor_of_stage_two_is_named(stage_two, write, genes, peaks, name):
    rest = {k: v for k, v in stage_two[1].items() if k != name}
    with pytest.raises(ValueError, match=f"missing {name}"):
        load_scmomer(write(rest), genes=genes, peaks=peaks)


def test_every_tensor_of_stage_one_that_does_not_fit_is_named(stage_one_atac, write, peaks):
    broken = dict(stage_one_atac[1])
    del broken["embeddings.mask_token"]
    broken["atac_projection.weight"] = torch.zeros(128, 16)
    broken["pooler.dense.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match="found 3 that do not fit") as error:
        load_scmomer(write(broken), peaks=peaks)
    for part in (
        "missing embeddings.mask_token",
        "unexpected atac_projection.weight",
        "pooler.dense.bias of shape (3,)",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["position_embeddings", "patch_embeddings.projection.weight"])
def test_tensors_that_give_the_sizes(stage_one_atac, write, peaks, name):
    tensors = {k: v for k, v in stage_one_atac[1].items() if not k.endswith(name)}
    with pytest.raises(ValueError, match=f"(lacks tensors|missing).*{name}"):
        load_scmomer(write(tensors), peaks=peaks)
