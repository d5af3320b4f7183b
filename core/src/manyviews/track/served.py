"""A trained encoder behind MLflow's HTTP port: what it takes, in what form it answers, and how it refuses.

A sample is a row of a table (tables, graphs), or a file: a row with the file's bytes in the column `file` (in JSON as
base64) and, where the kind is not the domain's usual one or the name says something (a date), its name in the column
`name`. A file that is cut into several samples (a long recording, a large scene) is answered by their mean: as many rows
come back as were sent. Only kinds of file are read that name no other files (`Source.served_also`).
"""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from manyviews.engine.load import Trained
from manyviews.errors import UserError
from manyviews.source import FILE, NAME

MOST_ROWS = 10_000
MOST_BYTES = 256 * 2**20
"""Of the files of one request, together."""
MOST_SAMPLES = 10_000
"""That a file is cut into: a compressed one may hold a thousand times its size."""
MOST_LETTERS = 120
"""Of a file's name."""
GZIP = b"\x1f\x8b"


class RequestError(MlflowException, UserError):
    """A request that cannot be answered: HTTP status 400 and one sentence."""

    def __init__(self, message: str) -> None:
        MlflowException.__init__(self, message, error_code=BAD_REQUEST)
        self.key = self.where = ""

    def __str__(self) -> str:
        return str(self.message)


class Served:
    """Answers requests one at a time: they come in threads, and memory must not grow with their number."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self._turn = threading.Lock()

    def predict(self, data: Any) -> Float[np.ndarray, "samples width"]:
        """The pooled embedding of each sample.

        Raises:
            RequestError: The data are not what the domain reads, or too many.
        """
        try:
            with self._turn:
                return self._answer(data)
        except UserError as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(" ".join(str(error).split())) from error

    def _answer(self, data: Any) -> Float[np.ndarray, "samples width"]:
        columns = [str(name) for name in getattr(data, "columns", ())]
        if len(columns) and len(data) > MOST_ROWS:
            raise RequestError(f"{len(data):,} rows in one request; send {MOST_ROWS:,} at most")
        if not self.trained.served_suffixes:
            return self.trained.predict(data)
        if FILE not in columns:
            given = ", ".join(columns) or "none"
            raise RequestError(
                f"a sample is a row with its file's bytes in the column `{FILE}` (base64 in JSON); columns given: {given}"
            )
        names = data[NAME].tolist() if NAME in columns else [None] * len(data)
        return self._files(dict(enumerate(zip(data[FILE].tolist(), names, strict=True))))

    def _files(self, rows: Mapping[int, tuple[Any, Any]]) -> Float[np.ndarray, "samples width"]:
        contents = {number: _bytes(number, content) for number, (content, _) in rows.items()}
        if (total := sum(map(len, contents.values()))) > MOST_BYTES:
            raise RequestError(f"files of {total / 1e6:,.0f} MB in one request; send {MOST_BYTES / 1e6:,.0f} MB at most")
        vectors = [self._file(number, contents[number], name) for number, (_, name) in rows.items()]
        return np.stack(vectors) if vectors else np.zeros((0, self.trained.encoder.pooled_width), np.float32)

    def _file(self, number: int, content: bytes, name: Any) -> Float[np.ndarray, "width"]:
        """The mean over the samples of one file."""
        with tempfile.TemporaryDirectory(prefix="manyviews-") as folder:
            path = Path(folder) / _name(number, name, content, self.trained.served_suffixes)
            path.write_bytes(content)
            try:
                source = self.trained.reading(str(path))
                if not 0 < len(source) <= MOST_SAMPLES:
                    raise RequestError(f"{path}: is cut into {len(source):,} samples; send parts of 1 to {MOST_SAMPLES:,}")
                vector: np.ndarray = self.trained.embed(source).mean(0)
            except UserError as error:
                raise RequestError(" ".join(str(error).replace(str(path), f"row {number}").split())) from error
        return vector


def _bytes(number: int, content: Any) -> bytes:
    """What stands in a cell: bytes, or base64 where MLflow has left it as text.

    Raises:
        RequestError: Neither.
    """
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        raise RequestError(f"row {number}: `{FILE}` is {type(content).__name__}; expected a file's bytes (base64 in JSON)")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"row {number}: `{FILE}` is no base64 ({error})") from error


def _name(number: int, name: Any, content: bytes, suffixes: tuple[str, ...]) -> str:
    """What the file is called where it is written down: its name without folders and odd signs, since names tell a file's
    kind and more (a scene's day, its sensor); or a made-up one.

    Raises:
        RequestError: It ends as no file does that is read here.
    """
    if not isinstance(name, str) or not name:
        return f"row{number}{suffixes[0]}" + (".gz" if content.startswith(GZIP) else "")
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", re.split(r"[/\\]", name)[-1])[-MOST_LETTERS:].lstrip(".")
    if not plain.lower().removesuffix(".gz").endswith(suffixes):
        raise RequestError(
            f"row {number}: `{NAME}` is {name[-MOST_LETTERS:]!r}; files that are read here end in {', '.join(suffixes)}"
        )
    return plain
