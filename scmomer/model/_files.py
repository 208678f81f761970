"""``SCMOMER.save`` and ``load``: model folders, and data for a model that was loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.model.base import BaseModelClass

from scmomer.data import examples
from scmomer.model._init_from import registered_features
from scmomer.model._io import (
    ModelFile,
    damage_message,
    load_weights,
    make_ready,
    read_model,
    write_model,
)
from scmomer.model._registration import read_spec
from scmomer.module import MODALITY_TYPES, Encoder

if TYPE_CHECKING:
    from scmomer.data import ModelSpec, SplitRecord
    from scmomer.module import ModuleConfig


class FilesMixin(BaseModelClass):
    """A model in a folder."""

    spec: ModelSpec
    config: ModuleConfig
    stages_: tuple[str, ...]
    origin_: dict[str, Any] | None
    _split: SplitRecord | None

    if TYPE_CHECKING:

        @classmethod
        def _from_spec(
            cls, spec: ModelSpec, config: ModuleConfig, encoders: Mapping[str, Encoder]
        ) -> Self: ...

        @classmethod
        def setup_mudata(cls, mdata: MuData, **kwargs: Any) -> None: ...

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder.

        Parameters
        ----------
        path
            The folder, for example ``"cortex.scmomer"``.
        overwrite
            Replace an existing model folder; anything else is never replaced.

        Raises
        ------
        FileExistsError
            If the folder exists and `overwrite` is false, or it is not a model folder.
        """
        file = ModelFile(
            self.id,
            self.spec,
            self.config,
            self.stages_,
            self._split,
            self.history or {},
            self.module.state_dict(),
            self.origin_,
        )
        write_model(file, Path(path).expanduser(), overwrite)

    @classmethod
    def load(
        cls,
        path: str | Path,
        adata: AnnData | MuData | None = None,
        *,
        encoders: Mapping[str, Encoder] = MappingProxyType({}),
        accelerator: str = "auto",
        device: int | str = "auto",
    ) -> Self:
        """Load a model folder; the same as :func:`scmomer.load`."""
        path = Path(path).expanduser()
        file = read_model(path)
        own = {m for m, c in file.config.modalities.items() if c.encoder == "custom"}
        if missing := sorted(own - encoders.keys()):
            msg = (
                f"The model was trained with an encoder of your own for {missing}. Pass one "
                "of that "
                f"kind: scmomer.load(path, encoders={{{missing[0]!r}: MyEncoder()}})."
            )
            raise TypeError(msg)
        try:
            model = cls._from_spec(file.spec, file.config, encoders)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(damage_message(path, error)) from error
        model.id, model.stages_, model.history_ = file.model_id, file.stages, file.history
        model._split, model.origin_ = file.split, file.origin
        load_weights(model.module, file.tensors, path)
        if adata is not None:
            model._attach(adata)
        make_ready(model, accelerator, device)
        return model

    def _attach(self, data: AnnData | MuData) -> None:
        """Register data if necessary, and store them as the model's training data.

        Raises
        ------
        ValueError
            If the data lack a modality of the model.
        """
        if type(self)._get_most_recent_anndata_manager(data) is None:
            keys = {
                "batch_key": self.spec.batch_key,
                "labels_key": self.spec.labels_key,
                "profile": self.spec.profile,
            }
            if isinstance(data, MuData):
                layers = {f"{m}_layer": layer for m, layer in self.spec.layers.items()}
                known = {m: k for m, k in self.spec.modality_keys.items() if k in data.mod}
                self.setup_mudata(data, modalities=known, **layers, **keys)  # type: ignore[arg-type]
            else:
                modality = next(iter(self.spec.layers))  # that the training data had
                layer = self.spec.layers[modality]
                self.setup_anndata(data, modality=modality, layer=layer, **keys)  # type: ignore[arg-type]
        manager = self._get_most_recent_anndata_manager(data, required=True)
        found = read_spec(data, manager.registry["setup_args"])
        self._check_fits(found)
        self._adata, self._adata_manager = data, manager
        self._register_manager_for_instance(manager)
        self.registry_ = manager.registry

    def _check_fits(self, found: ModelSpec) -> None:
        """Raise if registered data lack modalities or features of the model."""
        for modality, names in registered_features(self.spec).items():
            there = found.features.get(modality, pd.Index([]))
            if not names.isin(there).all():
                missing = names[~names.isin(there)]
                msg = (
                    f"Expected data with all {len(names)} "
                    f"{MODALITY_TYPES[modality].feature_name} of the model to "
                    f"load it with, found {len(missing)} missing, such as "
                    f"{examples(missing)}. Load "
                    "the model without data, and pass the data to its methods, where missing "
                    "features count as zero."
                )
                raise ValueError(msg)
