"""The network: encoders, bridges, fusion and decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from scmomer._constants import ATAC, MODALITIES, RNA
from scmomer.module._bridge import Bridge, TranslationHead, make_bridge
from scmomer.module._config import ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module._depth import DepthHead
from scmomer.module._fusion import Discriminator, Fusion
from scmomer.module.modalities import KINDS, Features, n_features
from scmomer.module.modalities._encoders import Encoded, Encoder
from scmomer.module.modalities.atac._patches import PatchLayout
from scmomer.nn import SparseRows, row_sums


class SCMOMERModule(nn.Module):
    """Encoders, fusion, bridges and decoders.

    Parameters
    ----------
    n_genes, layout
        Size of the gene vocabulary and the genomic layout of the peaks; 0 and None leave a
        modality out.
    n_batches
        Batches seen in training; decoders learn a bias for each if there are at least two.
    config
        Sizes and switches.
    bridged
        RNA only, but with the bridge to ATAC's embedding and the fusion: what is left of a model
        of two modalities without its second encoder.
    n_proteins
        Number of proteins; 0 leaves them out.
    """

    refines: Tensor | None
    measured_together: Tensor | None
    target_sum: Tensor
    gene_weight: Tensor
    baseline: Tensor
    count_baseline: Tensor
    size_stats: Tensor
    even_depth: Tensor

    def __init__(
        self,
        n_genes: int,
        layout: PatchLayout | None,
        n_batches: int,
        config: ModuleConfig,
        bridged: bool = False,
        n_proteins: int = 0,
    ):
        super().__init__()
        c = config
        self.config = c
        given: dict[str, Features | None] = {"rna": n_genes, "atac": layout, "protein": n_proteins}
        features = {m: found for m, found in given.items() if found}
        self.sizes = {m: n_features(found) for m, found in features.items()}
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for m, found in features.items():
            self.encoders[m] = KINDS[m].encoder(found, c)
            self.decoders[m] = KINDS[m].decoder(c, self.sizes[m], n_batches)
        self.paired = len(self.encoders) > 1
        self.fused = self.paired or bridged
        # What fusion takes: also a modality that is only ever predicted.
        self.modalities: tuple[str, ...] = (RNA, ATAC) if bridged else tuple(self.encoders)
        if self.fused:
            k = len(self.modalities)
            self.fusion = Fusion(c.n_latent, k)
            self.bridges = nn.ModuleDict(
                {
                    m: make_bridge(
                        m, self.sizes[m], c, KINDS[m].bridge_input(c), k - 1 + c.bridge_refines
                    )
                    for m in self.encoders
                }
            )
        # With three modalities, two of them may never have been measured in one cell: no bridge
        # between them, and a learned token says that one is absent.
        many = self.fused and len(self.modalities) > 2
        k = len(self.modalities)
        self.absent = nn.Parameter(torch.zeros(k, c.n_latent)) if many else None
        together = torch.ones(k, k, dtype=torch.bool) if many else None
        self.register_buffer("measured_together", together)
        if self.paired:
            self._add_paired(n_batches)
        # Whether stage 3 has begun to train what the bridges say of their own modality; None: they
        # say nothing of it.
        refines = torch.tensor(False) if self.fused and c.bridge_refines else None
        self.register_buffer("refines", refines)
        # Counts per cell after normalisation; the median of the training cells if not configured.
        self.register_buffer("target_sum", torch.tensor(float(c.target_sum or 1e4)))
        # One over the variance of each gene's log expression, or ones.
        self.register_buffer("gene_weight", torch.ones(n_genes))
        # Loss of the train mean, so that 1.0 means "no better than the mean" in each modality.
        self.register_buffer("baseline", torch.ones(len(MODALITIES)))
        # Multinomial loss of the mean shares of counts.
        self.register_buffer("count_baseline", torch.tensor(1.0))
        # Mean and standard deviation over training cells of log open peaks, log RNA counts, log
        # expressed genes and log protein counts.
        self.register_buffer("size_stats", torch.tensor([[0.0, 1.0]] * 4))

    def _add_paired(self, n_batches: int) -> None:
        """Add what only cells of two modalities can train."""
        c, sizes = self.config, self.sizes
        self.discriminator = Discriminator(c.n_latent)
        self.depth_heads = nn.ModuleDict(
            {m: DepthHead(c.n_latent) for m in sizes if has_depth(m) and RNA in sizes}
        )
        rates = bool(c.bridge_rates) and RNA in sizes
        self.rate_decoder = Decoder(c.n_latent, sizes[RNA], 1, False) if rates else None
        self.heads = nn.ModuleDict()
        told = c.bridge_heads - c.depth_free_heads  # the first ones are told the depth
        for source in self.encoders:
            self.heads[source] = nn.ModuleList(
                TranslationHead(source, sizes, n_batches, c, sees_depth=k < told)
                for k in range(c.bridge_heads)
            )
        # Open peaks at which a measured ATAC embedding counts as much as the expected one, for
        # each dimension; 0: it is taken as it is.
        self.register_buffer("even_depth", torch.zeros(c.n_latent))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.target_sum.device

    # -- parts, with their types

    def encoder(self, modality: str) -> Encoder:
        """Return the encoder of a modality."""
        return cast(Encoder, self.encoders[modality])

    def decoder(self, modality: str) -> Decoder:
        """Return the decoder of a modality."""
        return cast(Decoder, self.decoders[modality])

    def decoders_of(self, modality: str) -> list[Decoder]:
        """Return all decoders into a modality: the model's and those of the heads."""
        heads = [head for source in self.encoders for head in self.heads_from(source)]
        own = [head.decoder(modality) for head in heads if modality in head.decoders]
        return [self.decoder(modality), *own]

    def add_query_batches(self, n: int) -> None:
        """Let all decoders into features speak in `n` more batches, as the average at first."""
        for modality in self.decoders:
            for decoder in self.decoders_of(modality):
                decoder.add_query_batches(n)

    def rates(self) -> list[Decoder]:
        """Return all decoders into log shares of raw RNA counts; used in training only."""
        if not self.paired:
            return []
        every = [self.rate_decoder, *(head.rates for head in self.heads_from("rna"))]
        return [rates for rates in every if rates is not None]

    def bridge_from(self, source: str) -> Bridge:
        """Return the bridge that starts from a modality."""
        return cast(Bridge, self.bridges[source])

    def heads_from(self, source: str) -> list[TranslationHead]:
        """Return the translation heads that read a modality."""
        if not self.paired or source not in self.heads:
            return []
        return list(cast(nn.ModuleList, self.heads[source]))  # type: ignore[arg-type]

    def depth_head(self, modality: str) -> DepthHead:
        """Return what predicts the depth of a modality from RNA."""
        return cast(DepthHead, self.depth_heads[modality])

    def knows(self, source: str, to: str) -> bool:
        """Say whether training cells had both of two modalities, so that one tells the other."""
        if self.measured_together is None:
            return True
        places = [self.modalities.index(m) for m in (source, to)]
        return bool(self.measured_together[places[0], places[1]])

    # -- encoding

    def encode(self, modality: str, counts: SparseRows) -> Encoded:
        """Encode raw counts of one modality."""
        return self.encoder(modality)(self.normalize(modality, counts))

    def normalize(self, modality: str, counts: SparseRows) -> SparseRows:
        """Return what encoders and bridges read: log expression, 1 at open peaks, log ratios."""
        return KINDS[modality].normalize(self, counts)

    def bridge(self, source: str, cell: Tensor, counts: SparseRows) -> dict[str, Tensor]:
        """Return the embeddings that fusion takes from one measured modality, ``(n, n_latent)``.

        Its own, refined if ``bridge_refines``, and the expected ones of those that it was measured
        with.
        """
        found = self.bridge_from(source)(cell, self.normalize(source, counts))
        others = [m for m in self.modalities if m != source]
        parts = found.split(self.config.n_latent, -1)  # (n, n_latent) each
        said = {m: part for m, part in zip(others, parts, strict=False) if self.knows(source, m)}
        if self.refines is None:
            return {**said, source: cell}
        return {**said, source: torch.where(self.refines, parts[-1], cell)}

    def fuse(self, embedded: Mapping[str, Tensor]) -> Tensor:
        """Fuse embeddings ``(n, n_latent)``; tokens stand for modalities that are not there."""
        some = next(iter(embedded.values()))
        parts = []
        for place, m in enumerate(self.modalities):
            if m not in embedded and self.absent is None:
                msg = f"Expected embeddings of {list(self.modalities)}, found {list(embedded)}."
                raise ValueError(msg)
            token = None if self.absent is None else self.absent[place].expand_as(some)
            parts.append(embedded.get(m, token))
        return self.fusion(*parts)

    def _standardize(self, sizes: Tensor, which: slice) -> Tensor:
        mean, std = self.size_stats[which].T  # (k,) each
        return (torch.log1p(sizes.to(mean.dtype)) - mean) / std

    def depth(self, counts: SparseRows, modality: str = ATAC) -> Tensor:
        """Return the standardised log of a cell's open peaks or protein counts, ``(n,)``."""
        kind = KINDS[modality]
        row = cast(int, kind.depth_row)
        return self._standardize(kind.sizes(counts)[:, None], slice(row, row + 1))[:, 0]

    def predict_depth(self, z: Tensor, rna: SparseRows, to: str = ATAC) -> Tensor:
        """Predict the standardised log depth of a modality from `z` and the RNA depth, ``(n,)``."""
        return self.depth_head(to)(z, self.rna_sizes(rna))

    def rna_sizes(self, rna: SparseRows) -> Tensor:
        """Return standardised logs of a cell's RNA counts and of its expressed genes, ``(n, 2)``."""
        sizes = torch.stack([row_sums(rna), rna.lengths.to(rna.values.dtype)], -1)  # (n, 2)
        return self._standardize(sizes, slice(1, 3))

    def weigh_measured(self, expected: Tensor, measured: Tensor, counts: SparseRows) -> Tensor:
        """Combine the ATAC embedding that RNA lets expect with the measured one, ``(n, n_latent)``.

        A measurement of ``n`` open peaks weighs ``n / (n + even_depth)``: the gain of a Kalman
        filter whose noise falls with depth.
        """
        n = counts.lengths[:, None].to(measured.dtype)  # (n, 1)
        gain = torch.where(self.even_depth > 0, n / (n + self.even_depth).clamp_min(1e-6), 1.0)
        return expected + gain * (measured - expected)

    def inference(self, **measured: Any) -> dict[str, Tensor]:
        """Embed a minibatch; missing modalities come from bridges.

        Parameters
        ----------
        measured
            Counts under ``rna``, ``atac`` and ``protein``; what encoders made of them already
            under ``z_rna`` and so on.

        Returns
        -------
        dict
            ``z`` and ``z_<modality>`` of each modality, ``(n, n_latent)``. A model of one modality
            gives only that one and ``z``.
        """
        counts = {m: measured[m] for m in self.modalities if measured.get(m) is not None}
        if not counts:
            msg = f"Expected counts of one of {list(self.modalities)}, found none."
            raise ValueError(msg)
        z: dict[str, Tensor] = {}
        for m, rows in counts.items():
            known = measured.get(f"z_{m}")
            z[m] = self.encode(m, rows).cell if known is None else known
        if not self.fused:
            return {**{f"z_{m}": cell for m, cell in z.items()}, "z": next(iter(z.values()))}
        taken, expected = self._complete(z, counts)
        named = {f"z_{m}": cell for m, cell in {**expected, **z}.items()}
        return {**named, "z": self.fuse(taken)}

    def _complete(
        self, z: dict[str, Tensor], counts: dict[str, SparseRows]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what fusion takes, and what is expected of modalities that were not measured."""
        if len(z) == len(self.modalities) and not self.config.measured_gain:
            return z, {}
        said = {m: self.bridge(m, z[m], counts[m]) for m in z}
        expected = {}
        for to in self.modalities:
            from_others = [said[m][to] for m in z if m != to and to in said[m]]
            if to not in z and from_others:  # each measured modality counts the same
                expected[to] = torch.stack(from_others).mean(0)
        taken = {**{m: said[m][m] for m in z}, **expected}
        if self.config.measured_gain and RNA in z and ATAC in z and ATAC in said[RNA]:
            taken[ATAC] = self.weigh_measured(said[RNA][ATAC], z[ATAC], counts[ATAC])
        return taken, expected

    def stage_parameters(self, stage: str) -> list[nn.Parameter]:
        """Parameters that a stage trains; everything else is frozen in it."""
        if stage in MODALITIES:
            parts: list[nn.Module] = [self.encoders[stage], self.decoders[stage]]
        elif stage == "fusion":
            parts = [self.encoders, self.decoders, self.fusion, self.discriminator]
        else:
            parts = [self.bridges, self.heads, self.decoders, self.fusion]
            parts += self.rates()[:1]
        found = [p for part in parts for p in part.parameters() if p.requires_grad]
        return found if self.absent is None or stage in MODALITIES else [*found, self.absent]

    def warm_parameters(self, stage: str) -> list[nn.Parameter]:
        """Maps that begin as principal components and move slowly from there, up to stage 3."""
        if not self.config.warm_start or stage == "bridge":
            return []
        names: tuple[str, ...] = ("pool.projection", "pool.bias", "peak_skip")
        names += ("skip.weight", "skip.bias", "fusion.to_out.weight")
        return [p for name, p in self.named_parameters() if name.endswith(names)]


def has_depth(modality: str) -> bool:
    """Say whether the decoders of a modality see the cell's depth."""
    return KINDS[modality].depth_row is not None
