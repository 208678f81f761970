"""What each training stage minimises: named terms, already weighted, that sum to the loss.

Reconstruction terms are divided by the loss of the train mean: 1.0 is "no better than the mean".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from scmomer._constants import MODALITIES, RNA
from scmomer.module import KINDS
from scmomer.nn import multinomial

if TYPE_CHECKING:
    from scmomer.module import Decoder, SCMOMERModule
    from scmomer.nn import CellBatch, SparseRows

Terms = dict[str, Tensor]
_MASK_FRACTION = 0.15  # of expressed genes, peaks or proteins, hidden in stage 1
_NEGATIVE_FRACTION = 0.5  # permuted pairs for each real pair in a batch


def counts_of(tensors: CellBatch) -> dict[str, SparseRows]:
    """Return the counts of the modalities that a minibatch has."""
    return {m: tensors[m] for m in MODALITIES if m in tensors}  # type: ignore[literal-required]


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
    counts = counts_of(tensors)[modality]
    decoder = module.decoder(modality) if decoder is None else decoder
    error = KINDS[modality].error(module, decoder, z, counts, tensors.get("batch"))
    return error / module.baseline[MODALITIES.index(modality)]


def unimodal(modality: str) -> Callable[[SCMOMERModule, CellBatch], Terms]:
    """Stage 1: predict hidden tokens, and the whole profile from the cell embedding.

    The second term is not in the paper. It trains the pooler, which the published stage 1 leaves
    at its random initialisation.
    """

    def objective(module: SCMOMERModule, tensors: CellBatch) -> Terms:
        features = module.normalize(modality, counts_of(tensors)[modality])
        encoded, masked = module.encoder(modality).masked(features, _MASK_FRACTION)
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
    module: SCMOMERModule, embedded: dict[str, Tensor], z: Tensor, labels: Tensor | None
) -> Tensor:
    """Cross-entropy of telling real pairs from pairs of permuted embeddings.

    In a false pair the first modality is of one cell, all others of another.
    """
    n = z.shape[0]
    pairs = negatives(labels, n, int(n * _NEGATIVE_FRACTION), z.device)
    mixed = {m: part[pairs[int(place > 0)]] for place, (m, part) in enumerate(embedded.items())}
    false = module.fuse(mixed)  # (k, n_latent)
    logits = module.discriminator(torch.cat([z, false]))
    target = torch.cat([logits.new_zeros(n), logits.new_ones(false.shape[0])]).long()
    return module.config.discriminator_weight * F.cross_entropy(logits, target)


def fusion(module: SCMOMERModule, tensors: CellBatch) -> Terms:
    """Stage 2: rebuild what was measured from the fused embedding, and match pairs."""
    drop = module.config.input_dropout if module.training else 0.0
    embedded = {
        m: module.encode(m, KINDS[m].hide(counts, drop)).cell
        for m, counts in counts_of(tensors).items()
    }
    z = module.fuse(embedded)
    terms = {f"{m}_reconstruction": reconstruction(module, m, z, tensors) for m in embedded}
    if module.config.discriminator_weight:
        terms["pair_matching"] = pair_matching(module, embedded, z, tensors.get("labels"))
    return terms


def bridge(module: SCMOMERModule, tensors: CellBatch) -> Terms:
    """Stage 3: stand in for missing modalities, with encoders frozen and cached.

    Each bridge imitates the teacher's embeddings and, through fusion and decoders, the profiles of
    the other modalities. The bridge from RNA also rebuilds expression, which is not in the paper:
    it says more of a cell's type than sparse peaks do, and keeps the hidden layer from fitting
    their noise. That needs no other modality, so cells with RNA alone take part in it.
    """
    c, counts = module.config, counts_of(tensors)
    embedded: dict[str, Tensor] = {m: tensors[f"z_{m}"] for m in counts}  # type: ignore[literal-required]
    # The encoders have seen these very cells: their outputs fit them better than they will others.
    shown = {m: F.dropout(z, c.embedding_dropout, module.training) for m, z in embedded.items()}
    said = {m: module.bridge(m, z, counts[m]) for m, z in shown.items()}
    fused = {m: module.fuse(parts) for m, parts in said.items()}
    pairs = [(m, to) for m in said for to in embedded if to != m and to in said[m]]
    terms = {}
    if pairs:
        distances = [F.mse_loss(said[m][to], embedded[to]) for m, to in pairs]
        terms["distillation"] = c.distill_weight * torch.stack(distances).sum()
    for source, z in shown.items():
        others = [to for m, to in pairs if m == source]
        found = _rebuild(
            module, source, others, fused[source], tensors, module.decoder, module.rate_decoder
        )
        terms |= {f"{name}_from_{source}": value for name, value in found.items()}
        features = module.normalize(source, counts[source])
        for k, head in enumerate(module.heads_from(source)):
            own = head(z, features)
            found = _rebuild(module, source, others, own, tensors, head.decoder, head.rates)
            terms |= {f"{name}_from_{source}_{k + 1}": value for name, value in found.items()}
    if len(said) > 2:  # what a query of two modalities will ask for
        terms |= _from_others(module, said, tensors)
    return terms


def _from_others(
    module: SCMOMERModule, said: dict[str, dict[str, Tensor]], tensors: CellBatch
) -> Terms:
    """Decode each modality from all others together, as inference fuses them."""
    terms = {}
    for to in said:
        others = [m for m in said if m != to]
        expected = [said[m][to] for m in others if to in said[m]]
        if expected:
            parts = {**{m: said[m][m] for m in others}, to: torch.stack(expected).mean(0)}
            terms[f"{to}_from_others"] = reconstruction(module, to, module.fuse(parts), tensors)
    return terms


def _rebuild(
    module: SCMOMERModule,
    source: str,
    others: list[str],
    z: Tensor,
    tensors: CellBatch,
    decoder: Callable[[str], Decoder],
    rates: Decoder | None,
) -> Terms:
    """Decode other modalities from an embedding made of one; and RNA, if that was RNA."""
    c = module.config
    terms = {to: reconstruction(module, to, z, tensors, decoder(to)) for to in others}
    if source != RNA:
        return terms
    if c.bridge_rebuild:
        again = reconstruction(module, RNA, z, tensors, decoder(RNA))
        terms[RNA] = c.bridge_rebuild * again
    if c.bridge_rates and rates is not None:
        loss = multinomial(rates(z), tensors["rna"]) / module.count_baseline
        terms["counts"] = c.bridge_rates * loss
    return terms


def stage_loss(module: SCMOMERModule, stage: str, tensors: CellBatch) -> tuple[Tensor, Terms]:
    """Return the loss of a training stage, and its terms."""
    terms = OBJECTIVES[stage](module, tensors)
    # No terms: a pair of modalities that only validation cells have.
    every = list(terms.values()) or [torch.zeros((), device=module.device)]
    return torch.stack(every).sum(), {name: value.detach() for name, value in terms.items()}


OBJECTIVES: dict[str, Callable[[SCMOMERModule, CellBatch], Terms]] = {
    **{m: unimodal(m) for m in MODALITIES},
    "fusion": fusion,
    "bridge": bridge,
}
