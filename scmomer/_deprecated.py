"""Arguments under their former names, for one release."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take arguments under former names, with a warning: ``former="present"``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        present = inspect.signature(function).parameters
        if missing := sorted(set(names.values()) - set(present)):
            msg = f"Expected arguments of {function.__qualname__}, found {missing}."
            raise TypeError(msg)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            for former in names.keys() & kwargs.keys():
                name = names[former]
                if name in kwargs:
                    msg = (
                        f"Expected {name}= or {former}=, its former name, found both. Use {name}=."
                    )
                    raise TypeError(msg)
                warn_renamed(f"{former}=", f"{name}=")
                kwargs[name] = kwargs.pop(former)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def warn_renamed(former: str, name: str, stacklevel: int = 3) -> None:
    """Warn that `former` is now called `name`."""
    warnings.warn(
        f"{former} is now called {name}. The former name works until the next release.",
        FutureWarning,
        stacklevel=stacklevel,
    )
