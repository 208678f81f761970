"""What each training stage minimises: named terms, already weighted, that sum to the loss.

Reconstruction terms are divided by the loss of the train mean: 1.0 is "no better than the mean".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from scmomer.module._losses import linear_bce, multinomial, sparse_mse
from scmomer.module._rows import drop_entries

if TYPE_CHECKING:
    from scmomer.module._heads import Decoder
    from scmomer.module._module import CellBatch, SCMOMERModule

Terms = dict[str, Tensor]


def reconstruction(
    module: SCMOMERModule,
    modality: str,
    z: Tensor,
    tensors: CellBatch,
    decoder: Decoder | None = None,
) -> Tensor:
    """Error of decoding one measured modality from `z`, relative to the train mean.

    The decoder is the model's own if none is given.
    """
    counts = tensors["rna"] if modality == "rna" else tensors["atac"]
    target = module.normalize(modality, counts)
    decoder = module.decoder(modality) if decoder is None else decoder
    batch, config = tensors.get("batch"), module.config
    z = F.dropout(z, config.latent_dropout, module.training)
    if modality == "rna":
        if config.scale_genes:  # one count of a rare gene would outweigh a whole cell
            limit = config.clip_genes * module.gene_weight.rsqrt()  # (n_genes,)
            values = torch.minimum(target.values, limit[target.indices])
            target = target._replace(values=values)
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

    Each bridge imitates the teacher's embedding and, through fusion and decoders, the profile of
    the missing modality. The bridge from RNA also rebuilds expression, which is not in the paper:
    it says more of a cell's type than sparse peaks do, and keeps the hidden layer from fitting
    their noise. The depth head learns to predict ATAC depth from RNA.
    """
    c = module.config
    embedded = {"rna": tensors["z_rna"], "atac": tensors["z_atac"]}
    counts = {"rna": tensors["rna"], "atac": tensors["atac"]}
    # The encoders have seen these very cells: their outputs fit them better than they will others.
    shown = {m: F.dropout(z, c.embedding_dropout, module.training) for m, z in embedded.items()}
    own, other = {}, {}
    for m, z in shown.items():
        own[m], other[m] = module.bridge(m, z, counts[m])
    fused = {
        "rna": module.fusion(own["rna"], other["rna"]),
        "atac": module.fusion(other["atac"], own["atac"]),
    }
    distance = F.mse_loss(other["rna"], embedded["atac"]) + F.mse_loss(
        other["atac"], embedded["rna"]
    )
    terms = {"distillation": c.distill_weight * distance}
    for source, to in (("rna", "atac"), ("atac", "rna")):
        found = _rebuild(module, to, fused[source], tensors, module.decoder, module.rate_decoder)
        terms |= {f"{name}_from_{source}": value for name, value in found.items()}
        features = module.normalize(source, counts[source])
        for k, head in enumerate(module.heads_from(source)):
            found = _rebuild(
                module, to, head(shown[source], features), tensors, head.decoder, head.rates
            )
            terms |= {f"{name}_from_{source}_{k + 1}": value for name, value in found.items()}
    predicted = module.predict_depth(fused["rna"].detach(), tensors["rna"])
    # Reaches the depth head only.
    terms["depth"] = 0.01 * F.mse_loss(predicted, module.depth(tensors["atac"]))
    return terms


def _rebuild(
    module: SCMOMERModule,
    to: str,
    z: Tensor,
    tensors: CellBatch,
    decoder: Callable[[str], Decoder],
    rates: Decoder | None,
) -> Terms:
    """Decode modality `to` from an embedding made of the other one; and RNA, if that was RNA."""
    c, terms = module.config, {to: reconstruction(module, to, z, tensors, decoder(to))}
    if to == "rna":
        return terms
    if c.bridge_rebuild:
        again = reconstruction(module, "rna", z, tensors, decoder("rna"))
        terms["rna"] = c.bridge_rebuild * again
    if c.bridge_rates and rates is not None:
        loss = multinomial(rates(z), tensors["rna"]) / module.count_baseline
        terms["counts"] = c.bridge_rates * loss
    return terms


OBJECTIVES: dict[str, Callable[[SCMOMERModule, CellBatch], Terms]] = {
    "rna": unimodal("rna"),
    "atac": unimodal("atac"),
    "fusion": fusion,
    "bridge": bridge,
}
