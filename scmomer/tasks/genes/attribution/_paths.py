"""A trained network as a function of continuous inputs, along straight paths to a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scmomer.module import PerformerEncoder, SCMOMERModule, ViTEncoder
from scmomer.nn import SparseRows, to_dense

_POWER = 3  # of the place on a path


@dataclass(frozen=True)
class Reference:
    """An average cell, where paths begin that do not begin at zero."""

    features: Tensor
    """Mean normalized value of each feature, ``(n_features,)``."""
    bins: Tensor | None
    """Share of each token of each gene, ``(n_genes, n_bins + 2)``; None without tokens."""


@dataclass(frozen=True)
class Ends:
    """Both ends of the paths of some cells."""

    features: Tensor
    """Feature of each column of a cell, ``(n, length)``; 0 at padding."""
    valid: Tensor
    """False at padding, ``(n, length)``."""
    values: Tensor
    """Normalized values of the cells, ``(n, length)``."""
    baseline: Tensor
    """Those at the start, ``(n, length)``."""
    lengths: Tensor
    """Stored features of the cells, ``(n,)``."""
    tokens: Any = None
    """Tokens of genes, with ``(n, n_tokens)`` genes; None without."""
    embedded: Tensor | None = None
    """Their expression embeddings, ``(n, n_tokens, dim)``; None if they do not move."""
    embedded_baseline: Tensor | None = None
    """Those at the start, ``(n, n_tokens, dim)``."""
    hidden: Tensor | None = None
    """Contextual gene embeddings if they do not move, ``(n, n_tokens, dim)``."""

    @property
    def rows(self) -> Tensor:
        """Numbers of the cells, ``(n,)``."""
        return torch.arange(len(self.values), device=self.values.device)


class PathNetwork:
    """Embeddings of cells as a function of the values of one modality.

    A Performer reads expression twice: as continuous values, and as bins, in which it jumps. Bins
    are therefore embedded first, and paths lead through their embeddings.

    Parameters
    ----------
    module
        Trained network, in evaluation mode.
    source
        The modality that is read.
    move_tokens
        Move the embeddings of expression bins along the path too. Otherwise they stay those of the
        cell, so that the Performer runs once for a cell.
    reference
        Start of the paths; None for zero.
    """

    def __init__(
        self,
        module: SCMOMERModule,
        source: str,
        move_tokens: bool = True,
        reference: Reference | None = None,
    ):
        self.module, self.source, self.reference = module, source, reference
        self.kind = module.modality(source)
        encoder = self.kind.encoder
        self.encoder: Any = encoder
        self.has_tokens = isinstance(encoder, PerformerEncoder)
        self.moves_tokens = self.has_tokens and move_tokens
        self.all_tokens = isinstance(encoder, PerformerEncoder) and encoder.config.tokens == "all"

    @property
    def is_dense(self) -> bool:
        """Whether paths have a column for every feature, not only for those of the cell."""
        return self.reference is not None or self.all_tokens or self.source == "protein"

    @property
    def needs_tokens(self) -> bool:
        """Whether the encoder reads expression through tokens alone."""
        return self.has_tokens and not getattr(self.encoder.pool, "value_skip", False)

    # -- ends

    def ends(self, counts: SparseRows) -> Ends:
        """Return both ends for the raw counts of a minibatch."""
        rows = self.kind.normalize(counts)
        if self.is_dense:
            values = to_dense(rows, self.kind.n_features)
            features = torch.arange(values.shape[1], device=values.device).expand_as(values)
            valid = torch.ones_like(features, dtype=torch.bool)
        else:
            features, values, valid = _padded(rows)
        start = torch.zeros_like(values)
        if self.reference is not None:
            start = self.reference.features.expand_as(values)
        found = Ends(features, valid, values, start, counts.lengths)
        return self._with_tokens(found, rows) if self.has_tokens else found

    def _with_tokens(self, ends: Ends, rows: SparseRows) -> Ends:
        model, tokens = self.encoder.model, self.encoder.tokenize(rows)
        table = model.token_emb.weight.detach()  # (n_bins + 2, dim)
        parts = {**vars(ends), "tokens": tokens}
        if not self.moves_tokens:
            with torch.no_grad():
                return Ends(**{**parts, "hidden": model(tokens)})
        parts["embedded"] = table[tokens.bins]
        bins = None if self.reference is None else self.reference.bins
        if bins is None:
            start = table[self.absent_bin].expand_as(parts["embedded"])
        else:
            start = bins[tokens.genes] @ table
        return Ends(**{**parts, "embedded_baseline": start})

    @property
    def absent_bin(self) -> int:
        """Bin of a gene that is not expressed: 0 where training showed it, else "hidden"."""
        return 0 if self.all_tokens else int(self.encoder.model.mask_bin)

    # -- the network

    def at(
        self, ends: Ends, places: Sequence[Tensor], rows: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return values and token embeddings at places of the paths of some cells.

        Places are from 0 to 1, for each value ``(m, length)`` and, if they move, for each token
        ``(m, n_tokens)``. Steps along a path are short near its start: layer norms without a bias
        turn as soon as an input is not zero.
        """
        share = places[0] ** _POWER
        values = ends.baseline[rows] + share * (ends.values - ends.baseline)[rows]
        if ends.embedded is None:
            return values, None
        start = torch.as_tensor(ends.embedded_baseline)
        share = places[1][..., None] ** _POWER
        return values, start[rows] + share * (ends.embedded - start)[rows]

    def latents(
        self,
        ends: Ends,
        values: Tensor,
        embedded: Tensor | None,
        rows: Tensor,
        heads: Sequence[int] = (0,),
    ) -> list[Tensor]:
        """Return what decoders read, ``(m, n_latent)`` each, at points of the paths.

        Parameters
        ----------
        ends
            Of all cells.
        values, embedded
            Values ``(m, length)`` and token embeddings ``(m, n_tokens, dim)`` of the points.
        rows
            Cell of each point, ``(m,)``.
        heads
            0 for the fused embedding, else the number of a head, from 1.
        """
        module, features = self.module, self._features(ends, values, rows)
        every = [None, *module.heads_from(self.source)]
        chosen = [every[head] for head in heads]
        cell = values.new_zeros(len(rows), 1)  # not read by heads that read features alone
        if any(head is None or head.embedding is not None for head in chosen):
            cell = self._encode(ends, values, embedded, rows, features)
        found = []
        for head in chosen:
            if head is not None:
                found.append(head(cell, features))
            elif module.fused:
                found.append(module.fuse(module.bridge(self.source, cell, features)))
            else:
                found.append(cell)
        return found

    def _features(self, ends: Ends, values: Tensor, rows: Tensor) -> SparseRows:
        valid = ends.valid[rows]
        starts = F.pad(valid.sum(1).cumsum(0), (1, 0))
        return SparseRows(starts, ends.features[rows][valid], values[valid])

    def _encode(
        self,
        ends: Ends,
        values: Tensor,
        embedded: Tensor | None,
        rows: Tensor,
        features: SparseRows,
    ) -> Tensor:
        if self.has_tokens:
            return self._performer(ends, values, embedded, rows)
        if isinstance(self.encoder, ViTEncoder):
            return self._vit(features, ends.lengths[rows])
        return self.encoder(features).cell

    def _performer(
        self, ends: Ends, values: Tensor, embedded: Tensor | None, rows: Tensor
    ) -> Tensor:
        """Compute :class:`PerformerEncoder` from embedded bins."""
        encoder, model, all_tokens = self.encoder, self.encoder.model, ends.tokens
        genes, valid = all_tokens.genes[rows], all_tokens.valid[rows]  # (m, n_tokens)
        if embedded is None:
            hidden = torch.as_tensor(ends.hidden)[rows]
        else:
            hidden = model.norm(model.blocks(embedded + model.pos_emb.emb(genes), valid))
        of_tokens = values.gather(1, genes) if self.is_dense else values
        tokens = all_tokens._replace(
            genes=genes, bins=all_tokens.bins[rows], values=of_tokens * valid, valid=valid
        )
        cell = encoder.pool(hidden, tokens)
        if self.is_dense and not self.all_tokens and getattr(encoder.pool, "value_skip", False):
            # An average cell also has values of genes of which the cell has no token.
            has_token = torch.zeros_like(values).scatter_add(1, genes, valid.to(values.dtype)) > 0
            cell = cell + values.masked_fill(has_token, 0.0) @ encoder.pool.projection
        return encoder.norm(cell)

    def _vit(self, features: SparseRows, n_open: Tensor) -> Tensor:
        """Compute :class:`ViTEncoder` from values between 0 and 1, at the depth of the cell."""
        encoder, patches = self.encoder, self.encoder.patch_embedding
        peaks, dim = features.indices, patches.weight.shape[1]
        flat = features.row_ids * patches.n_patches + patches.patch[peaks]
        parts = F.embedding(patches.slot[peaks], patches.weight) * features.values[:, None]
        out = parts.new_zeros(features.n_rows * patches.n_patches, dim).index_add(0, flat, parts)
        hidden = encoder.vit(out.view(features.n_rows, patches.n_patches, dim) + patches.bias)
        cell = encoder.projection(torch.tanh(encoder.pooler(hidden[:, 0])))
        if encoder.peak_skip is not None:
            share = 1.0 / (n_open + encoder.median_n_open).clamp_min(1)
            weight = features.values * share[features.row_ids]
            cell = cell + F.embedding_bag(
                *(peaks, encoder.peak_skip, features.indptr),
                mode="sum",
                per_sample_weights=weight,
                include_last_offset=True,
            )
        return encoder.norm(cell)

    def by_feature(self, ends: Ends, of_values: Tensor, of_tokens: Tensor | None) -> Tensor:
        """Add what tokens contribute to that of values, ``(n, length)`` as ``ends.features``."""
        if of_tokens is None:
            return of_values
        of_tokens = of_tokens * ends.tokens.valid  # (n, n_tokens)
        if not self.is_dense:
            return of_values + of_tokens
        return of_values.scatter_add(1, ends.tokens.genes, of_tokens)


def _padded(rows: SparseRows) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, values and what is no padding of sparse rows, ``(n, length)`` each."""
    n, length = rows.n_rows, max(1, int(rows.lengths.max())) if rows.n_rows else 1
    cells = rows.row_ids
    columns = torch.arange(len(cells), device=cells.device) - rows.indptr[cells]
    features, values = rows.indices.new_zeros(n, length), rows.values.new_zeros(n, length)
    features[cells, columns], values[cells, columns] = rows.indices, rows.values
    valid = torch.arange(length, device=cells.device) < rows.lengths[:, None]
    return features, values, valid
