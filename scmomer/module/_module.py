"""The network: encoders, bridges, fusion and decoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor, nn

from scmomer._constants import ATAC, RNA
from scmomer.module._bridge import Bridge
from scmomer.module._config import ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module._depth import DepthHead
from scmomer.module._fusion import Discriminator, Fusion
from scmomer.module.modalities import MODALITY_TYPES, Encoder, ModalityModule
from scmomer.module.modalities.rna import RNAModality
from scmomer.nn import SparseRows

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class CellEmbeddings:
    """Embeddings of the cells of a minibatch."""

    z: Tensor
    """Fused, in the units that decoders read, ``(n, n_latent)``."""
    single: dict[str, Tensor]
    """Of each modality, measured or predicted, ``(n, n_latent)``."""
    heads: dict[str, Tensor] = field(default_factory=dict)
    """Of the heads of each modality, ``(n, n_heads, n_latent)``."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """What fusion reads, ``(n, n_latent)`` each."""


class SCMOMERModule(nn.Module):
    """Encoders, fusion, bridges and decoders.

    Parameters
    ----------
    features
        Names of the features of each modality.
    n_batches
        Batches seen in training; decoders learn a bias for each if there are at least two.
    config
        Sizes and switches.
    bridged
        RNA only, but with the bridge to ATAC's embedding and the fusion: what is left of a model
        of two modalities without its second encoder.
    encoders
        Encoders to use instead of those that `config` names.
    """

    co_measured: Tensor | None
    refines: Tensor | None
    basis: Tensor
    even_depth: Tensor

    def __init__(
        self,
        features: Mapping[str, pd.Index],
        n_batches: int,
        config: ModuleConfig,
        bridged: bool = False,
        encoders: Mapping[str, Encoder] = _NOTHING,
    ):
        super().__init__()
        self.config = config
        self.modalities = nn.ModuleDict(
            {
                m: kind(features[m], n_batches, config, encoders.get(m))
                for m, kind in MODALITY_TYPES.items()
                if m in features
            }
        )
        self.paired = len(self.modalities) > 1
        # What fusion reads: also a modality that is only ever predicted.
        self.fused_modalities = (RNA, ATAC) if bridged else tuple(self.modalities)
        self.fused = len(self.fused_modalities) > 1
        k, refines = len(self.fused_modalities), config.bridge.refine_source
        if self.fused:
            self.fusion = Fusion(config.n_latent, k)
            self.bridges = nn.ModuleDict(
                {
                    m: nn.ModuleList([self._bridge(m, k - 1 + refines, fused=True)])
                    for m in self.modalities
                }
            )
        # With three modalities, two of them may never have been measured in one cell: no bridge
        # between them, and a learned token stands for an absent one.
        many = k > 2
        self.absent = nn.Parameter(torch.zeros(k, config.n_latent)) if many else None
        together = torch.ones(k, k, dtype=torch.bool) if many else None
        self.register_buffer("co_measured", together)
        if self.paired:
            self._add_paired()
        # True once stage 3 trains the refined source embedding; None if bridges do not refine it.
        is_refined = torch.tensor(False) if self.fused and refines else None
        self.register_buffer("refines", is_refined)
        # Fused embeddings leave the network as ``z @ basis``; see fit_latent_basis.
        self.register_buffer("basis", torch.eye(config.n_latent))

    def _add_paired(self) -> None:
        """Add what only cells of two modalities can train."""
        c = self.config
        self.discriminator = Discriminator(c.n_latent)
        deep = [m for m, kind in self.kinds().items() if kind.has_depth and RNA in self.modalities]
        self.depth_heads = nn.ModuleDict({m: DepthHead(c.n_latent) for m in deep})
        if RNA in self.modalities:
            self.bridges_from(RNA)[0].count_decoder = self._count_decoder()
        for source in self.modalities:
            for k in range(c.bridge.n_heads):
                # Heads differ all the more if only one of them reads the depth.
                head = self._head(source, sees_depth=k == 0)
                cast(nn.ModuleList, self.bridges[source]).append(head)
        # Open peaks at which a measured ATAC embedding counts as much as the predicted one, for
        # each dimension; 0: it is taken as it is.
        self.register_buffer("even_depth", torch.zeros(c.n_latent))

    def _bridge(self, source: str, n_outputs: int, fused: bool) -> Bridge:
        kind, c = self.modality(source), self.config
        reads = kind.bridge_reads if fused else kind.head_reads
        if c.bridge.reads == "features":
            reads = kind.published_reads if fused else "features"
        center = kind.centers_inputs and c.bridge.center_inputs
        return Bridge(reads, kind.n_features, c.n_latent, n_outputs, c.bridge, center)

    def _head(self, source: str, sees_depth: bool) -> Bridge:
        head = self._bridge(source, 1, fused=False)
        if source == RNA:
            head.count_decoder = self._count_decoder()
        for m, kind in self.kinds().items():
            if m != source or (m == RNA and self.config.bridge.self_reconstruction):
                head.decoders[m] = kind.make_decoder(sees_depth)
        return head

    def _count_decoder(self) -> Decoder | None:
        """Return a decoder to log shares of raw RNA counts, used in training only."""
        if not self.config.bridge.count_loss:
            return None
        return Decoder(self.config.n_latent, self.modality(RNA).n_features, 1, False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.basis.device

    # -- parts, with their types

    def modality(self, name: str) -> ModalityModule:
        """Return a modality that the network reads."""
        return cast(ModalityModule, self.modalities[name])

    @property
    def rna(self) -> RNAModality:
        """RNA."""
        return cast(RNAModality, self.modalities[RNA])

    def custom_encoders(self) -> dict[str, Encoder]:
        """Return the encoders that were passed, not built."""
        kinds = self.kinds().items()
        return {m: kind.encoder for m, kind in kinds if kind.config.encoder == "custom"}

    def kinds(self) -> dict[str, ModalityModule]:
        """Return all modalities that the network reads, by name."""
        return {m: self.modality(m) for m in self.modalities}

    def bridges_from(self, source: str) -> list[Bridge]:
        """Return all bridges from a modality: the one that fusion reads, then the heads."""
        if not self.fused:
            return []
        return list(cast(nn.ModuleList, self.bridges[source]))  # type: ignore[arg-type]

    def heads_from(self, source: str) -> list[Bridge]:
        """Return the further bridges from a modality, each with decoders of its own."""
        return self.bridges_from(source)[1:]

    def all_decoders(self, modality: str) -> list[Decoder]:
        """Return all decoders into a modality: its own and those of heads."""
        heads = [head for source in self.modalities for head in self.heads_from(source)]
        own = [head.decoder(modality) for head in heads if modality in head.decoders]
        return [self.modality(modality).decoder, *own]

    def add_query_batches(self, n: int) -> None:
        """Add `n` query batches to every decoder, at first equal to the average batch."""
        for modality in self.modalities:
            for decoder in self.all_decoders(modality):
                decoder.add_query_batches(n)

    def depth_head(self, modality: str) -> DepthHead:
        """Return what predicts the depth of a modality from RNA."""
        return cast(DepthHead, self.depth_heads[modality])

    def has_bridge(self, source: str, to: str) -> bool:
        """Return whether some training cells had both of two modalities."""
        if self.co_measured is None:
            return True
        places = [self.fused_modalities.index(m) for m in (source, to)]
        return bool(self.co_measured[places[0], places[1]])

    # -- embedding

    def bridge(self, source: str, cell: Tensor, features: SparseRows) -> dict[str, Tensor]:
        """Return the embeddings that fusion reads from one measured modality, ``(n, n_latent)``.

        Its own, refined if ``bridge_refine_source``, and predictions of those that it was measured
        with.

        Parameters
        ----------
        source
            The modality.
        cell, features
            Its embedding, ``(n, n_latent)``, and its normalized features.
        """
        found = self.bridges_from(source)[0](cell, features)
        others = [m for m in self.fused_modalities if m != source]
        parts = found.split(self.config.n_latent, -1)  # (n, n_latent) each
        predicted = {
            m: part for m, part in zip(others, parts, strict=False) if self.has_bridge(source, m)
        }
        if self.refines is None:
            return {**predicted, source: cell}
        return {**predicted, source: torch.where(self.refines, parts[-1], cell)}

    def fuse(self, embedded: Mapping[str, Tensor]) -> Tensor:
        """Fuse embeddings ``(n, n_latent)``; tokens stand for modalities that are not there."""
        some = next(iter(embedded.values()))
        parts = []
        for place, m in enumerate(self.fused_modalities):
            if m not in embedded and self.absent is None:
                expected = list(self.fused_modalities)
                msg = f"Expected embeddings of {expected}, found {list(embedded)}."
                raise ValueError(msg)
            token = None if self.absent is None else self.absent[place].expand_as(some)
            parts.append(embedded.get(m, token))
        return self.fusion(*parts)

    def predict_depth(self, z: Tensor, rna: SparseRows, to: str = ATAC) -> Tensor:
        """Predict the standardized log depth of a modality from `z` and raw RNA, ``(n,)``."""
        return self.depth_head(to)(z, self.rna.library_size(rna))

    def shrink_measured(self, expected: Tensor, measured: Tensor, counts: SparseRows) -> Tensor:
        """Shrink the measured ATAC embedding towards the one predicted from RNA, ``(n, n_latent)``.

        A measurement of ``n`` open peaks weighs ``n / (n + even_depth)``: the gain of a Kalman
        filter whose noise falls with depth.
        """
        n = counts.lengths[:, None].to(measured.dtype)  # (n, 1)
        gain = torch.where(self.even_depth > 0, n / (n + self.even_depth).clamp_min(1e-6), 1.0)
        return expected + gain * (measured - expected)

    def embed(
        self,
        counts: Mapping[str, SparseRows],
        encoded: Mapping[str, Tensor] = _NOTHING,
        heads_of: Sequence[str] = (),
    ) -> CellEmbeddings:
        """Embed cells from the modalities that they have.

        Parameters
        ----------
        counts
            Raw counts of each.
        encoded
            Outputs of encoders that are known already, ``(n, n_latent)``.
        heads_of
            Modalities whose heads are wanted.
        """
        if not counts:
            msg = f"Expected counts of one of {list(self.modalities)}, found none."
            raise ValueError(msg)
        features = {m: self.modality(m).normalize(rows) for m, rows in counts.items()}
        z = {
            m: encoded[m] if m in encoded else self.modality(m).encoder(rows).cell
            for m, rows in features.items()
        }
        heads = {
            m: torch.stack([head(z[m], features[m]) for head in self.heads_from(m)], 1)
            for m in heads_of
            if m in features
        }
        if not self.fused:
            return CellEmbeddings(next(iter(z.values())), z, heads)
        parts, predicted = self._complete(z, features, counts)
        return CellEmbeddings(self.fuse(parts), {**predicted, **z}, heads, parts)

    def _complete(
        self,
        z: dict[str, Tensor],
        features: Mapping[str, SparseRows],
        counts: Mapping[str, SparseRows],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what fusion reads, and predictions of modalities that were not measured."""
        if len(z) == len(self.fused_modalities) and self.config.measured_gain is False:
            return z, {}
        bridged = {m: self.bridge(m, z[m], features[m]) for m in z}
        predicted = average_predictions(bridged, [m for m in self.fused_modalities if m not in z])
        parts = {**{m: bridged[m][m] for m in z}, **predicted}
        has_gain = self.config.measured_gain is not False
        if has_gain and RNA in z and ATAC in z and ATAC in bridged[RNA]:
            parts[ATAC] = self.shrink_measured(bridged[RNA][ATAC], z[ATAC], counts[ATAC])
        return parts, predicted

    # -- training

    def stage_parameters(self, stage: str) -> list[nn.Parameter]:
        """Return the parameters that a stage trains; everything else is frozen in it."""
        parts: list[nn.Module] = [kind.decoder for kind in self.kinds().values()]
        if stage in MODALITY_TYPES:
            parts = [self.modality(stage).encoder, self.modality(stage).decoder]
        elif stage == "fusion":
            parts += [kind.encoder for kind in self.kinds().values()]
            parts += [self.fusion, self.discriminator]
        else:
            parts += [self.bridges, self.fusion]
        found = [p for part in parts for p in part.parameters() if p.requires_grad]
        return found if self.absent is None or stage in MODALITY_TYPES else [*found, self.absent]

    def slow_parameters(self) -> list[nn.Parameter]:
        """Return maps that begin at start values from data and move slowly from there."""
        if not self.config.warm_start:
            return []
        found = [p for kind in self.kinds().values() for p in kind.encoder.slow_parameters()]
        return [*found, cast(nn.Parameter, self.fusion.to_out.weight)] if self.fused else found


def average_predictions(
    bridged: Mapping[str, Mapping[str, Tensor]], wanted: Sequence[str]
) -> dict[str, Tensor]:
    """Return the embedding of each wanted modality, averaged over the bridges of all others."""
    found = {
        to: [parts[to] for source, parts in bridged.items() if source != to and to in parts]
        for to in wanted
    }
    return {to: torch.stack(parts).mean(0) for to, parts in found.items() if parts}
