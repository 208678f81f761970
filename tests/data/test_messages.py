"""Where warnings point to."""

from __future__ import annotations

import functools
import inspect

import pytest
from scvi import settings

from scmomer.data import warn


@pytest.fixture
def stacklevel(monkeypatch):
    return functools.partial(monkeypatch.setattr, settings, "warnings_stacklevel")


def in_the_package(function):
    """Return a function that runs `function` in a module of the package, through one of another."""
    code = "def outer(f): return middle(lambda: inner(f))\ndef inner(f): return f()"
    elsewhere: dict = {"__name__": "torch.utils"}
    exec("def middle(f): return f()", elsewhere)
    inside = {"__name__": "scmomer.tasks", "middle": elsewhere["middle"]}
    exec(code, inside)
    return functools.partial(inside["outer"], function)


def test_a_warning_points_at_the_line_that_called_the_package():
    with pytest.warns(UserWarning, match="some text") as caught:
        in_the_package(functools.partial(warn, "some text"))()
        line = inspect.currentframe().f_lineno - 1
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


def test_settings_of_scvi_tools_count_from_there(stacklevel):
    def function():
        in_the_package(functools.partial(warn, "some text"))()

    stacklevel(3)
    with pytest.warns(UserWarning, match="some text") as caught:
        function()
        line = inspect.currentframe().f_lineno - 1
    assert caught[0].lineno == line
    stacklevel(1)
    with pytest.warns(UserWarning, match="some text") as caught:
        function()
    assert caught[0].filename == "<string>"
