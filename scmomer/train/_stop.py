"""What ends a training early: Ctrl-C, which returns, and SIGTERM, which ends the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from scvi import settings
from scvi.train import TrainRunner


class Interrupted(Exception):
    """Training was interrupted by the user within a stage."""


class Terminated(SystemExit):
    """The process received SIGTERM; the exit code is the usual one of shells."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class Sigterm:
    """The handler of SIGTERM while a model is trained: ends the process, once, by an exception.

    Parameters
    ----------
    before
        What the process had: called first, if it can be.
    """

    def __init__(self, before: Any = None):
        self._before = before
        self._waits = False
        self.received = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Answer the signal."""
        if callable(self._before):
            self._before(signum, frame)
        again, self.received = self.received, True
        if not again and not self._waits:
            raise Terminated

    def wait(self) -> None:
        """Raise nothing from now on: what is being put in order must not be cut short."""
        self._waits = True

    def check(self) -> None:
        """Raise if the signal came: Python drops what a handler raises within a destructor."""
        if self.received:
            raise Terminated


@contextmanager
def ends_on_sigterm() -> Iterator[Sigterm]:
    """Let SIGTERM raise :class:`Terminated` in the block, or at its end.

    By default the signal ends a process on the spot, and Lightning's own answer to it comes late.
    In other threads than the main one nothing changes: only that one can have handlers. Neither
    where the signal is ignored.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before in (
        None,  # set by C code: could not be put back
        signal.SIG_IGN,
    ):
        yield Sigterm()
        return
    handler = Sigterm(before)
    signal.signal(signal.SIGTERM, handler)
    try:
        yield handler
    finally:
        signal.signal(signal.SIGTERM, before)
        handler.check()


@contextmanager
def own_stops() -> Iterator[None]:
    """Turn Lightning's answers to Ctrl-C and to SIGTERM, both exits, into those of this module."""
    before: Callable | int | None = None
    try:
        before = signal.getsignal(signal.SIGINT)
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted from stop
    except SIGTERMException as stop:
        raise Terminated from stop
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning's exit after Ctrl-C
            raise Interrupted from stop
        raise
    finally:
        try:
            signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored
        except (ValueError, TypeError):  # not in the main thread: nothing was changed
            pass


def run_quietly(runner: TrainRunner) -> None:
    """Call a runner; an error of its training is raised without the line that it prints."""
    if settings.mlflow_set_tracking_uri:  # then it also notes which runs failed
        runner()
        return
    fit, model = runner.trainer.fit, runner.model
    before = getattr(model, "trainer", None)
    raised: list[BaseException] = []

    def keep_error(*args: Any, **kwargs: Any) -> None:
        try:
            fit(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised below
            raised.append(error)

    runner.trainer.fit = keep_error
    try:
        runner()
    finally:
        del runner.trainer.fit
        if raised:
            model.trainer = before  # of the last training that reached its end
            raise raised[0]
