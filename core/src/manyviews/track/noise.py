"""Quiet around MLflow (3.17): what it says of its own affairs, which no user can mend."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

_WARNINGS = (
    ".*`noload`",  # its sqlite store on SQLAlchemy 2.1, at the first import
    ".*inferred as AnyType",  # the import of its models, of its own type hints
    ".*Operation with range is deprecated",  # its input examples on pandas 3
    ".*integer column",  # its signatures, a hint at missing values in whole numbers
)
_LOGGERS = (
    "mlflow.store.db.utils",  # "Creating initial MLflow database tables..."
    "mlflow.pyfunc",  # "Validating input example against model signature"
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without those warnings, and from those loggers warnings and errors only."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in _WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
