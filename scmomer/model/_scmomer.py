"""The SCMOMER model: registration, construction and files. Mixins add training and results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi import settings
from scvi.model.base import BaseModelClass

from scmomer._constants import ATAC, PROTEIN, RNA, Modality
from scmomer.data import (
    Cells,
    ModelSpec,
    Profile,
    called,
    check_container,
    display_name,
    read_cells,
)
from scmomer.model._copies import CopiesMixin
from scmomer.model._current_model import set_current
from scmomer.model._files import FilesMixin
from scmomer.model._gene_embeddings import GeneEmbeddingsMixin
from scmomer.model._init_from import begin, plan_start
from scmomer.model._load_query import LoadQueryMixin
from scmomer.model._pretraining import PretrainingMixin
from scmomer.model._registration import (
    anndata_fields,
    detect_modality,
    make_manager,
    mudata_fields,
    read_spec,
)
from scmomer.model._results import ResultsMixin
from scmomer.module import (
    MODALITY_TYPES,
    Encoder,
    ModuleConfig,
    SCMOMERModule,
    get_config,
    resolve_attention,
    resolve_encoder,
    resolve_for_depth,
)

_NO_DATA_REGISTRY: dict[str, Any] = {
    "model_name": "SCMOMER",
    "setup_args": {},
    "field_registries": {},
}


class SCMOMER(
    CopiesMixin,
    FilesMixin,
    PretrainingMixin,
    LoadQueryMixin,
    GeneEmbeddingsMixin,
    ResultsMixin,
    BaseModelClass,
):
    """Multi-omics embeddings and translation when a modality is missing.

    Implements scMomer (bioRxiv 2025.08.04.668374) on scvi-tools'
    :class:`~scvi.model.base.BaseModelClass`: encoders of RNA and ATAC (and, beyond the paper,
    surface protein), fused on paired cells, and bridges that predict a missing modality.
    Registration, trainer and device arguments are those of scvi-tools. Minibatches stay sparse up
    to the device, queries need no set-up, and model files contain no pickle.

    Parameters
    ----------
    data
        MuData or AnnData registered with :func:`scmomer.pp.setup_mudata` or
        :func:`scmomer.pp.setup_anndata`. A model of one modality embeds that modality only.
    size
        ``"small"`` trains in minutes on two CPU cores, ``"base"`` is meant for one GPU,
        ``"paper"`` is the published architecture to the layer. ``"auto"`` is ``"base"`` on a
        GPU, else ``"small"``.
    init_from
        A trained model, or its folder, to begin with: encoders, bridges, fusion and decoders are
        copied, genes and proteins by name, peaks by overlap, batches by name. What is new to it
        starts as usual; new genes and peaks begin with weights of zero where they are read. Sizes
        are those of that model,
        and so are modalities that `data` lack: they are kept. The model can be used at once, and
        :attr:`origin_` and a log message say what was copied, and what not and why. See
        :meth:`train` for what is trained then.
    allow_new_sizes
        With `init_from`, start parts anew that `size` or `options` make another size; otherwise
        that is an error.
    options
        Fields of :class:`scmomer.module.ModuleConfig` to replace, those of the encoders as
        ``rna_<field>``, ``atac_<field>`` and ``protein_<field>``, those of the bridges as
        ``bridge_<field>``. Most used: ``tokens="expressed" | "all"``,
        ``binning="quantile" | "log2"``, ``rna_encoder="auto" | "performer" | "mlp"``,
        ``atac_encoder="vit" | "mlp"``, ``n_latent``. By default models of RNA alone have a
        perceptron (``"mlp"``): it is as good as the Performer or better, and many times as fast.
        Contextual embeddings of genes need ``"performer"``. Instead of its name, an encoder can be an
        object of your own :class:`scmomer.module.Encoder`.

    Raises
    ------
    TypeError
        If `data` is neither AnnData nor MuData.
    ValueError
        If `data` is not registered, or an option is unknown; or if the model to begin with is not
        trained, has other modalities, or is of another species, assembly or size.

    Examples
    --------
    >>> mdata = scmomer.datasets.snareseq_cortex()
    >>> scmomer.pp.setup_mudata(mdata, batch_key="batch")
    >>> model = scmomer.SCMOMER(mdata)
    >>> model.train()
    >>> mdata.obsm["X_scmomer"] = model.get_latent_representation()

    Begin with a trained model:

    >>> model = scmomer.SCMOMER(mdata, init_from="atlas.scmomer")
    >>> model.train()
    """

    _module_cls = SCMOMERModule
    origin_: dict[str, Any] | None = None
    """What the model began with, if that was another one."""

    def __init__(
        self,
        data: AnnData | MuData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        size: Literal["auto", "small", "base", "paper"] = "auto",
        init_from: SCMOMER | str | Path | None = None,
        allow_new_sizes: bool = False,
        **options: Any,
    ):
        if data is None and registry is None:
            msg = (
                "No data were given. Set them up and pass them "
                "(`scmomer.pp.setup_mudata(mdata); model = scmomer.SCMOMER(mdata)`), or load a "
                "model with scmomer.load(path)."
            )
            raise ValueError(msg)
        if data is not None:
            self._check_registered(data)
        super().__init__(data, registry)
        self.stages_: tuple[str, ...] = ()
        if data is None:
            return
        # Without the source, which would live as long as this model.
        self.init_params_ = self._get_init_params({**locals(), "init_from": None})
        encoders = {
            m: options.pop(f"{m}_encoder")
            for m in MODALITY_TYPES
            if isinstance(options.get(f"{m}_encoder"), Encoder)
        }
        options |= {f"{m}_encoder": "custom" for m in encoders}
        spec = read_spec(data, self.registry["setup_args"])
        has_gpu = torch.cuda.is_available()
        if init_from is not None:
            source = self._source(init_from)
            start = plan_start(source, spec, size, options, encoders, has_gpu)
            self._build(start.spec, start.config, start.encoders)
            begin(self, start, self._training_cells(), allow_new_sizes)
            set_current(self)
            return
        config = get_config(size, has_gpu=has_gpu, **options)
        if RNA in spec.features:
            rna = replace(spec, features={RNA: spec.features[RNA]})  # without reading peaks
            with called(argument=None):
                lengths = read_cells(data, rna, check=False).lengths(RNA)
            n_expressed = float(np.median(lengths))
            config = resolve_encoder(config, len(spec.features) == 1)
            config = resolve_attention(config, n_expressed)
            if ATAC in spec.features:
                config = resolve_for_depth(config, n_expressed)
        self._build(spec, config, encoders)

    @classmethod
    def _source(cls, init_from: SCMOMER | str | Path) -> SCMOMER:
        """Return the model to begin with."""
        if isinstance(init_from, str | os.PathLike):
            return cls.load(init_from, accelerator="cpu")
        if not isinstance(init_from, SCMOMER):
            msg = (
                "Expected init_from= to be a trained SCMOMER or the path of its folder, found "
                f"{type(init_from).__name__}."
            )
            raise TypeError(msg)
        return init_from

    def _build(
        self, spec: ModelSpec, config: ModuleConfig, encoders: Mapping[str, Encoder]
    ) -> None:
        self.spec, self.config = spec, config
        if settings.seed is not None:
            torch.manual_seed(settings.seed)
        self.module = spec.build_module(config, encoders)
        n_parameters = sum(p.numel() for p in self.module.parameters())
        features = ", ".join(
            f"{len(names)} {MODALITY_TYPES[m].feature_name}" for m, names in spec.features.items()
        )
        self._model_summary_string = (
            f"scMomer model: {features}, {len(spec.batches)} named batches, "
            f"n_latent {config.n_latent}, {n_parameters / 1e6:.1f} M parameters"
        )

    @classmethod
    def _from_spec(
        cls,
        spec: ModelSpec,
        config: ModuleConfig,
        encoders: Mapping[str, Encoder] = MappingProxyType({}),
    ) -> SCMOMER:
        """Build an untrained model without data."""
        model = cls(registry=dict(_NO_DATA_REGISTRY))
        model._build(spec, config, encoders)
        return model

    # -- registration

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        rna_layer: str | None = None,
        atac_layer: str | None = None,
        protein_layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        modalities: Mapping[str, str | None] | None = None,
        profile: Profile = "counts",
        **kwargs: Any,
    ) -> None:
        """Check and register a MuData; see :func:`scmomer.pp.setup_mudata`."""
        setup_method_args = cls._get_setup_method_args(**locals())
        if not isinstance(mdata, MuData):
            msg = (
                f"Expected a MuData, found {type(mdata).__name__}. For one modality use "
                "scmomer.pp.setup_anndata."
            )
            raise TypeError(msg)
        layers = {RNA: rna_layer, ATAC: atac_layer, PROTEIN: protein_layer}
        for m in MODALITY_TYPES.keys() - layers.keys():  # that the signature does not name
            layers[m] = kwargs.pop(f"{m}_layer", None)
            setup_method_args["setup_args"][f"{m}_layer"] = layers[m]
        fields = mudata_fields(mdata, layers, batch_key, labels_key, modalities, profile)
        manager = make_manager(fields, setup_method_args)
        manager.register_fields(mdata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        modality: Modality | None = None,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        profile: Profile = "counts",
        **kwargs: Any,
    ) -> None:
        """Check and register an AnnData; see :func:`scmomer.pp.setup_anndata`."""
        if not isinstance(adata, AnnData):
            msg = (
                f"Expected an AnnData, found {type(adata).__name__}. For paired data use "
                "scmomer.pp.setup_mudata."
            )
            raise TypeError(msg)
        modality = detect_modality(adata, modality, layer)
        setup_method_args = cls._get_setup_method_args(**locals())
        fields = anndata_fields(adata, modality, layer, batch_key, labels_key, profile)
        manager = make_manager(fields, setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def _check_registered(cls, data: AnnData | MuData) -> None:
        check_container(data)
        kind = type(data).__name__
        try:
            known = cls._get_most_recent_anndata_manager(data)
        except ValueError as error:
            msg = (
                "Expected registered data, found a copy or a part of registered data. Run "
                f"`scmomer.pp.setup_{kind.lower()}(data)` again."
            )
            raise ValueError(msg) from error
        if known is None:
            msg = (
                f"These data ({kind}) are not registered. Run "
                f"`scmomer.pp.setup_{kind.lower()}({display_name(data)})` first."
            )
            raise ValueError(msg)

    # -- data

    def _training_cells(self) -> Cells:
        if self.adata is None:
            msg = (
                "This model has no registered data, because it was loaded without data or made by "
                "load_query_data. Pass data to its methods. To train further, save the model "
                "and load it "
                "with data that have all of its features: `model = scmomer.load(path, mdata)`."
            )
            raise RuntimeError(msg)
        setup = self.registry["setup_args"]
        modality = setup.get("modality")  # None of a MuData
        profile = setup.get("profile")  # None if set up by an older version
        with called(argument=None):
            return read_cells(
                self.adata, self.spec, profile=profile, modality=modality, check=False
            )

    @property
    def target_sum(self) -> float:
        """RNA counts per cell after normalization, before the logarithm."""
        if RNA not in self.spec.features:
            msg = f"The model has no RNA, only {list(self.spec.modalities)}."
            raise ValueError(msg)
        return float(self.module.rna.target_sum)
