"""A trained network as a function of cells in which a gene is silent or highly expressed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from scmomer._constants import RNA
from scmomer.module import Packing, PerformerEncoder, RNAModality, SCMOMERModule
from scmomer.nn import SparseRows, keep_entries

Mode = Literal["zero", "top_bin"]
N_TOP_BINS = 5  # the top bin is the highest fifth, where an encoder has no bins


class KnockoutNetwork:
    """Latents of RNA before and after one gene of each cell is set.

    Only the gene itself is set: the bins of other genes and the total to which counts were
    normalized stay those of the cell, so that a knockout is no change of composition.

    Parameters
    ----------
    module
        Trained network with RNA.
    """

    def __init__(self, module: SCMOMERModule):
        self.module = module.eval()
        self.rna: RNAModality = module.rna
        encoder = self.rna.encoder
        self.performer = encoder if isinstance(encoder, PerformerEncoder) else None
        self.heads = module.heads_from(RNA)

    @property
    def width(self) -> int:
        """Length of a row of latents: the fused embedding and that of each head."""
        return (1 + len(self.heads)) * self.module.config.n_latent

    @property
    def n_bins(self) -> int:
        """Bins of expressed genes; the highest is the top bin."""
        return N_TOP_BINS if self.performer is None else self.performer.config.n_bins

    @torch.no_grad()
    def base(self, features: SparseRows) -> Tensor:
        """Return latents of cells as they are, ``(n, width)``; `features` are log expression."""
        return self._latents(self.rna.encoder(features).cell, features)

    @torch.no_grad()
    def knocked(self, features: SparseRows, gene: Tensor, value: Tensor | None = None) -> Tensor:
        """Return latents of cells in which one gene is set, ``(n, width)``.

        Parameters
        ----------
        features
            Log expression of the cells.
        gene
            The gene of each cell, ``(n,)`` int64.
        value
            Its log expression, ``(n,)``; None: it is not expressed.
        """
        changed = set_gene(features, gene, value)
        if self.performer is None:
            return self._latents(self.rna.encoder(changed).cell, changed)
        return self._latents(self._performer(features, gene, value), changed)

    def _performer(self, features: SparseRows, gene: Tensor, value: Tensor | None) -> Tensor:
        """Compute the Performer with the token of one gene of each cell replaced."""
        encoder = self.performer
        assert encoder is not None
        tokens = encoder.tokenize(features)
        here = (tokens.genes == gene[:, None]) & tokens.valid  # (n, length)
        values = tokens.values.masked_fill(here, 0.0)
        if encoder.config.tokens == "all":
            # Every gene has a token, and bin 0 is "not expressed".
            bins = tokens.bins.masked_fill(here, 0 if value is None else self.n_bins)
            values = values if value is None else torch.where(here, value[:, None], values)
            tokens = tokens._replace(bins=bins, values=values)
        elif value is None:
            tokens = tokens._replace(values=values, valid=tokens.valid & ~here)
        else:
            # The new token comes first; the runs of cells of similar length are one longer.
            first = torch.ones_like(gene)[:, None]
            tokens = tokens._replace(
                genes=torch.cat([gene[:, None], tokens.genes], 1),
                bins=torch.cat([self.n_bins * first, tokens.bins], 1),
                values=torch.cat([value[:, None], values], 1),
                valid=torch.cat([first.bool(), tokens.valid & ~here], 1),
                groups=tuple((start, stop, length + 1) for start, stop, length in tokens.groups),
            )
        if encoder.config.tokens != "all":
            tokens = tokens._replace(packing=_packing(tokens.valid))
        return encoder.norm(encoder.pool(encoder.model(tokens), tokens))

    def _latents(self, cell: Tensor, features: SparseRows) -> Tensor:
        if not self.module.fused:
            return cell
        z = self.module.fuse(self.module.bridge(RNA, cell, features))
        return torch.cat([z, *(head(cell, features) for head in self.heads)], -1)


def _packing(valid: Tensor) -> Packing:
    """Return where tokens lie that have gaps between them, for kernels that read no padding."""
    ends = valid.sum(1).cumsum(0)  # (n,)
    starts = torch.cat([ends.new_zeros(1), ends])
    return Packing(starts, valid.flatten().nonzero()[:, 0])


def set_gene(features: SparseRows, gene: Tensor, value: Tensor | None = None) -> SparseRows:
    """Return rows in which one gene of each is `value`, or not there; see `knocked`."""
    kept = keep_entries(features, features.indices != gene[features.row_ids])
    if value is None:
        return kept
    n = kept.n_rows
    ends = kept.indptr + torch.arange(n + 1, device=gene.device)
    place = ends[1:] - 1  # the new entry is the last of its row
    is_new = torch.zeros(int(ends[-1]), dtype=torch.bool, device=gene.device)
    is_new[place] = True
    indices = kept.indices.new_empty(len(is_new))
    values = kept.values.new_empty(len(is_new))
    indices[is_new], indices[~is_new] = gene, kept.indices
    values[is_new], values[~is_new] = value.to(values.dtype), kept.values
    return SparseRows(ends, indices, values)
