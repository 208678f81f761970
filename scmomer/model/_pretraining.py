"""``SCMOMER.pretrain``: stage 1 on unregistered cells."""

from __future__ import annotations

from typing import Any

from anndata import AnnData

from scmomer._constants import RNA, Modality
from scmomer.data import Cells, Profile, SplitRecord, read_cells, split_cells
from scmomer.model._registration import check_trainable
from scmomer.model._training import TrainingMixin
from scmomer.train import RunOptions, configure, tokens_per_cell


class PretrainingMixin(TrainingMixin):
    """Stage 1 on further cells."""

    def pretrain(
        self,
        adata: AnnData,
        *,
        modality: Modality | None = None,
        layer: str | None = None,
        profile: Profile | None = None,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        batch_size: int | None = None,
        early_stopping: bool = True,
        enable_progress_bar: bool = True,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train one encoder (stage 1) on unregistered cells, before :meth:`train`.

        Meant for large data of RNA or of ATAC alone. The data are not kept, and statistics such as
        the normalization target remain those of the registered cells. If stages 2 and 3 were
        trained before, they count as unfinished.

        Parameters
        ----------
        adata
            Raw counts of one of the model's modalities, matched by name. Needs no set-up.
        modality
            The modality; None infers it from the feature names. (A gene and a protein can share a
            name.)
        layer
            Layer with the counts; None for that of the training data if present, else ``X``.
        profile
            What the values of RNA are, as in :func:`scmomer.pp.setup_mudata`; None for what they
            are in the registered data. Not ``"zscore"``.
        max_epochs
            Epochs, default those of stage 1.
        accelerator, devices, train_size, validation_size, batch_size, early_stopping
            As in :meth:`train`.
        enable_progress_bar, plan_kwargs, trainer_kwargs
            As in :meth:`train`.

        Raises
        ------
        TypeError
            If `adata` is not an AnnData.
        ValueError
            If the model lacks the modality; if `precision` has 16 bits on a CPU.
        RuntimeError
            If the model was loaded without data.
        """
        if not isinstance(adata, AnnData):
            key = next(iter(self.spec.modality_keys.values()), RNA)
            msg = (
                f"Expected an AnnData of one modality, found {type(adata).__name__}. "
                f"Call pretrain once for each modality, as in model.pretrain(mdata[{key!r}])."
            )
            raise TypeError(msg)
        options = RunOptions(accelerator, devices, early_stopping, trainer_kwargs)
        if not self._is_warm:
            registered = self._training_cells()
            self._split = SplitRecord.new()
            self._start_warm(registered, self._split.draw(registered.n_cells)[0])
        if modality is not None and modality not in self.spec.features:
            msg = (
                f"Expected a modality of the model, {list(self.spec.modalities)}, found "
                f"{modality!r}. A model has the modalities of its training data."
            )
            raise ValueError(msg)
        cells = self._cells_to_pretrain(adata, modality, layer, profile)
        (stage,) = cells.counts
        split = split_cells(cells.n_cells, train_size, validation_size)
        config = configure(
            self.config.stages[stage],
            stage,
            max_epochs=max_epochs,
            batch_size=batch_size,
            plan_kwargs=plan_kwargs,
            n_tokens=tokens_per_cell(self.module, cells),
            n_cells=len(split[0]),
            on_gpu=options.on_gpu,
        )
        again = "model.pretrain"
        self._run(cells, split, {stage: config}, options, enable_progress_bar, again)

    def _cells_to_pretrain(
        self,
        adata: AnnData,
        modality: Modality | None,
        layer: str | None,
        profile: Profile | None,
    ) -> Cells:
        """Return cells of one modality."""
        if profile is not None:
            check_trainable(profile, self.spec.features)
        layers = {} if layer is None else dict.fromkeys(self.spec.features, layer)
        cells = read_cells(adata, self.spec, layers, profile=profile, modality=modality)
        if len(cells.counts) > 1:
            msg = (
                f"Expected an AnnData of one modality, found one of {list(cells.counts)}. Name the "
                f"one to train, as in modality={next(iter(cells.counts))!r}."
            )
            raise ValueError(msg)
        return cells
