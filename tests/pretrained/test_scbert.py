"""scBERT's checkpoint: all tensors loaded, results of performer-pytorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from performer_pytorch import PerformerLM

import scmomer
from scmomer.module.modalities.rna._tokens import ExpressionTokens
from scmomer.pretrained import load_scbert


def performer_pytorch(tensors) -> PerformerLM:
    """performer-pytorch with the same weights."""
    first = "performer.net.layers.0.0.fn"
    m, dim_head = tensors[f"{first}.fast_attention.projection_matrix"].shape
    inner, dim = tensors[f"{first}.to_q.weight"].shape
    model = PerformerLM(
        num_tokens=7,
        max_seq_len=len(tensors["pos_emb.emb.weight"]),
        dim=dim,
        depth=sum(".0.norm.bias" in name for name in tensors),
        heads=inner // dim_head,
        dim_head=dim_head,
        nb_features=m,
        attn_out_bias=True,
        rotary_position_emb=False,
    )
    state = {k: v for k, v in tensors.items() if "calls_since" not in k}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("proj_updater" in name for name in missing)
    return model.eval()


def floored_bins(adata) -> torch.Tensor:
    """Tokens as scBERT's scripts make them."""
    counts = adata.X.toarray()
    total = np.maximum(counts.sum(1, keepdims=True), 1)
    return torch.from_numpy(np.log2(1 + counts / total * 1e4).clip(max=5)).long()


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_equals_performer_pytorch_cell_by_cell(scbert, genes, cells, batch_size):
    path, tensors = scbert
    model = load_scbert(path, genes=genes, accelerator="cpu")
    theirs = performer_pytorch(tensors)
    found = model.get_latent_representation(cells, batch_size=batch_size)
    assert found.shape == (5, 24)
    for cell, bins in zip(found, floored_bins(cells), strict=True):
        hidden = theirs(bins[None], return_encodings=True)[0]  # at batch size 1
        expected = torch.cat([hidden.mean(0), hidden.amax(0)]).numpy()
        assert np.abs(cell - expected).max() <= 1e-4 * np.abs(expected).max()


@torch.no_grad()
def test_equals_performer_pytorch_at_published_width(make_scbert, write, cells, genes):
    torch.manual_seed(2)
    tensors = make_scbert(len(genes), "published")
    model = load_scbert(write(tensors), genes=genes, accelerator="cpu")
    theirs = performer_pytorch(tensors)
    encoder = model.module.rna.encoder.model
    bins = floored_bins(cells)
    tokens = torch.arange(len(genes)).expand_as(bins), bins, bins.float(), torch.ones_like(bins) > 0
    ours = encoder(ExpressionTokens(*tokens))
    for cell, one in zip(ours, bins, strict=True):
        expected = theirs(one[None], return_encodings=True)[0]
        assert (cell - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_the_whole_published_file(make_scbert, write):
    tensors = make_scbert(16906, "published")
    assert len(tensors) == 91
    assert tensors["pos_emb.emb.weight"].dtype == torch.float64
    model = load_scbert(write(tensors), accelerator="cpu")
    assert model.spec.features["rna"].equals(scmomer.pretrained.panglao_genes())
    state = model.module.state_dict()
    for name, tensor in tensors.items():
        if "calls_since" not in name:
            ours = state[f"modalities.rna.encoder.model.{name}"]
            assert ours.dtype == torch.float32
            torch.testing.assert_close(ours, tensor.float(), rtol=0, atol=0)
    assert not model.module.rna.encoder.model.pos_emb.emb.weight.requires_grad


@pytest.mark.slow
@torch.no_grad()
def test_equals_performer_pytorch_at_full_length(make_scbert, write):
    torch.manual_seed(3)
    tensors = make_scbert(16906, "published")
    model = load_scbert(write(tensors), accelerator="cpu")
    bins = torch.randint(0, 6, (2, 16906)) * (torch.rand(2, 16906) < 0.2)
    tokens = torch.arange(16906).expand_as(bins), bins, bins.float(), torch.ones_like(bins) > 0
    ours = model.module.rna.encoder.model(ExpressionTokens(*tokens))
    theirs = performer_pytorch(tensors)
    for cell, one in zip(ours, bins, strict=True):
        expected = theirs(one[None], return_encodings=True)[0]
        assert (cell - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_stage_one_file_of_scmomer_is_read_too(scbert, write, genes, cells):
    path, tensors = scbert
    prefixed = write({f"module.{k}": v for k, v in tensors.items()}, "s1_rna.pth")
    bare = path.with_name("bare.pth")
    torch.save(tensors, bare)
    expected = load_scbert(path, genes=genes).get_latent_representation(cells)
    for other in (prefixed, bare):
        np.testing.assert_array_equal(
            load_scbert(other, genes=genes).get_latent_representation(cells), expected
        )


def test_genes_are_matched_by_name(scbert, genes, cells):
    model = load_scbert(scbert[0], genes=genes)
    expected = model.get_latent_representation(cells)
    order = np.random.default_rng(0).permutation(len(genes))
    found = model.get_latent_representation(cells[:, order].copy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_model_can_be_saved_and_loaded(scbert, genes, cells, tmp_path):
    model = load_scbert(scbert[0], genes=genes, rna_stabilizer="cell")
    model.save(tmp_path / "scbert.scmomer")
    again = scmomer.load(tmp_path / "scbert.scmomer")
    assert again.config.modalities["rna"].stabilizer == "cell"
    np.testing.assert_array_equal(
        again.get_latent_representation(cells), model.get_latent_representation(cells)
    )


def test_it_becomes_the_current_model(scbert, genes, cells):
    model = load_scbert(scbert[0], genes=genes)
    scmomer.tl.embed(cells)
    np.testing.assert_array_equal(cells.obsm["X_scmomer"], model.get_latent_representation(cells))
    assert "X_scmomer_atac" not in cells.obsm


def test_the_stabilizer_is_a_choice_of_little_consequence(scbert, genes, cells):
    head = load_scbert(scbert[0], genes=genes).get_latent_representation(cells)
    cell = load_scbert(scbert[0], genes=genes, rna_stabilizer="cell")
    other = cell.get_latent_representation(cells)
    assert 0 < np.abs(head - other).max() < 0.1 * np.abs(head).max()


# -- invalid files


def test_every_tensor_that_does_not_fit_is_named(scbert, write, genes):
    _, tensors = scbert
    broken = dict(tensors)
    del broken["performer.net.layers.1.0.fn.to_k.weight"]
    broken["extra.weight"] = torch.zeros(2)
    broken["norm.bias"] = torch.zeros(3)
    broken["to_out.bias"] = torch.full((7,), torch.nan)
    with pytest.raises(ValueError, match="found 4 that do not fit") as error:
        load_scbert(write(broken), genes=genes)
    for part in (
        "missing performer.net.layers.1.0.fn.to_k.weight",
        "unexpected extra.weight",
        "norm.bias of shape (3,)",
        "to_out.bias with values that are not finite",
    ):
        assert part in str(error.value)


def test_a_vocabulary_of_another_length(scbert, genes):
    with pytest.raises(ValueError, match=r"Expected 16907 rows.*found 212.*Pass genes="):
        load_scbert(scbert[0])
    with pytest.raises(
        ValueError, match=r"Expected genes to be unique, found duplicates of \['GENE0'\]"
    ):
        load_scbert(scbert[0], genes=[*genes[:-1], "GENE0"])


def test_scmomers_file_is_no_scbert_file(released, genes):
    with pytest.raises(ValueError, match="lacks tensors of scBERT.*rna_model"):
        load_scbert(released[0], genes=genes)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="found nothing"):
        load_scbert(tmp_path / "absent.pth")
    with pytest.raises(FileNotFoundError, match="found a folder"):
        load_scbert(tmp_path)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"epoch": 3}, {"model_state_dict": {}}])
def test_a_file_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="Expected a dictionary of tensors"):
        load_scbert(tmp_path / "other.pth")


class Harmful:
    """Would leave a trace if it were unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_nothing_in_a_file_is_executed(tmp_path):
    path, trace = tmp_path / "harmful.pth", tmp_path / "trace"
    torch.save({"model_state_dict": Harmful(trace)}, path)
    with pytest.raises(ValueError, match="never executes"):
        load_scbert(path)
    assert not trace.exists()


def test_a_damaged_file(tmp_path):
    path = tmp_path / "damaged.pth"
    path.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(ValueError, match="damaged"):
        load_scbert(path)
