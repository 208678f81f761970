"""The network as scvi-tools sees it: inference, generation and the loss of each stage."""

from __future__ import annotations

from functools import partial
from typing import Any, TypedDict, cast

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import Tensor, nn

from scmomer.module import _objectives
from scmomer.module._atac import atac_encoder, binarize
from scmomer.module._config import ModuleConfig
from scmomer.module._encoders import Encoded, Encoder
from scmomer.module._heads import Bridge, Decoder, Discriminator, Fusion
from scmomer.module._patches import PatchLayout
from scmomer.module._rna import rna_encoder
from scmomer.module._rows import SparseRows, log_normalize, row_sums
from scmomer.module._translation import TranslationHead, make_bridge


class CellBatch(TypedDict, total=False):
    """A minibatch; absent keys are modalities or columns that were not measured."""

    rna: SparseRows
    atac: SparseRows
    batch: Tensor
    labels: Tensor
    z_rna: Tensor
    z_atac: Tensor


class SCMOMERModule(BaseModuleClass):
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
        One modality only, but with the bridge to the other one's embedding and the fusion: what
        is left of a model of two modalities without its second encoder.
    """

    refines: Tensor | None

    def __init__(
        self,
        n_genes: int,
        layout: PatchLayout | None,
        n_batches: int,
        config: ModuleConfig,
        bridged: bool = False,
    ):
        super().__init__()
        c = config
        self.config = c
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        sizes = {"rna": n_genes, "atac": layout.n_peaks if layout is not None else 0}
        decoder = partial(
            Decoder,
            c.n_latent,
            n_batches=n_batches,
            hidden=c.decoder_hidden,
            dropout=c.decoder_dropout,
        )
        if n_genes:
            self.encoders["rna"] = rna_encoder(n_genes, c)
            self.decoders["rna"] = decoder(
                n_features=n_genes, depth_term=False, scaled=c.scale_genes
            )
        if layout is not None:
            self.encoders["atac"] = atac_encoder(layout, c)
            self.decoders["atac"] = decoder(n_features=layout.n_peaks, depth_term=c.depth_term)
        self.paired = len(self.encoders) == 2
        self.fused = self.paired or bridged
        if self.fused:
            self.fusion = Fusion(c.n_latent)
            reads = {"rna": c.bridge_input, "atac": c.bridge_input_atac}
            self.bridges = nn.ModuleDict(
                {
                    m: make_bridge(m, sizes[m], c, reads[m], 1 + c.bridge_refines)
                    for m in self.encoders
                }
            )
        if self.paired:
            self._add_paired(sizes, n_batches)
        # Whether stage 3 has begun to train what the bridges say of their own modality; None: they
        # say nothing of it.
        refines = torch.tensor(False) if self.fused and c.bridge_refines else None
        self.register_buffer("refines", refines)
        # Counts per cell after normalisation; the median of the training cells if not configured.
        self.register_buffer("target_sum", torch.tensor(float(c.target_sum or 1e4)))
        # One over the variance of each gene's log expression, or ones.
        self.register_buffer("gene_weight", torch.ones(n_genes))
        # Loss of the train mean, so that 1.0 means "no better than the mean" in both modalities.
        self.register_buffer("baseline", torch.ones(2))
        # Multinomial loss of the mean shares of counts.
        self.register_buffer("count_baseline", torch.tensor(1.0))
        # Mean and standard deviation over training cells of log open peaks, log RNA counts and
        # log expressed genes.
        self.register_buffer("size_stats", torch.tensor([[0.0, 1.0]] * 3))

    def _add_paired(self, sizes: dict[str, int], n_batches: int) -> None:
        """Add what only cells of two modalities can train."""
        c = self.config
        self.discriminator = Discriminator(c.n_latent, c.discriminator_hidden)
        self.depth_head = nn.Linear(c.n_latent + 2, 1)
        self.rate_decoder = Decoder(c.n_latent, sizes["rna"], 1, False) if c.bridge_rates else None
        self.heads = nn.ModuleDict()
        for source in self.encoders:
            heads = [TranslationHead(source, sizes, n_batches, c) for _ in range(c.bridge_heads)]
            self.heads[source] = nn.ModuleList(heads)
        # Open peaks at which a measured ATAC embedding counts as much as the expected one, for
        # each dimension; 0: it is taken as it is.
        self.register_buffer("even_depth", torch.zeros(c.n_latent))

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
        return list(cast(nn.ModuleList, self.heads[source])) if self.paired else []  # type: ignore[arg-type]

    # -- encoding

    def encode(self, modality: str, counts: SparseRows) -> Encoded:
        """Encode raw counts of one modality."""
        return self.encoder(modality)(self.normalize(modality, counts))

    def normalize(self, modality: str, counts: SparseRows) -> SparseRows:
        """Return what encoders read and decoders predict: log expression, or 1 at open peaks."""
        if modality == "rna":
            return log_normalize(counts, self.target_sum)
        return binarize(counts)

    def bridge(self, source: str, cell: Tensor, counts: SparseRows) -> tuple[Tensor, Tensor]:
        """Return the embeddings that fusion takes from one measured modality.

        Its own, refined if ``bridge_refines``, and the expected one of the other modality, each
        ``(n, n_latent)``.
        """
        found = self.bridge_from(source)(cell, self.normalize(source, counts))
        if self.refines is None:
            return cell, found
        other, own = found.chunk(2, -1)
        return torch.where(self.refines, own, cell), other

    def _standardize(self, sizes: Tensor, which: slice) -> Tensor:
        mean, std = self.size_stats[which].T  # (k,) each
        return (torch.log1p(sizes.to(mean.dtype)) - mean) / std

    def depth(self, counts: SparseRows) -> Tensor:
        """Return the standardised log number of open peaks, ``(n,)``."""
        return self._standardize(counts.lengths[:, None], slice(0, 1))[:, 0]

    def predict_depth(self, z: Tensor, rna: SparseRows) -> Tensor:
        """Predict the standardised log ATAC depth from `z` and the RNA depth, ``(n,)``."""
        sizes = torch.stack([row_sums(rna), rna.lengths.to(z.dtype)], -1)  # (n, 2)
        features = torch.cat([z, self._standardize(sizes, slice(1, 3)).clamp(-4, 4)], -1)
        return self.depth_head(features)[:, 0].clamp(-4, 4)

    def weigh_measured(self, expected: Tensor, measured: Tensor, counts: SparseRows) -> Tensor:
        """Combine the ATAC embedding that RNA lets expect with the measured one, ``(n, n_latent)``.

        A measurement of ``n`` open peaks weighs ``n / (n + even_depth)``: the gain of a Kalman
        filter whose noise falls with depth.
        """
        n = counts.lengths[:, None].to(measured.dtype)  # (n, 1)
        gain = torch.where(self.even_depth > 0, n / (n + self.even_depth).clamp_min(1e-6), 1.0)
        return expected + gain * (measured - expected)

    # -- scvi-tools interface

    def _get_inference_input(self, tensors: CellBatch, **kwargs: Any) -> dict[str, Any]:
        return {k: tensors.get(k) for k in ("rna", "atac", "z_rna", "z_atac")}

    def inference(
        self,
        rna: SparseRows | None = None,
        atac: SparseRows | None = None,
        z_rna: Tensor | None = None,
        z_atac: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Embed a minibatch; a missing modality comes from the bridge.

        Returns
        -------
        dict
            ``z_rna``, ``z_atac`` and ``z``, each ``(n, n_latent)``; a model of one modality
            gives only that one and ``z``.
        """
        if rna is not None and z_rna is None:
            z_rna = self.encode("rna", rna).cell
        if atac is not None and z_atac is None:
            z_atac = self.encode("atac", atac).cell
        if not self.fused:
            found = {"z_rna": z_rna, "z_atac": z_atac}
            only = {key: value for key, value in found.items() if value is not None}
            return {**only, "z": next(iter(only.values()))}
        if z_rna is None:
            refined, z_rna = self.bridge("atac", *_measured(z_atac, atac))
            z = self.fusion(z_rna, refined)
        elif z_atac is None:
            refined, z_atac = self.bridge("rna", *_measured(z_rna, rna))
            z = self.fusion(refined, z_atac)
        elif self.config.measured_gain:
            refined, expected = self.bridge("rna", *_measured(z_rna, rna))
            z = self.fusion(refined, self.weigh_measured(expected, *_measured(z_atac, atac)))
        else:
            z = self.fusion(z_rna, z_atac)
        return {"z_rna": z_rna, "z_atac": z_atac, "z": z}

    def _get_generative_input(
        self, tensors: CellBatch, inference_outputs: dict[str, Tensor], **kwargs: Any
    ) -> dict[str, Any]:
        atac = tensors.get("atac")
        return {
            "z": inference_outputs["z"],
            "batch": tensors.get("batch"),
            "depth": None if atac is None else self.depth(atac),
        }

    def generative(
        self, z: Tensor, batch: Tensor | None = None, depth: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Decode: ``rna`` is log2 expression ``(n, n_genes)``, ``atac`` logits ``(n, n_peaks)``."""
        return {name: decoder(z, batch, depth) for name, decoder in self.decoders.items()}

    def loss(
        self, tensors: CellBatch, inference_outputs: Any, generative_outputs: Any, **kwargs: Any
    ) -> LossOutput:
        """Loss of stage 2 (reconstruction and pair matching)."""
        return self.stage_loss("fusion", tensors)

    def stage_loss(self, stage: str, tensors: CellBatch) -> LossOutput:
        """Loss of a training stage: ``"rna"``, ``"atac"``, ``"fusion"`` or ``"bridge"``."""
        terms = _objectives.OBJECTIVES[stage](self, tensors)
        total = torch.stack(list(terms.values())).sum()
        n = next(tensors[k] for k in ("rna", "atac") if k in tensors).n_rows
        return LossOutput(
            loss=total,
            n_obs_minibatch=n,
            extra_metrics={k: v.detach() for k, v in terms.items()},
        )

    def stage_parameters(self, stage: str) -> list[nn.Parameter]:
        """Parameters that a stage trains; everything else is frozen in it."""
        if stage in ("rna", "atac"):
            parts: list[nn.Module] = [self.encoders[stage], self.decoders[stage]]
        elif stage == "fusion":
            parts = [self.encoders, self.decoders, self.fusion, self.discriminator]
        else:
            parts = [self.bridges, self.heads, self.decoders, self.fusion]
            parts += [self.depth_head, *self.rates()[:1]]
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def warm_parameters(self, stage: str) -> list[nn.Parameter]:
        """Maps that begin as principal components and move slowly from there, up to stage 3."""
        if not self.config.warm_start or stage == "bridge":
            return []
        names = ("pool.projection", "pool.bias", "peak_skip", "fusion.to_out.weight")
        return [p for name, p in self.named_parameters() if name.endswith(names)]

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        """Not offered: scMomer is no generative model of counts."""
        msg = "SCMOMER does not sample counts; use model.get_translated for probabilities."
        raise NotImplementedError(msg)


def _measured(cell: Tensor | None, counts: SparseRows | None) -> tuple[Tensor, SparseRows]:
    """Return what a bridge starts from."""
    if cell is None or counts is None:
        msg = "Expected the counts of a modality to bridge from, found none."
        raise ValueError(msg)
    return cell, counts
