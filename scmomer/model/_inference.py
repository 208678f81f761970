"""Embedding and translating cells with a trained network, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scvi import settings
from torch import Tensor

from scmomer._constants import ATAC, RNA
from scmomer.module import CellBatch, SCMOMERModule, SparseRows
from scmomer.module._translation import head_embeddings, opinions
from scmomer.train import Cells, cell_loader

Depth = Literal["predicted", "mean"] | float
_TOKENS_AT_ONCE = 2**19  # 400 MB for each copy of the residual stream at the published width


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the same cells, each of shape ``(n_cells, n_latent)``, float32."""

    z: np.ndarray
    """Fused."""
    rna: np.ndarray | None
    """RNA: measured, or predicted from ATAC."""
    atac: np.ndarray | None
    """ATAC: measured, or predicted from RNA."""
    depth: np.ndarray | None
    """Predicted ATAC depth, standardised log, ``(n_cells,)``; zero for cells without RNA."""
    heads: np.ndarray | None = None
    """Embeddings of the translation heads, ``(n_cells, n_heads, n_latent)``; not a number for
    cells that lack what they read. None unless asked for."""


def to_device(rows: SparseRows, device: torch.device) -> SparseRows:
    """Move a minibatch; sparse all the way."""
    return SparseRows(*(part.to(device) for part in rows))


def _groups(cells: Cells, indices: np.ndarray) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
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
        self.batch_size = settings.batch_size if batch_size is None else int(batch_size)
        if self.batch_size < 1:
            msg = f"Expected batch_size of at least 1, found {batch_size}."
            raise ValueError(msg)

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
        shape: dict[str, tuple[int, ...]] = {"depth": (n,)}
        out: dict[str, np.ndarray] = {}
        source = next((m for m in self.module.encoders if m != to), None) if to else None
        n_heads = len(self.module.heads_from(source)) if source is not None else 0
        heads_of = source if n_heads else None
        if n_heads:
            out["heads"] = np.full((n, n_heads, width), np.nan, np.float32)
        for available, members in _groups(self.cells, self.indices):
            chosen = tuple(m for m in available if use is None or m in use) or available
            for position, tensors in self._batches(self.indices[members], chosen):
                for key, value in self._embed_batch(tensors, chosen, heads_of).items():
                    full = shape.get(key, (n, width))
                    into = out.setdefault(key, np.zeros(full, np.float32))
                    into[members[position]] = value.float().cpu().numpy()
        none = np.zeros((0, width), np.float32)  # of no cells
        absent = {m: none if m in self.module.encoders else None for m in (RNA, ATAC)}
        rna, atac = (out.get(f"z_{m}", value) for m, value in absent.items())
        return Embeddings(out.get("z", none), rna, atac, out.get("depth"), out.get("heads"))

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
        self, tensors: CellBatch, chosen: tuple[str, ...], heads_of: str | None
    ) -> dict[str, Tensor]:
        counts = self._counts(tensors, chosen)
        result = self.module.inference(**counts)
        if heads_of in counts:
            cell = result[f"z_{heads_of}"]
            result["heads"] = head_embeddings(self.module, heads_of, cell, counts[heads_of])
        if RNA in counts and self.module.paired:
            result["depth"] = self.module.predict_depth(result["z"], counts[RNA])
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
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode some cells to expression or probabilities, ``(n, n_columns)`` float32.

        Opinions of decoder and heads are averaged as logits or expression. With `spread`, return
        also the standard deviation of the single opinions around the result.
        """
        z = torch.from_numpy(embeddings.z[rows]).to(self.device)
        heads = None if embeddings.heads is None else torch.from_numpy(embeddings.heads[rows])
        said = opinions(
            self.module,
            to,
            z,
            None if heads is None else heads.to(self.device),
            None if batch is None else torch.full((len(z),), batch, device=self.device),
            None if depth is None else torch.from_numpy(depth[rows]).to(self.device),
            slice(None) if columns is None else torch.from_numpy(columns).to(self.device),
        )
        every = list(said) if spread else None
        n, total = 0, torch.zeros((), device=self.device)
        for values in said if every is None else every:
            n, total = n + 1, total + values
        result = _finish(to, total / n)
        if every is None:
            return result.float().cpu().numpy(), None
        apart = torch.stack([(_finish(to, values) - result).square() for values in every])
        return (
            result.float().cpu().numpy(),
            apart.sum(0).div(max(1, n - 1)).sqrt().float().cpu().numpy(),
        )

    def depths(self, embeddings: Embeddings, depth: Depth) -> np.ndarray | None:
        """Return the standardised log ATAC depth to speak at, ``(n,)``; None for the mean."""
        if isinstance(depth, str):
            share = self.module.config.depth_share
            predicted = depth == "predicted" and embeddings.depth is not None
            return share * embeddings.depth if predicted else None  # type: ignore[operator]
        mean, std = self.module.size_stats[0].tolist()
        return np.full(len(embeddings.z), (np.log1p(depth) - mean) / std, np.float32)


def _finish(to: str, values: Tensor) -> Tensor:
    """Turn logits into probabilities; expression is not below zero."""
    return values.sigmoid() if to == ATAC else values.clamp_min(0)


def check_indices(indices: Sequence[int] | np.ndarray | None, n_cells: int) -> np.ndarray:
    """Return valid cell indices as an array; a mask of all cells is one too."""
    if indices is None:
        return np.arange(n_cells)
    array = np.asarray(indices)
    if array.dtype == bool:
        if array.shape != (n_cells,):
            msg = f"Expected a mask of {n_cells} cells, found shape {array.shape}."
            raise ValueError(msg)
        return np.flatnonzero(array)
    if len(array) and array.dtype.kind not in "iu":
        msg = f"Expected whole numbers or a mask as indices, found dtype {array.dtype}."
        raise TypeError(msg)
    array = array.astype(np.int64).ravel()
    if len(array) and (array.min() < -n_cells or array.max() >= n_cells):
        msg = f"Expected indices of {n_cells} cells, found {array.min()}..{array.max()}."
        raise IndexError(msg)
    return array % n_cells if n_cells else array
