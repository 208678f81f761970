"""Embedding and translating cells with a trained network, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from scvi import settings
from torch import Tensor

from scmomer._checks import whole_number
from scmomer._constants import ATAC, RNA
from scmomer.data import Cells, cell_loader
from scmomer.inference._translation import head_embeddings, opinions
from scmomer.module import KINDS, SCMOMERModule
from scmomer.nn import CellBatch, SparseRows

Depth = Literal["predicted", "mean"] | float
_TOKENS_AT_ONCE = 2**19  # 400 MB for each copy of the residual stream at the published width


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the same cells, each of shape ``(n_cells, n_latent)``, float32."""

    z: np.ndarray
    """Fused."""
    single: dict[str, np.ndarray]
    """Of each modality: measured, or predicted from others; not a number where neither can be."""
    depth: dict[str, np.ndarray] = field(default_factory=dict)
    """Predicted depth of each modality that has one, standardised log, ``(n_cells,)``; zero for
    cells without RNA."""
    heads: dict[str, np.ndarray] = field(default_factory=dict)
    """Embeddings of the translation heads of each modality, ``(n_cells, n_heads, n_latent)``; not a
    number for cells that lack it. Empty unless asked for."""


def to_device(rows: SparseRows, device: torch.device) -> SparseRows:
    """Move a minibatch; sparse all the way."""
    return SparseRows(*(part.to(device) for part in rows))


def cells_by_pattern(
    cells: Cells, indices: np.ndarray
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield the cells that have the same modalities, and which these are.

    A cell without any modality goes with those of the first one, as an empty cell.
    """
    names = list(cells.measured)
    has = np.stack([cells.measured[m][indices] for m in names], 1)  # (n, n_modalities)
    has[~has.any(1), 0] = True
    for pattern in np.unique(has, axis=0):
        members = np.flatnonzero((has == pattern).all(1))
        yield tuple(np.array(names)[pattern]), members


class Inference:
    """Runs a network over cells without gradients; results keep the order of the cells.

    Parameters
    ----------
    module
        Trained network.
    cells
        What to embed.
    indices
        Cells to use; None for all.
    batch_size
        Cells at a time; None for :attr:`scvi.settings.batch_size`. Changes speed and memory, not
        results.
    """

    def __init__(
        self,
        module: SCMOMERModule,
        cells: Cells,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ):
        self.module, self.cells = module.eval(), cells
        self.indices = check_indices(indices, cells.n_cells)
        wanted = settings.batch_size if batch_size is None else batch_size
        self.batch_size = whole_number("batch_size", wanted)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.module.device

    def _batches(
        self, indices: np.ndarray, modalities: tuple[str, ...]
    ) -> Iterable[tuple[np.ndarray, CellBatch]]:
        """Yield positions in `indices` and the minibatch of these cells."""
        return cell_loader(
            self.cells,
            indices,
            modalities=modalities,
            batch_size=self._cells_at_a_time(indices, modalities),
            with_position=True,
        )

    def _cells_at_a_time(self, indices: np.ndarray, modalities: tuple[str, ...]) -> int:
        """Return the batch size, made smaller where cells have so many tokens that memory counts."""
        rna = self.module.config.rna
        if RNA not in modalities or rna.encoder != "performer" or not len(indices):
            return self.batch_size
        if rna.tokens == "all":
            longest = self.cells.counts[RNA].shape[1]
        else:
            longest = max(1, int(self.cells.lengths(RNA)[indices].max()))
        return min(self.batch_size, max(1, _TOKENS_AT_ONCE // longest))

    @torch.no_grad()
    def embed(self, use: tuple[str, ...] | None = None, to: str | None = None) -> Embeddings:
        """Return the embeddings of all cells (see :class:`Embeddings`).

        With `use`, other modalities are ignored in cells that have one of these. With `to`, also
        those of the heads that translate into it.
        """
        n, width = len(self.indices), self.module.config.n_latent
        z = np.zeros((n, width), np.float32)
        single = {m: np.full((n, width), np.nan, np.float32) for m in self.module.modalities}
        deep = self.module.depth_heads if self.module.paired else ()
        depth = {m: np.zeros(n, np.float32) for m in deep}
        heads = {
            m: np.full((n, k, width), np.nan, np.float32)
            for m in self.module.encoders
            if to is not None and m != to and self.module.knows(m, to)
            for k in [len(self.module.heads_from(m))]
            if k
        }
        into: dict[str, np.ndarray] = {"z": z, **{f"z_{m}": values for m, values in single.items()}}
        into |= {f"depth_{m}": values for m, values in depth.items()}
        into |= {f"heads_{m}": values for m, values in heads.items()}
        for available, members in cells_by_pattern(self.cells, self.indices):
            chosen = tuple(m for m in available if use is None or m in use) or available
            for position, tensors in self._batches(self.indices[members], chosen):
                for key, value in self._embed_batch(tensors, chosen, tuple(heads)).items():
                    into[key][members[position]] = value.float().cpu().numpy()
        return Embeddings(z, single, depth, heads)

    @torch.no_grad()
    def encode(self, modality: str) -> np.ndarray:
        """Return what the encoder of one modality gives, ``(n, n_latent)``."""
        out = np.zeros((len(self.indices), self.module.config.n_latent), np.float32)
        for position, tensors in self._batches(self.indices, (modality,)):
            counts = self._counts(tensors, (modality,))[modality]
            encoded = self.module.encode(modality, counts)
            out[position] = encoded.cell.float().cpu().numpy()
        return out

    def _counts(self, tensors: CellBatch, modalities: tuple[str, ...]) -> dict[str, SparseRows]:
        """Return the counts of a minibatch on the device."""
        return {m: to_device(tensors[m], self.device) for m in modalities}  # type: ignore[literal-required]

    def _embed_batch(
        self, tensors: CellBatch, chosen: tuple[str, ...], heads_of: tuple[str, ...]
    ) -> dict[str, Tensor]:
        module, counts = self.module, self._counts(tensors, chosen)
        cached = (f"z_{m}" for m in chosen)  # by stage 3, which leaves encoders as they are
        known = {k: tensors[k].to(self.device) for k in cached if k in tensors}  # type: ignore[literal-required]
        result = module.inference(**counts, **known)
        for m in (m for m in heads_of if m in counts):
            result[f"heads_{m}"] = head_embeddings(module, m, result[f"z_{m}"], counts[m])
        if RNA in counts and module.paired:
            for m in module.depth_heads:
                result[f"depth_{m}"] = module.predict_depth(result["z"], counts[RNA], m)
        return result

    @torch.no_grad()
    def decode(
        self,
        to: str,
        embeddings: Embeddings,
        rows: slice,
        depth: np.ndarray | None,
        batch: int | None,
        columns: np.ndarray | None = None,
        spread: bool = False,
        at_own_depth: bool = True,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode some cells to expression or probabilities, ``(n, n_columns)`` float32.

        Opinions of decoder and heads are averaged as logits, logs or expression. With `spread`,
        return also the standard deviation of the single opinions around the result. Without
        `at_own_depth`, heads that see no depth are left out.
        """
        z = torch.from_numpy(embeddings.z[rows]).to(self.device)
        heads = embeddings.heads.items()
        said = opinions(
            self.module,
            to,
            z,
            {m: torch.from_numpy(own[rows]).to(self.device) for m, own in heads},
            None if batch is None else torch.full((len(z),), batch, device=self.device),
            None if depth is None else torch.from_numpy(depth[rows]).to(self.device),
            slice(None) if columns is None else torch.from_numpy(columns).to(self.device),
            at_own_depth,
        )
        finish = KINDS[to].finish
        every = list(said) if spread else None
        n, total = z.new_zeros(len(z), 1), torch.zeros((), device=self.device)
        for values in said if every is None else every:
            n = n + ~values[:, :1].isnan()  # cells whose head this is: not all have all
            total = total + values.nan_to_num()
        result = finish(total / n)
        if every is None:
            return result.float().cpu().numpy(), None
        apart = torch.stack([(finish(v) - result).square().nan_to_num() for v in every]).sum(0)
        deviation = (apart / (n - 1).clamp_min(1)).sqrt()
        return result.float().cpu().numpy(), deviation.float().cpu().numpy()

    def depths(self, embeddings: Embeddings, depth: Depth, to: str) -> np.ndarray | None:
        """Return the standardised log depth to speak at, ``(n,)``; None for the mean."""
        row = KINDS[to].depth_row
        if row is None:
            return None
        if isinstance(depth, str):
            predicted = embeddings.depth.get(to) if depth == "predicted" else None
            # In antibody counts depth is mostly the cell's size, which RNA knows well.
            share = self.module.config.depth_share if to == ATAC else 1.0
            return None if predicted is None else share * predicted
        mean, std = self.module.size_stats[row].tolist()
        return np.full(len(embeddings.z), (np.log1p(depth) - mean) / std, np.float32)


def check_indices(indices: Sequence[int] | np.ndarray | None, n_cells: int) -> np.ndarray:
    """Return valid cell indices as an array; a mask of all cells is one too."""
    if indices is None:
        return np.arange(n_cells)
    if isinstance(indices, slice):
        return np.arange(n_cells)[indices]
    array = np.asarray(indices)
    if array.ndim == 0:
        msg = (
            f"Expected a list, an array or a mask as indices, found {type(indices).__name__}. Write "
            "[3] for one cell, list(indices) for what is counted up."
        )
        raise TypeError(msg)
    if array.dtype == bool:
        if array.shape != (n_cells,):
            msg = f"Expected a mask of {n_cells} cells, found shape {array.shape}."
            raise ValueError(msg)
        return np.flatnonzero(array)
    if len(array) and array.dtype.kind not in "iu":
        msg = (
            f"Expected whole numbers or a mask as indices, found dtype {array.dtype}. "
            "Names of cells become indices by adata.obs_names.get_indexer(names)."
        )
        raise TypeError(msg)
    array = array.astype(np.int64).ravel()
    if len(array) and (array.min() < -n_cells or array.max() >= n_cells):
        msg = f"Expected indices of {n_cells} cells, found {array.min()}..{array.max()}."
        raise IndexError(msg)
    return array % n_cells if n_cells else array
