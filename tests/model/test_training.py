"""Training: stages, history, repeats, interruptions, every encoder, any registered data."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import lightning.pytorch as pl
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scmomer
from scmomer.data import SparseDataSplitter
from scmomer.train._objectives import stage_loss

STAGES = ("rna", "atac", "fusion", "bridge")


class Record(pl.Callback):
    """Notes what each stage does."""

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.cells: dict[str, list[int]] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.cells.setdefault(pl_module.stage, []).append(batch.n_cells)
        self.epochs[pl_module.stage] = trainer.current_epoch + 1


class Interrupt(pl.Callback):
    """Presses Ctrl-C in a stage."""

    def __init__(self, stage: str, press) -> None:
        self.stage, self.press = stage, press

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        if pl_module.stage == self.stage and trainer.current_epoch == 1:
            self.press()


def raise_interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def listens_to_ctrl_c() -> Iterator[None]:
    """A shell's background job is started with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send_signal() -> None:
    signal.raise_signal(signal.SIGINT)


def weights(model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.module.state_dict().items()}


def equal(one, other) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


# -- stages and history


def test_stages_and_their_history(trained):
    assert trained.stages_ == STAGES and trained.is_trained_ and not trained.module.training
    assert list(trained.history) == list(STAGES)
    for table in trained.history.values():
        assert table.index.tolist() == [0, 1] and table.index.name == "epoch"
        assert {"train_loss", "validation_loss"} <= set(table.columns)
        assert np.isfinite(table[["train_loss", "validation_loss"]]).all(axis=None)
    assert "pair_matching_train" in trained.history["fusion"].columns


def test_the_split_covers_all_cells_once(trained):
    parts = trained.train_indices_, trained.validation_indices_, trained.test_indices_
    assert sorted(np.concatenate(parts)) == list(range(120))
    assert [len(part) for part in parts] == [114, 6, 0]


def test_sizes_of_the_split_can_be_chosen(make_model, train, mdata):
    model, record = make_model(mdata), Record()
    train(model, train_size=0.5, validation_size=0.25, callbacks=[record], shuffle_set_split=False)
    assert {stage: sum(sizes) for stage, sizes in record.cells.items()} == dict.fromkeys(STAGES, 60)
    assert model.validation_indices_.tolist() == list(range(30))
    assert model.train_indices_.tolist() == list(range(30, 90))
    assert model.test_indices_.tolist() == list(range(90, 120))


def test_without_validation_cells_the_last_weights_stay(make_model, train, mdata):
    model = make_model(mdata["rna"])
    train(model, train_size=1.0, max_epochs=2)
    assert list(model.history["rna"].index) == [0, 1]
    assert "validation_loss" not in model.history["rna"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [(2, [2, 2, 2, 2]), ({"rna": 1, "atac": 2, "fusion": 3, "bridge": 1}, [1, 2, 3, 1])],
    ids=["int", "dict"],
)
def test_epochs_of_every_stage_or_of_some(make_model, train, mdata, given, expected):
    model, record = make_model(mdata), Record()
    train(model, max_epochs=given, callbacks=[record])
    assert [record.epochs[stage] for stage in STAGES] == expected
    assert [len(model.history[stage]) for stage in STAGES] == expected


def test_the_rest_of_a_dictionary_is_as_configured(make_model, train, mdata):
    model, record = make_model(mdata), Record()
    train(model, max_epochs={"atac": 2}, stages=["rna", "atac"], batch_size=108, callbacks=[record])
    assert record.epochs["atac"] == 2
    least = model.config.stages["rna"].min_steps  # of two batches an epoch
    assert record.epochs["rna"] == -(-least // 2) != 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (50, [50, 50, 50, 50]),
        ({"rna": 20, "atac": 30, "fusion": 54, "bridge": 108}, [20, 30, 54, 108]),
    ],
    ids=["int", "dict"],
)
def test_batch_size_of_every_stage_or_of_some(make_model, train, mdata, given, expected):
    model, record = make_model(mdata), Record()
    train(model, batch_size=given, callbacks=[record])
    assert [max(record.cells[stage]) for stage in STAGES] == expected
    assert all(sum(sizes) == 114 for sizes in record.cells.values())


def test_only_the_stages_asked_for_run(make_model, train, mdata):
    model, record = make_model(mdata), Record()
    train(model, stages=["atac", "rna"], callbacks=[record])
    assert list(record.epochs) == ["rna", "atac"]  # always in order
    assert model.stages_ == ("rna", "atac") and list(model.history) == ["rna", "atac"]


def test_embeddings_are_refined_by_a_trained_bridge_only(make_model, train, mdata):
    model = make_model(mdata)
    train(model, stages=["rna", "atac", "fusion"])
    assert not model.module.refines
    z = [torch.from_numpy(model.get_latent_representation(modality=m)) for m in ("rna", "atac")]
    with torch.no_grad():
        fused = model.module.fusion(*z).numpy()
    np.testing.assert_allclose(model.get_latent_representation(), fused, atol=1e-5)
    train(model, stages=["bridge"])
    assert model.module.refines
    assert np.abs(model.get_latent_representation() - fused).max() > 0.01
    train(model, stages=["fusion"])  # the bridge is out of date
    assert not model.module.refines


def test_a_mosaic_trains_each_stage_on_the_cells_that_fit(make_mdata, make_model, train):
    mosaic = make_mdata(missing={"rna": 0.3, "atac": 0.2})
    model, record = make_model(mosaic), Record()
    train(model, callbacks=[record], train_size=1.0, batch_size=1000)
    has = {name: mosaic.obs_names.isin(adata.obs_names) for name, adata in mosaic.mod.items()}
    paired = int((has["rna"] & has["atac"]).sum())
    cells = {stage: sum(sizes) for stage, sizes in record.cells.items()}
    assert cells == {"rna": 84, "atac": 96, "fusion": paired, "bridge": 84}  # RNA alone, too
    z = model.get_latent_representation()
    assert z.shape == (120, 8) and np.isfinite(z).all()


@pytest.mark.parametrize(
    "wrong",
    [{"stages": ["fuse"]}, {"max_epochs": {"fuse": 1}}, {"batch_size": {"fuse": 8}}],
    ids=str,
)
def test_unknown_stages_are_refused(make_model, mdata, refuses, wrong):
    model = make_model(mdata)
    before = weights(model)
    with refuses(ValueError, str(list(STAGES)), "['fuse']"):
        model.train(**wrong)
    assert equal(weights(model), before)


def test_stages_that_a_modality_lacks_are_refused(make_model, mdata, refuses):
    with refuses(ValueError, "['rna']", "['bridge']"):
        make_model(mdata["rna"]).train(stages=["bridge"])


def test_plan_kwargs_reach_every_stage(make_model, train, mdata):
    """A learning rate of zero trains nothing."""
    model = make_model(mdata, warm_start=False, expression_metric=False)
    before = weights(model)
    train(model, plan_kwargs={"lr": 0.0})
    after = weights(model)
    start_values = (
        "target_sum",
        "gene_weight",
        "baseline",
        "_mean",
        "_std",
        "scale",
        "slope",
        "bias",
    )
    start_values += ("shift", "even_depth", "refines", "depth_heads.atac.weight")
    # Least squares.
    start_values += ("decoders.rna.linear.weight", "bridges.atac.0.rest.3.weight")
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert moved and all(key.endswith(start_values) for key in moved), moved


# -- repeats


def test_a_seeded_run_repeats_exactly(make_mdata, make_model, train, seed):
    results = []
    for value in (3, 3, 4):
        with seed(value):
            mdata = make_mdata()
            torch.rand(value + len(results))  # what was drawn before does not matter
            model = make_model(mdata, {"batch_key": "batch", "labels_key": "cell_type"})
            torch.rand(5 * len(results))
            train(model, max_epochs=2)
            results.append((model.get_latent_representation(), model.history, weights(model)))
    (z, history, state), (z_again, history_again, state_again), (z_other, *_) = results
    assert np.array_equal(z, z_again) and equal(state, state_again)
    assert all(history[stage].equals(history_again[stage]) for stage in STAGES)
    assert np.abs(z - z_other).max() > 1e-3


def test_the_best_weights_are_restored(make_model, train, mdata, seed):
    """A learning rate that overfits at once; the best epoch is not the last one."""
    with seed(0):
        model = make_model(mdata["rna"], rna_encoder="mlp")
        plan = {"lr": 0.05, "patience": 3, "warmup": 0.01}
        train(model, max_epochs=60, batch_size=16, train_size=0.5, plan_kwargs=plan)
    losses = model.history["rna"]["validation_loss"]
    assert len(losses) < 60, "did not stop early"
    assert losses.iloc[-1] > losses.min() + 1e-4, "the last epoch was the best one"
    assert len(losses) - 1 - losses.argmin() == 3  # patience
    assert validation_loss(model, "rna") == pytest.approx(losses.min(), rel=1e-5)


def validation_loss(model, stage: str) -> float:
    """As the plan computes it: the mean over validation cells, with what is hidden fixed."""
    empty = np.array([], int)
    split = model.train_indices_, model.validation_indices_, empty
    data = SparseDataSplitter(model._training_cells(), split, modalities=(stage,), batch_size=16)
    batches = iter(data.val_dataloader())  # draws a number; so before the seed
    torch.manual_seed(0)
    losses, sizes = [], []
    with torch.no_grad():
        for batch in batches:
            losses.append(float(stage_loss(model.module, stage, batch)[0]))
            sizes.append(batch.n_cells)
    return float(np.average(losses, weights=sizes))


def test_early_stopping_can_be_left_out(make_model, train, mdata, seed):
    with seed(0):
        model = make_model(mdata["rna"], rna_encoder="mlp")
        plan = {"lr": 0.2, "patience": 1, "warmup": 0.01}
        options = {"max_epochs": 12, "batch_size": 16, "train_size": 0.5, "plan_kwargs": plan}
        train(model, early_stopping=False, **options)
        assert len(model.history["rna"]) == 12
        train(model, **options)
        assert len(model.history["rna"]) < 12


def test_training_goes_on_from_where_it_was(make_model, train, mdata, seed):
    with seed(0):
        model = make_model(mdata["rna"])
        train(model, max_epochs=3, train_size=0.8)
        first = model.history["rna"]["validation_loss"].min()
        train(model, max_epochs=3, train_size=0.8)
    assert model.history["rna"]["validation_loss"].min() < first


def test_every_stage_trains_in_training_mode(make_model, train, mdata):
    """Otherwise there is no dropout."""
    modes: dict[str, bool] = {}

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, *args) -> None:
            modes[pl_module.stage] = all(part.training for part in pl_module.module.modules())

    train(make_model(mdata), callbacks=[Watch()])
    assert modes == dict.fromkeys(STAGES, True)


# -- Ctrl-C


@pytest.mark.parametrize(
    ("stage", "press"), [*((stage, raise_interrupt) for stage in STAGES), ("fusion", send_signal)]
)
def test_an_interruption_keeps_finished_stages(
    trained, make_mdata, make_model, train, seed, stage, press
):
    """And resumed, it ends as if nothing had happened."""
    options = {"max_epochs": 2}  # as those of `trained`
    handler = signal.getsignal(signal.SIGINT)
    finished = STAGES[: STAGES.index(stage)]
    with seed(0):
        model = make_model(make_mdata(), {"batch_key": "batch", "labels_key": "cell_type"})
        with pytest.warns(UserWarning, match="interrupted") as caught:
            train(model, **options, callbacks=[Interrupt(stage, press)])
        message = next(str(w.message) for w in caught if "interrupted" in str(w.message))
        kept = str(list(finished)) if finished else "none"
        for part in (f"stage {stage!r}", f"kept: {kept}", "train(resume=True)"):
            assert part in message
        assert signal.getsignal(signal.SIGINT) is handler
        assert model.stages_ == finished and model.is_trained_ == bool(finished)
        assert list(model.history) == list(finished) and not model.module.training
        assert all(p.requires_grad for p in model.module.modalities.parameters())
        record = Record()
        train(model, **options, resume=True, callbacks=[record])
    assert list(record.epochs) == list(STAGES[len(finished) :])
    assert model.stages_ == STAGES and list(model.history) == list(STAGES)
    assert equal(weights(model), weights(trained))
    assert np.array_equal(model.get_latent_representation(), trained.get_latent_representation())


def test_an_interruption_leaves_no_trace_of_the_stage(make_model, train, mdata):
    model = make_model(mdata)
    train(model, stages=["rna", "atac"])
    before = weights(model)
    with pytest.warns(UserWarning, match="interrupted"):
        train(model, max_epochs=3, resume=True, callbacks=[Interrupt("fusion", raise_interrupt)])
    assert equal(weights(model), before)


def test_an_interruption_of_a_second_training_keeps_the_first(make_model, train, mdata):
    model = make_model(mdata)
    train(model)
    before, z = weights(model), model.get_latent_representation()
    history = {stage: table.copy() for stage, table in model.history.items()}
    with pytest.warns(UserWarning, match="interrupted"):
        train(model, max_epochs=3, callbacks=[Interrupt("rna", raise_interrupt)])
    assert model.stages_ == STAGES and equal(weights(model), before)
    assert all(model.history[stage].equals(table) for stage, table in history.items())
    assert np.array_equal(model.get_latent_representation(), z)
    # Once a stage was trained again, those that build on it are not finished any more
    with pytest.warns(UserWarning, match=r"kept: \['rna'\]"):
        train(model, max_epochs=3, callbacks=[Interrupt("atac", raise_interrupt)])
    assert model.stages_ == ("rna",)


def test_resuming_a_finished_training_does_nothing(make_model, train, mdata):
    model, record = make_model(mdata), Record()
    train(model)
    before = weights(model)
    train(model, resume=True, callbacks=[record])
    assert not record.epochs and equal(weights(model), before)


class Fail(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        if pl_module.stage == "fusion":
            raise ZeroDivisionError


def test_an_error_keeps_finished_stages_too(make_model, train, mdata):
    model = make_model(mdata)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        train(model, callbacks=[Fail()])
    assert model.stages_ == ("rna", "atac") and list(model.history) == ["rna", "atac"]
    assert signal.getsignal(signal.SIGINT) is handler and not model.module.training
    train(model, resume=True)
    assert model.stages_ == STAGES


def test_the_encoder_of_rna_depends_on_other_modalities():
    """RNA alone: a perceptron, however many genes; with a second modality the Performer."""
    mdata = scmomer.datasets.synthetic(60, 900, 80, seed=0)
    mdata["rna"].X = sp.csr_matrix(
        np.random.default_rng(0).poisson(1.0, (60, 900)), dtype=np.float32
    )
    for data, expected in (
        (mdata["rna"], "mlp"),
        (mdata, "performer"),
        (mdata["rna"][:, :300], "mlp"),
    ):
        copy = data.copy()
        if copy.n_vars == 980:
            scmomer.pp.setup_mudata(copy)
        else:
            scmomer.pp.setup_anndata(copy, modality="rna")
        config = scmomer.SCMOMER(copy).config
        assert config.modalities["rna"].encoder == expected
        assert config.measured_gain is (False if copy.n_vars == 980 else None)
