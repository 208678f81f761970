"""What each training stage minimises: named terms, already weighted, that sum to the loss.

Reconstruction terms are divided by the loss of the train mean: 1.0 is "no better than the mean".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from scmomer.module._losses import linear_bce, sparse_mse
from scmomer.module._rows import drop_entries

if TYPE_CHECKING:
    from scmomer.module._module import CellBatch, SCMOMERModule

Terms = dict[str, Tensor]


def reconstruction(module: SCMOMERModule, modality: str, z: Tensor, tensors: CellBatch) -> Tensor:
    """Error of decoding one measured modality from `z`, relative to the train mean."""
    counts = tensors["rna"] if modality == "rna" else tensors["atac"]
    target = module.normalize(modality, counts)
    decoder, batch, config = module.decoder(modality), tensors.get("batch"), module.config
    z = F.dropout(z, config.latent_dropout, module.training)
    if modality == "rna":
        error = sparse_mse(decoder(z, batch), target, module.gene_weight)
        return config.rna_weight * error / module.baseline[0]
    augmented = decoder.augment(z, batch, module.depth(counts))
    error = linear_bce(augmented, decoder.weights(), target, config.atac_pos_weight)
    return config.atac_weight * error / module.baseline[1]


def unimodal(modality: str) -> Callable[[SCMOMERModule, CellBatch], Terms]:
    """Stage 1: predict hidden tokens, and the whole profile from the cell embedding.

    The second term is not in the paper. It trains the pooler, which the published stage 1 leaves
    at its random initialisation.
    """

    def objective(module: SCMOMERModule, tensors: CellBatch) -> Terms:
        counts = tensors["rna"] if modality == "rna" else tensors["atac"]
        features = module.normalize(modality, counts)
        encoded, masked = module.encoder(modality).masked(features, module.config.mask_fraction)
        return {
            "masked": masked,
            f"{modality}_reconstruction": reconstruction(module, modality, encoded.cell, tensors),
        }

    return objective


def negatives(labels: Tensor | None, n: int, n_wanted: int, device: torch.device) -> Tensor:
    """Return ``(2, k)`` indices of cells whose embeddings form false pairs.

    A pair is the cell and its successor on a random circle; with `labels` only pairs of
    different labels are kept, so `k` can be less than `n_wanted`.
    """
    order = torch.randperm(n, device=device)
    pairs = torch.stack([order, order.roll(1)])  # (2, n), never a cell with itself if n > 1
    if labels is not None:
        pairs = pairs[:, labels[pairs[0]] != labels[pairs[1]]]
    return pairs[:, :n_wanted] if n > 1 else pairs[:, :0]


def pair_matching(
    module: SCMOMERModule, z_rna: Tensor, z_atac: Tensor, z: Tensor, labels: Tensor | None
) -> Tensor:
    """Cross-entropy of telling real pairs from pairs of permuted embeddings."""
    n = z.shape[0]
    pairs = negatives(labels, n, int(n * module.config.negative_fraction), z.device)
    false = module.fusion(z_rna[pairs[0]], z_atac[pairs[1]])  # (k, n_latent)
    logits = module.discriminator(torch.cat([z, false]))
    target = torch.cat([logits.new_zeros(n), logits.new_ones(false.shape[0])]).long()
    return module.config.discriminator_weight * F.cross_entropy(logits, target)


def fusion(module: SCMOMERModule, tensors: CellBatch) -> Terms:
    """Stage 2: rebuild both modalities from the fused embedding, and match pairs."""
    drop = module.config.input_dropout if module.training else 0.0
    z_rna = module.encode("rna", drop_entries(tensors["rna"], drop)).cell
    z_atac = module.encode("atac", drop_entries(tensors["atac"], drop)).cell
    z = module.fusion(z_rna, z_atac)
    terms = {f"{m}_reconstruction": reconstruction(module, m, z, tensors) for m in ("rna", "atac")}
    if module.config.discriminator_weight:
        labels = tensors.get("labels")
        terms["pair_matching"] = pair_matching(module, z_rna, z_atac, z, labels)
    return terms


def bridge(module: SCMOMERModule, tensors: CellBatch) -> Terms:
    """Stage 3: stand in for the missing modality, with encoders frozen and cached.

    Each bridge imitates the teacher's embedding and, through fusion and decoder, the profile
    of the missing modality; the depth head learns to predict ATAC depth from RNA.
    """
    rna, atac, c = tensors["rna"], tensors["atac"], module.config
    z_rna, z_atac = tensors["z_rna"], tensors["z_atac"]
    from_rna = module.bridge("rna", z_rna, rna)
    from_atac = module.bridge("atac", z_atac, atac)
    fused_rna = module.fusion(z_rna, from_rna)
    fused_atac = module.fusion(from_atac, z_atac)
    distance = F.mse_loss(from_rna, z_atac) + F.mse_loss(from_atac, z_rna)
    terms = {
        "distillation": c.distill_weight * distance,
        "atac_from_rna": reconstruction(module, "atac", fused_rna, tensors),
        "rna_from_atac": reconstruction(module, "rna", fused_atac, tensors),
    }
    depth = module.depth(atac)
    predicted = module.predict_depth(fused_rna.detach(), rna)
    terms["depth"] = 0.01 * F.mse_loss(predicted, depth)  # reaches the depth head only
    return terms


OBJECTIVES: dict[str, Callable[[SCMOMERModule, CellBatch], Terms]] = {
    "rna": unimodal("rna"),
    "atac": unimodal("atac"),
    "fusion": fusion,
    "bridge": bridge,
}
