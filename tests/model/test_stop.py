"""SIGTERM ends a training and the process; what is finished stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

import scmomer
from scmomer.model import _training

STAGES = ("rna", "atac", "fusion", "bridge")


def send() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Send(pl.Callback):
    """Sends SIGTERM in a stage; what comes after it in the batch must not run."""

    def __init__(self, stage: str, how=send) -> None:
        self.stage, self.how, self.went_on = stage, how, False

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        if pl_module.stage == self.stage:
            self.how()
            self.went_on = True


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Each test leaves the handlers that it found."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(name) for name in names]
    yield
    after = [signal.getsignal(name) for name in names]
    for name, handler in zip(names, before, strict=True):
        signal.signal(name, handler)
    assert after == before


def weights(model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.module.state_dict().items()}


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("stage", ["rna", "fusion"])
def test_finished_stages_stay_and_training_goes_on(
    trained, make_mdata, make_model, train, seed, stage, capsys, caplog
):
    finished = STAGES[: STAGES.index(stage)]
    callback = Send(stage)
    with seed(0):
        model = make_model(make_mdata(), {"batch_key": "batch", "labels_key": "cell_type"})
        with pytest.raises(SystemExit) as caught:
            train(model, max_epochs=2, callbacks=[callback])
        assert caught.value.code == 143 and not callback.went_on
        assert model.stages_ == tuple(model.history) == finished
        assert model.is_trained_ == bool(finished) and not model.module.training
        assert f"SIGTERM in stage {stage!r}" in caplog.text and "resume=True" in caplog.text
        train(model, max_epochs=2, resume=True)
    assert "Exception raised" not in capsys.readouterr().out
    assert model.stages_ == STAGES and equal(weights(model), weights(trained))


@pytest.mark.parametrize("name", ["run_before", "run_after", "seed_stage"])
def test_between_the_networks_it_is_the_same(make_model, train, mdata, monkeypatch, name):
    model = make_model(mdata)
    stages = [] if name == "seed_stage" else ["rna", "atac", "fusion"]
    if stages:
        train(model, stages=stages)
    before = weights(model)
    monkeypatch.setattr(_training, name, lambda *args, **kwargs: send())
    with pytest.raises(SystemExit) as caught:
        train(model, resume=True)
    assert caught.value.code == 143 and list(model.stages_) == stages
    if stages:
        assert equal(weights(model), before)


def test_a_second_training_keeps_the_first(make_model, train, mdata):
    model = make_model(mdata)
    train(model)
    before, history = weights(model), {k: v.copy() for k, v in model.history.items()}
    with pytest.raises(SystemExit):
        train(model, max_epochs=3, callbacks=[Send("rna")])
    assert model.stages_ == STAGES and equal(weights(model), before)
    assert all(model.history[stage].equals(table) for stage, table in history.items())


def test_pretrain_ends_too(make_model, mdata):
    model = make_model(mdata)
    with pytest.raises(SystemExit) as caught:
        model.pretrain(
            mdata["rna"], max_epochs=2, enable_progress_bar=False, callbacks=[Send("rna")]
        )
    assert caught.value.code == 143 and model.stages_ == ()


def test_while_things_are_put_in_order_it_waits(make_model, train, mdata, monkeypatch):
    """It comes during the answer to Ctrl-C: that one is finished, and the process ends."""
    model, load = make_model(mdata), torch.nn.Module.load_state_dict
    train(model, stages=["rna"])
    before = weights(model)

    def load_state_dict(*args, **kwargs):
        send()
        return load(*args, **kwargs)

    def press() -> None:
        monkeypatch.setattr(torch.nn.Module, "load_state_dict", load_state_dict)
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        train(model, resume=True, callbacks=[Send("atac", press)])
    assert caught.value.code == 143 and model.stages_ == ("rna",) and not model.module.training
    assert equal(weights(model), before)


class Lost:
    """Sends the signal where Python drops what its handler raises."""

    def __del__(self) -> None:
        send()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_answer_that_is_lost_is_given_again(make_model, train, mdata):
    model = make_model(mdata)
    with pytest.raises(SystemExit) as caught:
        train(model, callbacks=[Send("fusion", Lost)])
    assert caught.value.code == 143 and model.stages_ == ("rna", "atac")


def test_a_handler_of_the_user_is_called_first(make_model, train, mdata):
    calls = []
    before = signal.signal(signal.SIGTERM, lambda *args: calls.append(args))
    try:
        with pytest.raises(SystemExit) as caught:
            train(make_model(mdata), callbacks=[Send("rna")])
        assert len(calls) == 1 and caught.value.code == 143
        signal.signal(signal.SIGTERM, lambda *args: sys.exit(5))
        model = make_model(mdata)
        with pytest.raises(SystemExit) as caught:
            train(model, callbacks=[Send("atac")])
        assert caught.value.code == 5 and model.stages_ == ("rna",)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_exit_of_a_callback_is_no_interruption(make_model, train, mdata):
    model = make_model(mdata)
    with pytest.raises(SystemExit) as caught:
        train(model, callbacks=[Send("atac", lambda: sys.exit(3))])
    assert caught.value.code == 3 and model.stages_ == ("rna",)


def test_an_error_is_raised_as_it_is_and_leaves_no_trace(make_model, train, mdata, capsys):
    model = make_model(mdata)
    train(model)
    before = weights(model)

    def fail() -> None:
        raise ZeroDivisionError("of the user")

    with pytest.raises(ZeroDivisionError, match="of the user"):
        train(model, max_epochs=3, callbacks=[Send("rna", fail)])
    assert capsys.readouterr().out == "" and equal(weights(model), before)
    assert "fit" not in vars(model.trainer)


def test_other_threads_train_as_before(make_model, train, mdata):
    model = make_model(mdata)
    thread = threading.Thread(target=train, args=(model,))
    thread.start()
    thread.join()
    assert model.stages_ == STAGES


def resumed(path, data) -> scmomer.SCMOMER:
    """A model that another process left behind, with its data."""
    model = scmomer.load(path)
    registered = scmomer.SCMOMER(data, size="small")
    model._adata, model._adata_manager = registered.adata, registered.adata_manager
    return model


@pytest.mark.parametrize("seeded", [False, True])
def test_another_process_goes_on_with_the_same_split(
    make_model, make_mdata, train, tmp_path, seed, seeded
):
    with seed(0 if seeded else None):
        data = make_mdata()
        model = make_model(data)
        with pytest.raises(SystemExit):
            train(model, train_size=0.6, validation_size=0.2, callbacks=[Send("fusion")])
        model.save(tmp_path / "model")
        again = resumed(tmp_path / "model", data)
        names = ("baseline", "library_mean", "depth_std")
        statistics = {k: v for k, v in weights(again).items() if k.endswith(names)}
        assert len(statistics) == 6 and again._is_warm
        train(again, resume=True)
        train(model, resume=True)
    assert again.stages_ == STAGES and len(again.validation_indices) == 24
    for part in ("train_indices", "validation_indices", "test_indices"):
        assert (getattr(again, part) == getattr(model, part)).all()
    assert equal({k: weights(again)[k] for k in statistics}, statistics)
    if seeded:
        assert equal(weights(again), weights(model))


SCRIPT = """
import sys
import lightning.pytorch as pl
import scmomer

class Announce(pl.Callback):
    def on_train_batch_start(self, trainer, pl_module, *args):
        if trainer.global_step == 0:
            print("in", pl_module.stage, flush=True)

mdata = scmomer.datasets.synthetic(n_cells=120, n_genes=60, n_peaks=200)
scmomer.pp.setup_mudata(mdata)
model = scmomer.SCMOMER(
    mdata, size="small", n_latent=8, rna_encoder="mlp", atac_encoder="mlp", bridge_hidden=16
)
epochs = {**dict.fromkeys(("rna", "atac", "fusion", "bridge"), 1), sys.argv[2]: 100_000}
try:
    model.train(epochs, early_stopping=False, enable_progress_bar=False, callbacks=[Announce()])
    print("went on")
finally:
    print("stages", *model.stages_)
    model.save(sys.argv[1])
print("went on")
"""


@pytest.mark.parametrize("stage", ["rna", "fusion"])
def test_a_script_does_not_go_on(tmp_path, stage):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model"), stage]
    environment = {**os.environ, "PYTHONPATH": str(Path(scmomer.__file__).parents[1])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.split() == ["in", stage]:
                process.terminate()
                break
        out, errors = process.communicate(timeout=60)
    finished = STAGES[: STAGES.index(stage)]
    assert process.returncode == 143, errors
    assert out.split() == ["stages", *finished]
    assert "NameError" not in errors and "Traceback" not in errors
    assert errors.count("Training was ended by SIGTERM") == 1
    assert scmomer.load(tmp_path / "model").stages_ == finished
