"""ATAC as a modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor

from scmomer.module._bridge import Bridge
from scmomer.module._config import ModuleConfig
from scmomer.module._decoder import Decoder
from scmomer.module.modalities._base import MIN_BASELINE, ModalityModule, are_same
from scmomer.module.modalities._encoders import Encoder, MLPEncoder
from scmomer.module.modalities.atac._config import PRESETS, ATACConfig
from scmomer.module.modalities.atac._encoder import ViTEncoder, binarize
from scmomer.module.modalities.atac._intervals import on_one_line, overlapping
from scmomer.module.modalities.atac._patches import (
    file_layout,
    inherited_layout,
    patch_layout,
    patch_starts,
)
from scmomer.module.modalities.atac._peaks import parse_peaks
from scmomer.module.modalities.atac._start_values import semantic_indexing
from scmomer.nn import SparseRows, linear_bce, to_dense

_DEPTH_SHARE = 0.35  # of shallow cells: benchmarks/ablation.py


class ATACModality(ModalityModule):
    """Accessibility: open or not, cross-entropy at the cell's depth."""

    name = "atac"
    feature_name = "peaks"
    usual_names = "atac|peaks?|chromatin( accessibility)?|accessibility|(sc|sn)atac( seq)?|atac seq"
    registry_key = REGISTRY_KEYS.ATAC_X_KEY
    config_type = ATACConfig
    presets = PRESETS
    has_depth = True
    bridge_reads = head_reads = "embedding"  # bridges that read peaks overfit
    centers_inputs = False

    config: ATACConfig

    @classmethod
    def check_names(cls, names: pd.Index, where: str, var: pd.DataFrame) -> None:
        """Raise unless names are genomic intervals."""
        parse_peaks(names, where, var=var)

    @classmethod
    def rows_in(cls, features: pd.Index, source: pd.Index) -> np.ndarray:
        """Match by overlap: of several peaks, the one that shares most bases."""
        rows = source.get_indexer(features)
        rest = np.flatnonzero(rows < 0)
        if not len(rest):
            return rows
        ours, theirs = on_one_line(parse_peaks(features[rest]), parse_peaks(source))
        query, target = overlapping(ours, theirs)
        end = np.minimum(ours.end[query], theirs.end[target])
        shared = end - np.maximum(ours.start[query], theirs.start[target])
        order = np.lexsort((target, -shared, query))
        query, target = query[order], target[order]
        best = np.diff(query, prepend=-1) > 0
        rows[rest[query[best]]] = target[best]
        return rows

    @classmethod
    def inherited(
        cls, config: ATACConfig, source: ModalityModule, names: pd.Index, rows: np.ndarray
    ) -> dict[str, Any]:
        """Keep the depth share of `source`, and its patches: their positions are learned."""
        encoder, kept = source.encoder, {}
        if config.depth_share is None:
            kept["depth_share"] = source.config.depth_share
        if not isinstance(encoder, ViTEncoder) or config.encoder != "vit":
            return kept
        if source.config.patch_weights == "shared" and not are_same(rows, len(names)):
            msg = (
                f"Expected the {len(names)} peaks of the model in init_from= in their order, "
                f"because its patches share weights (patch_weights='shared'), found {len(rows)} "
                "others. Map the data first: `atac = scmomer.pp.align_peaks(atac, model)`."
            )
            raise ValueError(msg)
        if source.config.patch_order == "file":
            return {**kept, "patch_order": "file"}
        known = source.config.patch_starts
        return {**kept, "patch_starts": patch_starts(encoder.layout, parse_peaks(names), known)}

    def make_encoder(self, features: pd.Index, config: ModuleConfig) -> Encoder:
        """Return a ViT over patches of peaks, or a perceptron."""
        own = self.config
        if own.encoder == "mlp":
            return MLPEncoder(
                len(features), config.n_latent, own.mlp_hidden, own.mlp_dropout, config.latent_norm
            )
        if own.patch_order == "file":
            layout = file_layout(len(features), own.n_patches)
        elif own.patch_starts:
            layout = inherited_layout(parse_peaks(features), own.patch_starts)
        else:
            peaks = parse_peaks(features)
            layout = patch_layout(peaks.chromosome, peaks.start, own.n_patches)
        return ViTEncoder(layout, own, config.n_latent, config.latent_norm)

    @property
    def depth_share(self) -> float:
        """Less than all: RNA predicts the ATAC depth of a cell roughly."""
        return _DEPTH_SHARE if self.config.depth_share is None else self.config.depth_share

    def make_decoder(self, sees_depth: bool = True) -> Decoder:
        """Return a decoder to logits."""
        depth_term = sees_depth and self.config.depth_term
        return Decoder(self.n_latent, self.n_features, self.n_batches, depth_term)

    def normalize(self, counts: SparseRows) -> SparseRows:
        """Return 1 for every open peak."""
        return binarize(counts)

    def error(
        self, decoder: Decoder, z: Tensor, target: SparseRows, batch: Tensor | None
    ) -> Tensor:
        """Return the cross-entropy of open peaks."""
        design = decoder.design_matrix(z, batch, self.depth(target))
        return linear_bce(design, decoder.weights(), target, self.config.pos_weight)

    def derivatives(
        self, decoder: Decoder, values: Tensor, counts: SparseRows
    ) -> tuple[Tensor, Tensor]:
        """Return those of the cross-entropy."""
        target = to_dense(binarize(counts), values.shape[1])
        weight = torch.where(target > 0, self.config.pos_weight, 1.0)
        probability = values.sigmoid()
        return weight * (probability - target), weight * probability * (1 - probability)

    def to_output(self, values: Tensor, columns: slice | Tensor = slice(None)) -> Tensor:
        """Return probabilities."""
        return values.sigmoid()

    def total(self, counts: SparseRows) -> Tensor:
        """Return the number of open peaks of each cell, ``(n,)``."""
        return counts.lengths

    def init_from_data(
        self,
        counts: sp.csr_matrix,
        decoders: Sequence[Decoder],
        bridges: Sequence[Bridge],
        warm_start: bool,
    ) -> None:
        """Set statistics, decoders to the mean profile, the encoder to LSI components."""
        open_peaks = (counts > 0).astype(np.float32).tocsr()
        n_cells, n_open = open_peaks.shape[0], np.diff(open_peaks.indptr)
        rate = (np.asarray(open_peaks.sum(0)).ravel() + 0.5) / (n_cells + 1)  # never 0 or 1
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
        self.baseline.fill_(max(float(entropy.sum()), MIN_BASELINE))
        self.set_depth(n_open)
        for decoder in decoders:
            decoder.init_mean(torch.from_numpy(np.log(rate / (1 - rate))))
            if decoder.depth_slope is not None:  # twice the depth: twice as likely to be open
                decoder.depth_slope.data.fill_(float(self.depth_std))
        if warm_start:
            median = float(np.median(n_open))
            if isinstance(self.encoder, ViTEncoder):
                self.encoder.median_n_open.fill_(median)
            self.encoder.init_linear(semantic_indexing(open_peaks, rate, median, self.n_latent))
