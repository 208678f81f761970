"""Embedding and translating cells with a trained network, batch by batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from scvi import settings
from torch import Tensor

from scmomer._checks import whole_number
from scmomer._constants import RNA
from scmomer.data import Cells, cell_loader
from scmomer.module import SCMOMERModule
from scmomer.nn import CellBatch, SparseRows, free_memory, is_out_of_memory, release_memory

Depth = Literal["predicted", "mean"] | float
_TOKENS_AT_ONCE = 2**19  # 400 MB for each copy of the residual stream at the published width
# On a CUDA device, as far as memory allows; more would not be faster.
_CELLS_ON_GPU, _TOKENS_ON_GPU = 1024, 2**21
_SHARE = 0.8  # of the free memory


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the same cells, float32."""

    latent: np.ndarray
    """Fused, for users, ``(n_cells, n_latent)``."""
    z: np.ndarray
    """Fused, in the units that decoders read, ``(n_cells, n_latent)``."""
    single: dict[str, np.ndarray]
    """Of each modality, ``(n_cells, n_latent)``: measured, or predicted from others; NaN where
    neither is possible. `latent` in a network of one modality."""
    depth: dict[str, np.ndarray]
    """Predicted depth of each modality that has one, standardized log, ``(n_cells,)``; zero for
    cells without RNA."""
    heads: dict[str, np.ndarray]
    """Of the translation heads of each modality, ``(n_cells, n_heads, n_latent)``; NaN for cells
    that lack it. Empty unless asked for."""


def to_device(rows: SparseRows, device: torch.device) -> SparseRows:
    """Move a minibatch; sparse all the way."""
    return rows.to(device)


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
        Cells at a time; None for :attr:`scvi.settings.batch_size`, and for embedding on a CUDA
        device up to 1,024, as many as fit. Changes speed and memory, not results. If the memory of
        a GPU runs out, a warning says so and the number is halved.
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
        self._is_told = batch_size is not None
        self._most: int | None = None  # cells at a time that fit, once memory ran out

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.module.device

    def batches(
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
        """Return the batch size, smaller for cells with many tokens, to bound memory."""
        cells, tokens = self.batch_size, _TOKENS_AT_ONCE
        free = free_memory(self.device) if self.device.type == "cuda" else None
        if free is not None:
            tokens = _TOKENS_ON_GPU
            cells = cells if self._is_told else max(cells, _CELLS_ON_GPU)
        if self._most is not None:
            cells = min(cells, self._most)
        for m in modalities if len(indices) else ():
            encoder = self.module.modality(m).encoder
            n = encoder.n_tokens(self.cells.lengths(m)[indices])
            if n is None:
                continue
            longest = max(1, int(n.max()))
            cells = min(cells, tokens // longest)
            if free is not None and (per_token := encoder.bytes_per_token()):
                cells = min(cells, int(_SHARE * free / (per_token * longest)))
        return max(1, cells)

    def each(
        self,
        indices: np.ndarray,
        modalities: tuple[str, ...],
        compute: Callable[[np.ndarray, CellBatch], None],
    ) -> None:
        """Call `compute` with all minibatches; smaller ones after memory ran out."""
        left = np.arange(len(indices))
        while len(left):
            done, size = [np.zeros(0, int)], 0
            try:
                for position, cells in self.batches(indices[left], modalities):
                    size = len(position)
                    compute(left[position], cells)
                    done.append(position)
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halve(size)
            left = np.delete(left, np.concatenate(done))

    def _halve(self, size: int) -> None:
        """Note that fewer cells than `size` fit; warn.

        Raises
        ------
        torch.OutOfMemoryError
            If not even one cell fits.
        """
        release_memory(self.device)
        free = (free_memory(self.device) or 0) / 1e9
        if size <= 1:
            msg = (
                f"Expected memory for one cell at a time on {self.device}, found {free:.1f} GB "
                "free. End other processes that use it, or compute on the CPU: "
                "`model.to_device('cpu')`."
            )
            raise torch.OutOfMemoryError(msg)
        self._most = size // 2
        warnings.warn(
            f"Memory ran out on {self.device} with {size} cells at a time. It goes on with "
            f"{self._most} ({free:.1f} GB free); to begin with these, batch_size={self._most}.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )

    @torch.no_grad()
    def embed(self, use: tuple[str, ...] | None = None, to: str | None = None) -> Embeddings:
        """Return the embeddings of all cells (see :class:`Embeddings`).

        With `use`, other modalities are ignored in cells that have one of these. With `to`, also
        those of the heads that translate into it.
        """
        n, width = len(self.indices), self.module.config.n_latent
        z = np.zeros((n, width), np.float32)
        single = {m: np.full((n, width), np.nan, np.float32) for m in self.module.fused_modalities}
        deep = self.module.depth_heads if self.module.paired else ()
        depth = {m: np.zeros(n, np.float32) for m in deep}
        heads = {
            m: np.full((n, k, width), np.nan, np.float32)
            for m in self.module.modalities
            if to is not None and m != to and self.module.has_bridge(m, to)
            for k in [len(self.module.heads_from(m))]
            if k
        }
        out = Embeddings(z, z, single, depth, heads)
        for available, members in cells_by_pattern(self.cells, self.indices):
            chosen = tuple(m for m in available if use is None or m in use) or available
            self.each(self.indices[members], chosen, partial(self._embed_some, out, members))
        latent = z @ _to_numpy(self.module.basis)
        if not self.module.fused:  # there is one embedding
            single = dict.fromkeys(single, latent)
        return replace(out, latent=latent, single=single)

    def _embed_some(
        self, out: Embeddings, members: np.ndarray, position: np.ndarray, cells: CellBatch
    ) -> None:
        """Write the embeddings of a minibatch into those of all cells."""
        rows = members[position]
        on_device = cells.to(self.device)
        counts = on_device.counts
        found = self.module.embed(counts, on_device.encoded, tuple(out.heads))
        out.z[rows] = _to_numpy(found.z)
        for into, values in ((out.single, found.single), (out.heads, found.heads)):
            for m, part in values.items():
                into[m][rows] = _to_numpy(part)
        for m in out.depth if RNA in counts else ():
            out.depth[m][rows] = _to_numpy(self.module.predict_depth(found.z, counts[RNA], m))

    @torch.no_grad()
    def encode(self, modality: str) -> np.ndarray:
        """Return what the encoder of one modality gives, ``(n, n_latent)``."""
        kind = self.module.modality(modality)
        out = np.zeros((len(self.indices), self.module.config.n_latent), np.float32)

        def encode_some(position: np.ndarray, cells: CellBatch) -> None:
            features = kind.normalize(self.counts(cells)[modality])
            out[position] = _to_numpy(kind.encoder(features).cell)

        self.each(self.indices, (modality,), encode_some)
        return out

    def counts(self, cells: CellBatch) -> dict[str, SparseRows]:
        """Return the counts of a minibatch on the device."""
        return {m: to_device(rows, self.device) for m, rows in cells.counts.items()}

    def decode(
        self,
        to: str,
        embeddings: Embeddings,
        rows: slice,
        depth: np.ndarray | None,
        batch: int | None,
        columns: np.ndarray | None = None,
        spread: bool = False,
        use_depth_free: bool = True,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode some cells to expression, probabilities or counts, ``(n, n_columns)`` float32.

        Predictions of the decoder and the heads are averaged as logits, logs or expression. Heads
        without a depth term take the mean of those that others have; without `use_depth_free` they
        are left out, because what they know of a cell includes some of its depth. With `spread`,
        return also the standard deviation of the single predictions around the result.
        """
        start, stop, _ = rows.indices(len(embeddings.z))
        options = (depth, batch, columns, spread, use_depth_free)
        if self._most is None or stop - start <= self._most:
            try:
                return self._decode(to, embeddings, rows, *options)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halve(stop - start)
        size = self._most or 1
        parts = [
            self.decode(to, embeddings, slice(i, min(i + size, stop)), *options)
            for i in range(start, stop, size)
        ]
        deviations = [deviation for _, deviation in parts if deviation is not None]
        values = np.concatenate([values for values, _ in parts])
        return values, np.concatenate(deviations) if deviations else None

    @torch.no_grad()
    def _decode(
        self,
        to: str,
        embeddings: Embeddings,
        rows: slice,
        depth: np.ndarray | None,
        batch: int | None,
        columns: np.ndarray | None,
        spread: bool,
        use_depth_free: bool,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Decode these cells at once."""
        module, kind = self.module, self.module.modality(to)

        def on_device(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(self.device)

        z = on_device(embeddings.z[rows])
        codes = None if batch is None else torch.full((len(z),), batch, device=self.device)
        log_depth = None if depth is None else on_device(depth[rows])
        wanted = slice(None) if columns is None else on_device(columns)

        heads = [head for source in embeddings.heads for head in module.heads_from(source)]
        common: Tensor | float = 0.0  # what depth adds, for heads without a term of it
        if use_depth_free and log_depth is not None and kind.decoder.sees_depth:
            decoders = [kind.decoder, *(head.decoder(to) for head in heads)]
            slopes = [d.depth_slopes(wanted) for d in decoders if d.sees_depth]
            common = log_depth[:, None] * torch.stack(slopes).mean(0)  # (n, n_columns)

        def predictions() -> Iterator[Tensor]:
            yield kind.decoder(z, codes, log_depth, wanted)
            for source, own in embeddings.heads.items():
                # NaN for cells that lack the source.
                own_z = on_device(own[rows])
                for k, head in enumerate(module.heads_from(source)):
                    decoder = head.decoder(to)
                    is_free = kind.decoder.sees_depth and not decoder.sees_depth
                    if not is_free:
                        yield decoder(own_z[:, k], codes, log_depth, wanted)
                    elif use_depth_free:
                        yield decoder(own_z[:, k], codes, None, wanted) + common

        every = list(predictions()) if spread else None
        n, total = z.new_zeros(len(z), 1), torch.zeros((), device=self.device)
        for values in predictions() if every is None else every:
            n = n + ~values[:, :1].isnan()  # not all cells have all heads
            total = total + values.nan_to_num()
        result = kind.to_output(total / n, wanted)
        if every is None:
            return _to_numpy(result), None
        apart = [(kind.to_output(v, wanted) - result).square().nan_to_num() for v in every]
        return _to_numpy(result), _to_numpy((sum(apart) / (n - 1).clamp_min(1)).sqrt())

    def depths(
        self, embeddings: Embeddings, depth: Depth, to: str, share: float | None = None
    ) -> np.ndarray | None:
        """Return the standardized log depth to translate at, ``(n,)``; None for the mean.

        `share` is that of the predicted deviation from the mean; None for the modality's default.
        """
        kind = self.module.modality(to)
        if not kind.has_depth:
            return None
        if isinstance(depth, str):
            predicted = embeddings.depth.get(to) if depth == "predicted" else None
            share = kind.depth_share if share is None else share
            return None if predicted is None else np.float32(share) * predicted
        log_depth = (np.log1p(depth) - float(kind.depth_mean)) / float(kind.depth_std)
        return np.full(len(embeddings.z), log_depth, np.float32)


def _to_numpy(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()


def check_indices(indices: Sequence[int] | np.ndarray | None, n_cells: int) -> np.ndarray:
    """Return valid cell indices as an array; a mask of all cells is one too."""
    if indices is None:
        return np.arange(n_cells)
    if isinstance(indices, slice):
        return np.arange(n_cells)[indices]
    array = np.asarray(indices)
    if array.ndim == 0:
        msg = (
            f"Expected a list, an array or a mask as indices, found {type(indices).__name__}. "
            "Write "
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
