"""``SCMOMER.train``: the stages in order, resumable, interruptible."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import settings

from scmomer.data import Cells, Split, SplitRecord
from scmomer.model._current_model import set_current
from scmomer.model._init_from import note_trained, part_of
from scmomer.module import frozen_parameters, has_point, part_names
from scmomer.train import (
    Interrupted,
    RunOptions,
    StageProgress,
    Terminated,
    builds_on,
    clone_state,
    configure,
    ends_on_sigterm,
    has_cells,
    held,
    init_from_data,
    invalidated_stages,
    n_steps,
    possible_stages,
    run_after,
    run_before,
    run_stage,
    seed_stage,
    stage_cells,
    tokens_per_cell,
)

if TYPE_CHECKING:
    from torch.nn import Parameter

    from scmomer.data import ModelSpec
    from scmomer.module import ModuleConfig, SCMOMERModule, StageConfig

logger = logging.getLogger(__name__)
_FROZEN = "what it trains is frozen"
_PAST = "the encoder was copied, and decoders read fused embeddings"


class TrainingMixin:
    """The three stages of pretraining on the registered data."""

    module: SCMOMERModule
    config: ModuleConfig
    spec: ModelSpec
    stages_: tuple[str, ...]
    history_: dict[str, pd.DataFrame] | None
    origin_: dict[str, Any] | None
    is_trained_: bool
    _is_warm = False
    _split: SplitRecord | None = None

    if TYPE_CHECKING:

        def _training_cells(self) -> Cells: ...

    def train(
        self,
        max_epochs: int | dict[str, int] | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int | dict[str, int] | None = None,
        early_stopping: bool = True,
        stages: Sequence[str] | None = None,
        freeze: str | Sequence[str] | None = None,
        resume: bool = False,
        enable_progress_bar: bool = True,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train stage 1 (each encoder alone), 2 (fusion) and 3 (bridges) on the registered data.

        Each stage uses every cell that has what it needs: stage 1 all cells of a modality, stage 2
        those with at least two, stage 3 these and the cells with RNA alone. A stage ends with the
        weights of the epoch that had the lowest validation loss. With :attr:`scvi.settings.seed`
        set, a run repeats exactly on the CPU.

        Parameters
        ----------
        max_epochs
            Epochs of every stage, or of some: ``{"rna": 5, "fusion": 10}``. The default gives small
            data more of them, so that each stage has some hundred steps. Stages are
            ``"rna"``, ``"atac"``, ``"protein"``, ``"fusion"`` and ``"bridge"``; the defaults are in
            ``model.config.stages``.
        accelerator, devices
            As in scvi-tools: ``"auto"`` takes a GPU if there is one.
        train_size
            Share of the cells to train on, default 0.95.
        validation_size
            Share of the cells for early stopping, default the rest.
        shuffle_set_split
            Draw the split at random; otherwise validation cells are the first ones.
        batch_size
            Cells in a minibatch, for every stage or for some, as `max_epochs`. The default is
            in ``model.config.stages``, less on a CPU where cells express thousands of genes. On a
            CUDA device it is up to four times that for large data, see Notes; a minibatch that does
            not fit into memory is computed in parts with accumulated gradients.
        early_stopping
            End a stage when its validation loss has not improved for some epochs (``patience``
            of ``model.config.stages``).
        stages
            Run only these stages, in the usual order. Stages that build on one of them count as
            unfinished then: ``train(resume=True)`` runs these.
        freeze
            What training leaves as it is: ``"encoders"``, ``"none"``, ``"all_but_last"``
            (of the encoders all but the last third of the blocks, the final norms and what reads
            them, as published), or names of parts, such as ``("rna_encoder", "fusion")``; parts are
            the encoders, ``"fusion"``, ``"bridges"`` and ``"decoders"``. Default: the encoders
            that were copied with ``init_from``, in models of several modalities; otherwise
            nothing. What was copied and is not frozen moves at a tenth of the learning rate,
            except with ``"none"``: for pretraining that goes on. Stages without anything left to
            train are skipped and named in the log. A stage keeps the weights that it began with if
            the validation loss does not fall.
        resume
            Go on after an interruption: skip stages that are finished.
        enable_progress_bar
            Show one progress bar for all stages.
        plan_kwargs
            Replace ``lr``, ``weight_decay``, ``patience`` or ``warmup`` of every stage.
        trainer_kwargs
            Passed to :class:`scvi.train.Trainer`, for example ``precision`` or ``callbacks``;
            ``early_stopping_patience`` and ``early_stopping_min_delta`` hold for every stage.
            ``precision`` is ``"bf16-mixed"`` by default on CUDA devices of compute capability 8 or
            more: matrix products in bfloat16, weights and sums in float32. ``"32-true"`` turns it
            off. Embedding and translation stay in float32, unless called within
            ``torch.autocast("cuda", torch.bfloat16)``: then they differ by up to 2 % of their
            standard deviation (root mean square).

        Raises
        ------
        ValueError
            If a stage is unknown or not possible with the registered modalities; if `freeze` leaves
            nothing to train; if a stage builds on one that the model in ``init_from`` never had; if
            `precision` has 16 bits on a CPU.
        RuntimeError
            If the model was loaded without data.
        torch.OutOfMemoryError
            If two cells do not fit into the memory of the GPU.
        SystemExit
            On SIGTERM.

        Notes
        -----
        The progress bar shows the loss of the validation cells and the best so far, which is that
        of the weights to be kept. Each stage has a loss of its own, so numbers of different
        stages are not comparable. Stage 1: how well hidden genes, peaks or proteins are
        guessed (by transformers), plus the error of the whole profile. Stage 2: the errors of the
        profiles rebuilt from the fused embedding, plus telling real pairs from false ones. Stage 3:
        the errors of the profiles translated from each modality, over all heads, plus the distance
        to the embeddings of what was measured. The error of a profile is 1 for the mean cell.

        On a CUDA device, stages 1 and 2 take up to four times as many cells in a step (at most about a
        million tokens) where more than four times ``min_steps`` of ``model.config.stages`` remain;
        the learning rate grows with the square root of that factor, because the noise of the
        gradient falls with it. `batch_size` or ``plan_kwargs={"lr": ...}`` turns this off. The log
        says what a step holds and needs. If memory runs out, a warning says so and the stage begins
        again with half as many cells at a time.

        Ctrl-C ends training with a warning; stages finished before it are kept and can be used,
        and ``model.train(resume=True)`` continues with the others. SIGTERM, by which clusters and
        ``timeout`` end a process, keeps them likewise and then raises ``SystemExit(143)``, so that
        ``finally:`` blocks run and a script ends there.
        """
        learned = () if freeze == "none" else tuple(self._learned().values())
        options = RunOptions(accelerator, devices, early_stopping, trainer_kwargs, learned)
        cells = self._training_cells()
        frozen = self._frozen(freeze)
        wanted = self._wanted_stages(stages, max_epochs, batch_size)
        wanted = self._useful_stages(wanted, stages is not None, cells, frozen)
        done = self._done_here() if resume else ()
        record = SplitRecord.new(train_size, validation_size, shuffle_set_split)
        if done and self._split is not None:
            record = self._split  # an unseeded draw would differ
        split = record.draw(cells.n_cells)
        self._split = record
        n_tokens = tokens_per_cell(self.module, cells)
        configs = {
            stage: configure(
                self.config.stages[stage],
                stage,
                max_epochs=max_epochs,
                batch_size=batch_size,
                plan_kwargs=plan_kwargs,
                n_tokens=n_tokens,
                n_cells=len(
                    stage_cells(stage, cells, split, self.config.bridge.use_unpaired_rna)[0]
                ),
                on_gpu=options.on_gpu,
            )
            for stage in wanted
            if stage not in done
        }
        self._start_warm(cells, split[0])
        with held(frozen):
            self._run(cells, split, configs, options, enable_progress_bar)
        self.origin_ = note_trained(self.origin_, self.module, configs, frozen)
        self.train_indices_, self.validation_indices_, self.test_indices_ = split
        set_current(self)  # type: ignore[arg-type]

    def _start_warm(self, cells: Cells, train: np.ndarray) -> None:
        """Set statistics and start values from the registered training cells, once."""
        if not self._is_warm:
            init_from_data(self.module, cells, train)
            self._is_warm = True

    def _wanted_stages(self, stages: Sequence[str] | None, *per_stage: Any) -> list[str]:
        possible = possible_stages(self.module)
        if isinstance(stages, str):
            msg = f"Expected stages as a list, found {stages!r}. Write [{stages!r}]."
            raise ValueError(msg)
        named = [*(stages or ()), *(s for d in per_stage if isinstance(d, dict) for s in d)]
        if unknown := sorted(set(named) - set(possible)):
            msg = f"Expected stages among {list(possible)}, found {unknown}."
            raise ValueError(msg)
        return [s for s in possible if stages is None or s in stages]

    @property
    def _began_with_model(self) -> bool:
        """Whether ``init_from`` gave the start values."""
        return "copied" in (self.origin_ or {})

    def _frozen(self, freeze: str | Sequence[str] | None) -> list[Parameter]:
        """Return what to freeze: with a model to begin with, by default its encoders.

        A single encoder is all that there is to train.
        """
        if freeze is not None:
            return frozen_parameters(self.module, freeze)
        if not self.module.paired:
            return []
        return [p for name, p in self._learned().items() if part_of(name).endswith("encoder")]

    def _learned(self) -> dict[str, Parameter]:
        """Return the parameters that were copied, by name."""
        record = self.origin_ or {}
        known, new = record.get("copied", ()), record.get("new_tensors", ())
        every = self.module.named_parameters()
        return {name: p for name, p in every if part_of(name) in known and name not in new}

    def _done_here(self) -> tuple[str, ...]:
        """Return the stages that were finished on the registered data."""
        if not self._began_with_model:
            return self.stages_
        return tuple(s for s in self.stages_ if s in (self.history_ or {}))

    def _useful_stages(
        self, wanted: list[str], named: bool, cells: Cells, frozen: list[Parameter]
    ) -> list[str]:
        """Return the stages that have cells and something to train; log those that have not.

        Raises
        ------
        ValueError
            If none is left, or a stage lacks one that it builds on.
        """
        skipped = {}
        for stage in wanted:
            if not has_cells(stage, cells, self.config.bridge.use_unpaired_rna):
                skipped[stage] = "the data have no cells for it"
            elif not has_point(self.module, stage, frozen):
                skipped[stage] = _FROZEN
            elif not named and self._began_with_model and self._is_past(stage):
                skipped[stage] = _PAST
        left = [s for s in wanted if s not in skipped]
        if wanted and not left:
            reasons = "; ".join(f"{s!r}: {why}" for s, why in skipped.items())
            past = [s for s, why in skipped.items() if why == _PAST]
            remedy = "Register data with the modalities that these stages need"
            if _FROZEN in skipped.values():
                remedy = "Freeze less, for example freeze='none'"
            elif past:
                remedy = (
                    f"Name what to train all the same, stages={past}; what follows is undone then"
                )
            msg = f"Expected a stage to train, found none: {reasons}. {remedy}."
            raise ValueError(msg)
        if self._began_with_model:
            self._check_foundations(left, [s for s, why in skipped.items() if why == _FROZEN])
        for stage, why in skipped.items():
            logger.info("Stage %r is skipped: %s.", stage, why)
        return left

    def _is_past(self, stage: str) -> bool:
        """Return whether stage 1 of an encoder would only disturb what was fused with it."""
        return stage in self.spec.features and {stage, "fusion"} <= {*self.stages_}

    def _check_foundations(self, wanted: list[str], frozen: list[str]) -> None:
        """Raise if a stage builds on one that neither the source nor this call trains."""
        known = {*self.stages_, *wanted}
        for stage in wanted:
            missing = [s for s in builds_on(stage, self.module) if s not in known]
            if still := [s for s in missing if s in frozen]:
                msg = (
                    f"Expected trained parts in freeze=, found the encoder of {still[0]!r}, which "
                    "was not copied and is new. Leave freeze= out, or name parts in it: "
                    f"{part_names(self.module)}."
                )
                raise ValueError(msg)
            if missing:
                msg = (
                    f"Expected a model with stages {missing} in init_from= to train {stage!r}, "
                    f"found one with {list(self.stages_)}. Train them too: "
                    f"stages={[*missing, *wanted]}."
                )
                raise ValueError(msg)

    def _run(
        self,
        cells: Cells,
        split: Split,
        configs: dict[str, StageConfig],
        options: RunOptions,
        show: bool,
        again: str = "model.train(resume=True)",
    ) -> None:
        steps = {
            stage: n_steps(stage, cells, split, config, self.config.bridge.use_unpaired_rna)
            for stage, config in configs.items()
        }
        progress = StageProgress(steps, enabled=show)
        outdated = invalidated_stages(configs)
        # Stages, their history and the weights change together, so that they fit at any moment.
        kept = self.stages_, dict(self.history_ or {}), clone_state(self.module)
        stage = ""
        with ends_on_sigterm() as sigterm:
            try:
                for stage, config in configs.items():
                    progress.start(stage)
                    table = self._run_stage(cells, split, stage, config, progress, options)
                    progress.finish(stage)
                    sigterm.check()
                    done = {*kept[0]} - outdated | {stage}
                    outdated = set()
                    kept = (
                        self._in_order(done),
                        {**kept[1], stage: table},
                        clone_state(self.module),
                    )
            except BaseException as stop:
                sigterm.wait()
                self.module.load_state_dict(kept[2])
                message = (
                    f"in stage {stage!r}. Finished stages are kept: {list(kept[0]) or 'none'}. "
                    f"Call {again} to go on."
                )
                if sigterm.received or isinstance(stop, Terminated):
                    logger.warning("Training was ended by SIGTERM %s", message)
                    raise Terminated from stop
                if not isinstance(stop, Interrupted | KeyboardInterrupt):
                    raise
                warnings.warn(
                    f"Training was interrupted {message}",
                    UserWarning,
                    stacklevel=settings.warnings_stacklevel,
                )
            finally:
                sigterm.wait()
                progress.close()
                self.stages_, self.history_, _ = kept
                self.is_trained_ = bool(self.stages_)
                self.module.eval()

    def _in_order(self, stages: set[str]) -> tuple[str, ...]:
        return tuple(s for s in possible_stages(self.module) if s in stages)

    def _run_stage(
        self,
        cells: Cells,
        split: Split,
        stage: str,
        config: StageConfig,
        progress: StageProgress,
        options: RunOptions,
    ) -> pd.DataFrame:
        """Train one stage with the fits that belong to it; return its history."""
        seed_stage(stage)
        seed = settings.seed or 0
        run_before(stage, self.module, cells, split, seed, anew=stage not in self.stages_)
        table = run_stage(
            self, cells, split, stage, config, progress, options, improve=self._began_with_model
        )
        run_after(stage, self.module, cells, split, seed)
        return table
