"""The logger's handler, and the root logger that other packages would set up."""

from __future__ import annotations

import logging
import sys
from io import StringIO

import pytest

from scmomer._logging import keep_root, set_up_logging


@pytest.fixture
def bare(monkeypatch) -> logging.Logger:
    """The package's logger as Python makes it."""
    logger = logging.getLogger("scmomer")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    return logger


def test_it_prints_to_the_standard_error_of_the_moment(bare, monkeypatch):
    set_up_logging()
    monkeypatch.setattr(sys, "stderr", StringIO())
    bare.info("%d cells", 3)
    assert sys.stderr.getvalue() == "scmomer: 3 cells\n"
    set_up_logging()
    assert len(bare.handlers) == 1 and not bare.propagate


def test_handlers_of_the_application_stay_alone(bare):
    own = logging.NullHandler()
    bare.addHandler(own)
    set_up_logging()
    assert bare.handlers == [own] and bare.propagate


def test_a_message_that_cannot_be_written_stops_nothing(bare, monkeypatch, capsys):
    set_up_logging()
    bare.info("%d cells", "three")
    assert "three" in capsys.readouterr().err  # as Python reports it


def test_the_root_logger_gets_no_handler(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    with keep_root():
        logging.info("of another package")
    assert root.handlers == []
    logging.info("of another package")
    assert root.handlers  # what would have happened
