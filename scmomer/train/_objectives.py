"""What each training stage minimizes: named terms, already weighted, that sum to the loss.

Reconstruction terms are divided by the loss of the train mean: 1.0 is "no better than the mean".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scmomer._constants import RNA
from scmomer.module import average_predictions
from scmomer.nn import linear_multinomial, to_dense

if TYPE_CHECKING:
    from scmomer.module import Bridge, SCMOMERModule
    from scmomer.nn import CellBatch

Terms = dict[str, Tensor]
_MASK_FRACTION = 0.15  # of expressed genes, peaks or proteins, hidden in stage 1
_NEGATIVE_FRACTION = 0.5  # permuted pairs for each real pair in a batch


def unimodal(module: SCMOMERModule, modality: str, cells: CellBatch) -> Terms:
    """Stage 1: predict hidden tokens, and the whole profile from the cell embedding.

    The second term is not in the paper. It trains the pooler, which the published stage 1 leaves
    at its random initialization.
    """
    kind, counts = module.modality(modality), cells.counts[modality]
    encoded, masked = kind.encoder.masked(kind.normalize(counts), _MASK_FRACTION)
    return {
        "masked": masked,
        f"{modality}_reconstruction": kind.relative_error(encoded.cell, counts, cells.batch),
    }


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


def fusion(module: SCMOMERModule, cells: CellBatch) -> Terms:
    """Stage 2: rebuild what was measured from the fused embedding, and match pairs."""
    drop = module.config.input_dropout if module.training else 0.0
    embedded = {}
    for m, counts in cells.counts.items():
        kind = module.modality(m)
        embedded[m] = kind.encoder(kind.normalize(kind.mask_inputs(counts, drop))).cell
    z = module.fuse(embedded)
    terms = {
        f"{m}_reconstruction": module.modality(m).relative_error(z, counts, cells.batch)
        for m, counts in cells.counts.items()
    }
    if module.config.discriminator_weight:
        terms["pair_matching"] = pair_matching(module, embedded, z, cells.labels)
    return terms


class _Targets(NamedTuple):
    """What all decoders of a minibatch are compared with, computed once."""

    cells: CellBatch
    profiles: dict[str, Any]
    """Of :meth:`ModalityModule.loss_target`, by modality."""
    rna_counts: Tensor | None = None
    """Raw counts of RNA, ``(n, n_genes)``, if they are rebuilt."""


def bridge(module: SCMOMERModule, cells: CellBatch) -> Terms:
    """Stage 3: stand in for missing modalities, with encoders frozen and cached.

    Each bridge imitates the teacher's embeddings and, through fusion and decoders, the profiles of
    the other modalities; each head the profiles alone, through its own decoders. Those from RNA
    also rebuild expression, which is not in the paper: expression describes a cell's type better
    than sparse peaks do, and keeps the hidden layer from fitting their noise. That needs no other
    modality, so cells with RNA alone take part in it.
    """
    c, encoded = module.config, cells.encoded
    features = {m: module.modality(m).normalize(rows) for m, rows in cells.counts.items()}
    # The encoders have seen these very cells: their outputs fit them better than they will others.
    shown = {
        m: F.dropout(encoded[m], c.bridge.embedding_dropout, module.training) for m in features
    }
    bridged = {m: module.bridge(m, z, features[m]) for m, z in shown.items()}
    pairs = [(m, to) for m in bridged for to in encoded if to != m and to in bridged[m]]
    targets = _targets(module, cells)
    terms = {}
    if pairs:
        distances = [F.mse_loss(bridged[m][to], encoded[to]) for m, to in pairs]
        terms["distillation"] = c.distill_weight * torch.stack(distances).sum()
    for source, z in shown.items():
        others = [to for m, to in pairs if m == source]
        for k, one in enumerate(module.bridges_from(source)):
            own = one(z, features[source]) if k else module.fuse(bridged[source])
            found = _rebuild(module, one, source, others, own, targets)
            number = f"_{k}" if k else ""
            terms |= {f"{name}_from_{source}{number}": value for name, value in found.items()}
    if len(bridged) > 2:  # what a query of two modalities will ask for
        terms |= _from_others(module, bridged, targets)
    return terms


def _targets(module: SCMOMERModule, cells: CellBatch) -> _Targets:
    profiles = {m: module.modality(m).loss_target(rows) for m, rows in cells.counts.items()}
    if RNA not in cells.counts or not module.config.bridge.count_loss:
        return _Targets(cells, profiles)
    return _Targets(cells, profiles, to_dense(cells.counts[RNA], module.rna.n_features))


def _from_others(
    module: SCMOMERModule, bridged: dict[str, dict[str, Tensor]], targets: _Targets
) -> Terms:
    """Decode each modality from all others together, as inference fuses them."""
    terms = {}
    for to in bridged:
        others = {m: parts for m, parts in bridged.items() if m != to}
        predicted = average_predictions(others, [to])
        if predicted:
            z = module.fuse({**{m: parts[m] for m, parts in others.items()}, **predicted})
            terms[f"{to}_from_others"] = _error(module, to, z, targets)
    return terms


def _error(
    module: SCMOMERModule, modality: str, z: Tensor, targets: _Targets, head: Bridge | None = None
) -> Tensor:
    """Return the relative error of one measured modality, by the decoder of a head if given."""
    own = head is not None and modality in head.decoders
    decoder = head.decoder(modality) if head is not None and own else None
    counts, target = targets.cells.counts[modality], targets.profiles[modality]
    kind = module.modality(modality)
    return kind.relative_error(z, counts, targets.cells.batch, decoder, target)


def _rebuild(
    module: SCMOMERModule,
    one: Bridge,
    source: str,
    others: Sequence[str],
    z: Tensor,
    targets: _Targets,
) -> Terms:
    """Decode other modalities from an embedding made of one; and RNA, if that was RNA."""
    weights = module.config.bridge
    terms = {to: _error(module, to, z, targets, one) for to in others}
    if source != RNA:
        return terms
    if weights.self_reconstruction:
        terms[RNA] = weights.self_reconstruction * _error(module, RNA, z, targets, one)
    if one.count_decoder is not None and targets.rna_counts is not None:
        design = one.count_decoder.design_matrix(z, None, None)
        loss = linear_multinomial(design, one.count_decoder.weights(), targets.rna_counts)
        terms["counts"] = weights.count_loss * loss / module.rna.count_baseline
    return terms


def stage_loss(module: SCMOMERModule, stage: str, cells: CellBatch) -> tuple[Tensor, Terms]:
    """Return the loss of a training stage, and its terms."""
    if stage == "fusion":
        terms = fusion(module, cells)
    elif stage == "bridge":
        terms = bridge(module, cells)
    else:
        terms = unimodal(module, stage, cells)
    # No terms: a pair of modalities that only validation cells have.
    every = list(terms.values()) or [torch.zeros((), device=module.device)]
    return torch.stack(every).sum(), {name: value.detach() for name, value in terms.items()}
