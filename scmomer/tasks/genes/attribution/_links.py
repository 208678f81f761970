"""Attribution of many peaks to many genes at once, through the few dimensions between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from scmomer._checks import whole_number
from scmomer._constants import ATAC, RNA
from scmomer.data import Cells
from scmomer.tasks.genes.attribution._integrator import Integrator
from scmomer.tasks.genes.attribution._paths import Ends, PathNetwork
from scmomer.tasks.genes.attribution._readouts import Prediction, Readout

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

Statistic = Literal["mean", "covariance", "prediction"]
_PAIRS_AT_ONCE = 2**18
_MIN_STD = 1e-3  # of log expression


def link_attributions(
    model: SCMOMER,
    data: AnnData | MuData | Cells,
    genes: Sequence[str] | np.ndarray,
    peaks: Sequence[str] | np.ndarray,
    *,
    groups: np.ndarray | None = None,
    statistic: Statistic = "mean",
    tokens: bool = False,
    n_steps: int = 6,
    max_cells: int | None = 300,
    batch_size: int | None = None,
) -> np.ndarray:
    """Attribute the logit of each peak, translated from RNA, to its gene.

    Decoders are linear in their embeddings. Gradients are therefore integrated once for each
    dimension of an embedding, not for each peak; after that a pair costs one product. The baseline
    is zero, see :func:`scmomer.tl.attribute`.

    Parameters
    ----------
    model
        Trained model of RNA and ATAC.
    data
        Cells with RNA: a container with raw counts, or what the model read of it.
    genes, peaks
        Pairs: names of features of the model, or their positions, ``(n_pairs,)`` each.
    groups
        Group of each cell, ``(n_cells,)`` whole numbers, -1 for none. None: one group.
    statistic
        - ``"mean"``: signed mean over the cells of a group.
        - ``"covariance"``: covariance over these cells of the attribution and the log expression of
          the gene, divided by the standard deviation of the latter.
        - ``"prediction"``: the same of the predicted logit itself. No attribution: it does not tell
          the gene from others that vary with it. Needs no gradients.

        All are in logits.
    tokens
        Also through the Performer's tokens; slower.
    n_steps
        Points on each path.
    max_cells
        Cells of each group to use, drawn with a fixed seed; None for all. Time is linear in it;
        with ``statistic="prediction"``, all cells take seconds.
    batch_size
        Cells at a time. Does not change results.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_groups, n_pairs)``, float64; NaN for groups without cells.

    Raises
    ------
    ImportError
        If captum is not installed.
    KeyError
        If a gene or peak is not in the model.
    ValueError
        If the model cannot translate RNA to ATAC, there are no cells with RNA, or genes and peaks
        are no pairs.
    """
    if statistic not in get_args(Statistic):
        msg = (
            f"Expected statistic among {list(get_args(Statistic))}, found {statistic!r}. Pass one of "
            "them."
        )
        raise ValueError(msg)
    model._check_can_translate(ATAC)
    model._check_can_translate(RNA)
    at_gene, at_peak = _positions(model, RNA, genes), _positions(model, ATAC, peaks)
    if len(at_gene) != len(at_peak):
        msg = (
            f"Expected as many genes as peaks, one pair each, found {len(at_gene)} and "
            f"{len(at_peak)}. Repeat a gene for each of its peaks."
        )
        raise ValueError(msg)
    factors = attribution_factors(
        model, data, groups, statistic, tokens, n_steps, max_cells, batch_size
    )
    return _pair_up(factors.prediction, factors.by_latent, at_gene, at_peak)


@dataclass(frozen=True)
class AttributionFactors:
    """Attributions of the embeddings that decoders read; times the slopes of peaks, of peaks."""

    prediction: Prediction
    """Decoders of the peaks."""
    by_latent: np.ndarray
    """Shape ``(n_groups, n_heads, n_latent, n_genes)``."""


def attribution_factors(
    model: SCMOMER,
    data: AnnData | MuData | Cells,
    groups: np.ndarray | None,
    statistic: Statistic,
    tokens: bool,
    n_steps: int,
    max_cells: int | None,
    batch_size: int | None,
) -> AttributionFactors:
    """Attribute every dimension of the embeddings to all genes; see :func:`link_attributions`."""
    cells = data if isinstance(data, Cells) else model._read_cells(data)
    indices, codes, n_groups = _draw(cells, groups, max_cells)
    model._require_stages_for(cells.select_modality(RNA), translate=True)
    network = PathNetwork(model.module.eval(), RNA, tokens)
    prediction = Prediction.of(model.module, RNA, ATAC)
    steps = whole_number("n_steps", n_steps)
    integrator = Integrator(network, cells, batch_size)
    sums = _Sums(integrator, prediction, n_groups, statistic)
    for position, ends in integrator.batches(indices, "Linking"):
        sums.add(ends, codes[position], steps)
    by_latent = sums.result(np.bincount(codes, minlength=n_groups))
    return AttributionFactors(prediction, by_latent)


def _positions(model: SCMOMER, modality: str, features: Sequence[str] | np.ndarray) -> np.ndarray:
    if np.asarray(features).dtype.kind in "iu":
        return np.asarray(features).ravel()
    columns = model._columns(modality, features)  # type: ignore[arg-type]
    assert columns is not None
    return columns


def _draw(
    cells: Cells, groups: np.ndarray | None, max_cells: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the cells to use, the group of each, and the number of groups."""
    codes = np.zeros(cells.n_cells, int) if groups is None else np.asarray(groups)
    if codes.shape != (cells.n_cells,) or codes.dtype.kind not in "iu":
        msg = (
            f"Expected groups= as {cells.n_cells} whole numbers, one for each cell, found shape "
            f"{codes.shape} and dtype {codes.dtype}. Pass for example `obs[key].cat.codes`."
        )
        raise ValueError(msg)
    if RNA not in cells.counts or not (usable := cells.measured[RNA] & (codes >= 0)).any():
        msg = "Expected cells with RNA and a group, found none. Pass cells that have both."
        raise ValueError(msg)
    n_groups, rng = int(codes.max()) + 1, np.random.default_rng(0)
    chosen = []
    for group in range(n_groups):
        members = np.flatnonzero(usable & (codes == group))
        if max_cells is not None and len(members) > max_cells:
            members = np.sort(rng.choice(members, max_cells, replace=False))
        chosen.append(members)
    indices = np.concatenate(chosen)
    return indices, codes[indices], n_groups


class _Sums:
    """Sums over cells of attributions to genes, for each dimension of each embedding."""

    def __init__(
        self, integrator: Integrator, prediction: Prediction, n_groups: int, statistic: Statistic
    ):
        self.statistic = statistic
        self.integrator, network = integrator, integrator.network
        self.heads, self.n_groups = prediction.heads, n_groups
        self.n_latent = network.module.config.n_latent
        self.n_genes = network.kind.n_features
        shape = (len(self.heads), self.n_latent, n_groups * self.n_genes)
        self.attributed, self.with_value = (
            torch.zeros(shape, dtype=torch.float64) for _ in range(2)
        )
        self.latent = torch.zeros((*shape[:2], n_groups), dtype=torch.float64)
        self.value, self.square = (torch.zeros(shape[-1], dtype=torch.float64) for _ in range(2))

    def add(self, ends: Ends, groups: np.ndarray, n_steps: int) -> None:
        """Add a minibatch."""
        values = ends.values.double().cpu().flatten()
        group = torch.from_numpy(groups)[:, None] * self.n_genes
        place = (group + ends.features.cpu()).flatten()
        self.value.index_add_(0, place, values)
        self.square.index_add_(0, place, values.square())
        for row, head in enumerate(self.heads):
            if self.statistic == "prediction":
                found = self._latents(ends, head).T  # (n_latent, n)
                self.latent[row].index_add_(1, torch.from_numpy(groups), found)
                found = found[..., None].expand(*found.shape, ends.values.shape[1])
            else:
                readout = Readout((head,), lambda latents: latents[0], self.n_latent)
                found = self.integrator.integrate(ends, readout, n_steps)[0].double().cpu()
            flat = found.flatten(1)  # (n_latent, n * length)
            self.attributed[row].index_add_(1, place, flat)
            self.with_value[row].index_add_(1, place, flat * values)

    @torch.no_grad()
    def _latents(self, ends: Ends, head: int) -> Tensor:
        """Return an embedding of the cells, ``(n, n_latent)``."""
        network = self.integrator.network
        found = network.latents(ends, ends.values, ends.embedded, ends.rows, (head,))
        return found[0].double().cpu()

    def result(self, n_cells: np.ndarray) -> np.ndarray:
        """Return the statistic, ``(n_groups, n_heads, n_latent, n_genes)``."""

        def by_group(sums: Tensor) -> np.ndarray:
            table = sums.reshape(*sums.shape[:-1], self.n_groups, self.n_genes).numpy()
            table = np.moveaxis(table, -2, 0)  # (n_groups, ..., n_genes)
            n = n_cells.reshape(-1, *[1] * (table.ndim - 1))
            return np.divide(table, n, out=np.full_like(table, np.nan), where=n > 0)

        mean = by_group(self.attributed)
        if self.statistic == "mean":
            return mean
        if self.statistic == "prediction":  # every cell has one, whatever it expresses
            mean = np.moveaxis(self.latent.numpy() / np.maximum(n_cells, 1), -1, 0)[..., None]
        value, square = by_group(self.value), by_group(self.square)
        spread = np.sqrt(np.maximum(square - value**2, 0))[:, None, None]
        covariance = by_group(self.with_value) - mean * value[:, None, None]
        return covariance / np.maximum(spread, _MIN_STD)


def _pair_up(
    prediction: Prediction, by_latent: np.ndarray, genes: np.ndarray, peaks: np.ndarray
) -> np.ndarray:
    """Multiply slopes of peaks and attributions of dimensions, ``(n_groups, n_pairs)``."""
    out = np.empty((len(by_latent), len(genes)))
    for start in range(0, len(genes), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        slopes = prediction.slopes(peaks[part])  # (n_heads, n_pairs, n_latent)
        for group, table in enumerate(by_latent):
            out[group, part] = np.einsum("hpk,hkp->p", slopes, table[..., genes[part]])
    return out
