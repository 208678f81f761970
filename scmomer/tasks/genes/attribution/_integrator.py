"""Integrated gradients of a trained network, averaged over cells minibatch by minibatch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scvi import settings
from torch import Tensor
from tqdm.auto import tqdm

from scmomer._checks import whole_number
from scmomer.data import Cells, cell_loader
from scmomer.inference import to_device
from scmomer.module import PerformerEncoder, ViTEncoder
from scmomer.tasks.genes.attribution._paths import Ends, PathNetwork, Reference
from scmomer.tasks.genes.attribution._readouts import Readout

MAX_ERROR = 0.05  # of the sum of attributions, relative to the change of the prediction
_PILOT_ERROR = 0.8 * MAX_ERROR  # of a few cells, so that all cells stay below MAX_ERROR
_MAX_DOUBLINGS = 3
_PILOT_CELLS = 32
_BYTES_AT_ONCE = 2**28
_BYTES_PER_VALUE = 64.0  # sparse products and their gradients
_BYTES_PER_PATCH = 100.0  # for each dimension of a patch token


@dataclass
class Attributions:
    """Attributions to the features of a source, averaged over the cells of each group."""

    mean: np.ndarray
    """Signed mean, ``(n_targets, n_groups, n_features)``."""
    absolute: np.ndarray
    """Mean of absolute values, same shape."""
    value: np.ndarray
    """Mean of what is explained, ``(n_targets, n_groups)``."""
    baseline_value: np.ndarray
    """Its mean at the baseline, ``(n_targets, n_groups)``."""
    n_cells: np.ndarray
    """Cells of each group, ``(n_groups,)``."""
    n_steps: int
    """Points on each path."""
    error: np.ndarray
    """Mean absolute difference of the sum of a cell's attributions from the change of its value,
    relative to the mean absolute change, ``(n_targets,)``."""


@dataclass
class Integrator:
    """Integrates gradients along the paths of cells.

    Parameters
    ----------
    network
        The network along paths.
    cells
        Counts of the source.
    batch_size
        Cells at a time; None for :attr:`scvi.settings.batch_size`. Changes speed and memory, not
        results.
    progress
        Show a progress bar over minibatches where there are several.
    """

    network: PathNetwork
    cells: Cells
    batch_size: int | None = None
    progress: bool = True
    _captum: Any = field(init=False)

    def __post_init__(self) -> None:
        self._captum = import_captum()
        wanted = settings.batch_size if self.batch_size is None else self.batch_size
        self.batch_size = whole_number("batch_size", wanted)

    def batches(self, indices: np.ndarray, bar: str = "") -> Iterator[tuple[np.ndarray, Ends]]:
        """Yield positions in `indices` and the ends of the paths of these cells."""
        source, device = self.network.source, self.network.module.device
        longest = self.cells.lengths(source)[indices].max(initial=1)
        size = min(int(self.batch_size or 1), self._points(self._width(longest)))
        loader = cell_loader(
            self.cells, indices, modalities=(source,), batch_size=size, with_position=True
        )
        hidden = not (bar and self.progress) or len(indices) <= size
        for position, cells in tqdm(loader, desc=bar, disable=hidden, leave=False):
            yield position, self.network.ends(to_device(cells.counts[source], device))

    def _width(self, n_stored: int) -> int:
        return self.network.kind.n_features if self.network.is_dense else int(n_stored)

    def _points(self, width: int) -> int:
        """Return how many points of paths are computed at a time, to bound memory."""
        encoder, n_bytes = self.network.encoder, _BYTES_PER_VALUE * width
        if isinstance(encoder, PerformerEncoder):
            moved = self.network.moves_tokens
            n_bytes += width * (encoder.bytes_per_token() if moved else 8.0 * encoder.config.dim)
        elif isinstance(encoder, ViTEncoder):
            n_bytes += (
                _BYTES_PER_PATCH
                * encoder.patch_embedding.bias.shape[0]
                * (encoder.layout.n_patches * len(encoder.vit.layer))
            )
        return max(1, int(_BYTES_AT_ONCE // n_bytes))

    def integrate(self, ends: Ends, readout: Readout, n_steps: int) -> tuple[Tensor, Tensor]:
        """Return attributions and the values at both ends.

        Returns
        -------
        tuple
            Attributions ``(n_targets, n, length)``, by ``ends.features``; values at the cells and
            at the baseline, ``(2, n, n_targets)``.
        """
        network, rows = self.network, ends.rows

        def forward(*places: Tensor) -> Tensor:
            *moved, at = places  # where on the path each value and each token is, 0 to 1
            values, embedded = network.at(ends, moved, at)
            latents = network.latents(ends, values, embedded, at, readout.heads)
            # Gradients are asked of all inputs, also of those that a network does not read.
            unread = [0.0 * place.sum(1, keepdim=True) for place in moved]
            return readout.function(latents) + sum(unread)

        stop = [torch.ones_like(ends.values)]
        if ends.embedded is not None:
            stop.append(torch.ones_like(ends.embedded[..., 0]))
        start = [torch.zeros_like(place) for place in stop]
        at_once = max(len(rows), self._points(ends.values.shape[1]))
        method = self._captum.IntegratedGradients(forward)
        found = []
        for target in range(readout.n_targets):
            parts = method.attribute(
                tuple(stop),
                tuple(start),
                target=target,
                additional_forward_args=(rows,),
                n_steps=n_steps,
                internal_batch_size=at_once,
            )
            found.append(network.by_feature(ends, *[*parts, None][:2]).detach())
        with torch.no_grad():
            values = torch.stack([forward(*stop, rows), forward(*start, rows)])
        return torch.stack(found), values

    def enough_steps(self, indices: np.ndarray, readout: Readout, n_steps: int) -> int:
        """Return `n_steps`, doubled while some cells are not complete; see :data:`MAX_ERROR`."""
        spread = np.linspace(0, len(indices) - 1, min(len(indices), _PILOT_CELLS))
        pilot, limit = indices[np.unique(spread.astype(int))], n_steps * 2**_MAX_DOUBLINGS
        while n_steps < limit:
            off, change = np.zeros(readout.n_targets), np.zeros(readout.n_targets)
            for _, ends in self.batches(pilot):
                gap, moved = completeness(*self.integrate(ends, readout, n_steps))
                off, change = off + gap.sum(1), change + moved.sum(1)
            if (_ratio(off, change) <= _PILOT_ERROR).all():
                break
            n_steps *= 2
        return n_steps

    def average(
        self,
        indices: np.ndarray,
        groups: np.ndarray,
        n_groups: int,
        readout: Readout,
        n_steps: int,
    ) -> Attributions:
        """Average attributions over the cells of each group.

        Parameters
        ----------
        indices, groups
            Cells, and the group of each, ``(n,)`` each.
        n_groups
            Number of groups.
        readout
            What is explained.
        n_steps
            Points on each path; doubled up to three times if attributions do not add up.
        """
        n_steps = self.enough_steps(indices, readout, n_steps)
        n_features = self.network.kind.n_features
        shape = (readout.n_targets, n_groups, n_features)
        total, absolute = np.zeros(shape), np.zeros(shape)
        values = np.zeros((2, readout.n_targets, n_groups))
        off, change = np.zeros(readout.n_targets), np.zeros(readout.n_targets)
        for position, ends in self.batches(indices, "Attributing"):
            found, value = self.integrate(ends, readout, n_steps)
            gap, moved = completeness(found, value)
            off, change = off + gap.sum(1), change + moved.sum(1)
            group = groups[position]
            place = (group[:, None] * n_features + ends.features.cpu().numpy()).ravel()
            for t, part in enumerate(found.double().cpu().numpy()):
                for into, weight in ((total, part), (absolute, np.abs(part))):
                    sums = np.bincount(place, weight.ravel(), n_groups * n_features)
                    into[t] += sums.reshape(n_groups, n_features)
            for at, part in zip(values, value.double().cpu().numpy(), strict=True):
                np.add.at(at.T, group, part)
        n = np.bincount(groups, minlength=n_groups)
        values /= np.maximum(n, 1)
        weight = np.maximum(n, 1)[:, None]
        return Attributions(
            *(total / weight, absolute / weight, *values, n, n_steps, _ratio(off, change))
        )


def completeness(found: Tensor, values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much sums of attributions miss the change of the value, and the change.

    Both absolute, ``(n_targets, n)``; arguments as :meth:`Integrator.integrate` returns them.
    """
    change = (values[0] - values[1]).T.double().cpu().numpy()  # (n_targets, n)
    return np.abs(found.double().sum(-1).cpu().numpy() - change), np.abs(change)


def _ratio(off: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return relative errors; nothing changes and nothing is attributed: 0."""
    return np.divide(off, change, out=np.where(off > 0, np.inf, 0.0), where=change > 0)


def average_cell(
    network: PathNetwork,
    cells: Cells,
    indices: np.ndarray,
    groups: np.ndarray,
    n_groups: int,
    batch_size: int | None = None,
) -> Reference:
    """Return the mean over groups of the mean cell of each, in what `network` reads.

    All groups count the same. Genes that a cell does not express count as the token of such genes.
    """
    kind, n_features = network.kind, network.kind.n_features
    size = np.maximum(np.bincount(groups, minlength=n_groups), 1)
    share = 1.0 / (size * max(1, len(np.unique(groups))))  # of a cell of each group
    mean, bins = np.zeros(n_features), None
    if network.has_tokens:
        n_bins = network.encoder.model.token_emb.num_embeddings
        bins = np.zeros((n_features, n_bins))
    loader = cell_loader(
        cells,
        indices,
        modalities=(network.source,),
        batch_size=settings.batch_size if batch_size is None else batch_size,
        with_position=True,
    )
    for position, batch in loader:
        counts = to_device(batch.counts[network.source], network.module.device)
        rows = kind.normalize(counts)
        weight = share[groups[position]]
        stored, ids = rows.indices.cpu().numpy(), rows.row_ids.cpu().numpy()
        mean += np.bincount(stored, weight[ids] * rows.values.cpu().numpy(), n_features)
        if bins is not None:
            tokens = network.encoder.tokenize(rows)
            cell, column = np.nonzero(tokens.valid.cpu().numpy())
            place = tokens.genes.cpu().numpy() * bins.shape[1] + tokens.bins.cpu().numpy()
            counted = np.bincount(place[cell, column], weight[cell], bins.size)
            bins += counted.reshape(bins.shape)
    if bins is not None:
        bins[:, network.absent_bin] += np.maximum(1 - bins.sum(1), 0)
    on_device = [None if x is None else _as_tensor(x, network) for x in (mean, bins)]
    return Reference(on_device[0], on_device[1])  # type: ignore[arg-type]


def _as_tensor(values: np.ndarray, network: PathNetwork) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(network.module.device)


def import_captum() -> Any:
    """Import the optional dependency."""
    try:
        import captum.attr
    except ImportError as error:
        msg = (
            "captum is not installed (needed for tl.attribute). Install it with: "
            "pip install 'scmomer[interpret]'"
        )
        raise ImportError(msg) from error
    return captum.attr
