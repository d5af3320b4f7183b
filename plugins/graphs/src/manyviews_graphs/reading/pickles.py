"""Pickles of arrays and of nothing else.

A pickle is a program: loading one can run any command. Planetoid's files need a handful of names (arrays, their types, a
sparse matrix, a dictionary of lists). Each of these stands for a few lines here, which take plain values and build what is
meant, checked; numpy's own reconstruction is not asked, since it believes what it is told of its memory. Every other name
is refused before anything is done with it.
"""

from __future__ import annotations

import pickle  # its machine alone, with every name looked up here
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from manyviews.errors import DataError


class _Type:
    """`numpy.dtype`, of numbers and text."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>=|]?(b1|[iuf][1248]|[SU]\d{1,4})", code):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """`numpy.ndarray`, from a shape, a type and bytes."""

    values: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        self.values = _values(raw, kind, shape, "F" if fortran else "C")


class _Matrix:
    """`scipy.sparse.csr_matrix`: takes the attributes that it is given."""


def _values(raw: Any, kind: _Type, shape: Sequence[int], order: Any) -> np.ndarray:
    data = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 has no bytes
    return np.frombuffer(bytearray(data), kind.dtype).reshape(shape, order=order)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(raw: Any, kind: _Type, shape: Sequence[int], order: str, *_: Any) -> _Array:
    array = _Array()
    array.values = _values(raw, kind, shape, order)
    return array


def _scalar(kind: _Type, raw: Any) -> Any:
    return _values(raw, kind, (), "C").item()


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes into old protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("scipy.sparse.csr", "csr_matrix"): _Matrix,
    ("scipy.sparse._csr", "csr_matrix"): _Matrix,
}
for _core in ("numpy.core", "numpy._core"):
    ALLOWED |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,
    }


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def read_arrays(path: Path) -> Any:
    """An array, a CSR matrix or a dictionary of lists.

    Raises:
        DataError: The file names anything else, or is no pickle.
    """
    with path.open("rb") as file:
        try:
            found = _Arrays(file, encoding="latin1").load()
        except pickle.UnpicklingError as error:
            raise DataError(
                f"{path}: refused: loading it would use {error}, and a pickle can run any program.\n"
                "Planetoid's files hold arrays and dictionaries only; if you trust this one, save it as .npz yourself."
            ) from error
        except Exception as error:  # a pickle's bytes are its program, and broken ones fail in any way
            raise DataError(f"{path}: no readable pickle ({type(error).__name__}: {error}); fetch the file again") from error
    if isinstance(found, _Array):
        return found.values
    if not isinstance(found, _Matrix):
        return found
    state = vars(found)
    parts = [state[name].values if isinstance(state.get(name), _Array) else None for name in ("data", "indices", "indptr")]
    return csr_from([*parts, state.get("_shape")], str(path))


def csr_from(parts: Sequence[Any], where: str) -> scipy.sparse.csr_matrix:
    """A CSR matrix of `data, indices, pointer, shape` as a file brings them; entries that are there twice are added up.

    An index beyond the shape would read foreign memory, so all are checked.
    """
    data, indices, pointer, shape = parts
    try:
        matrix = scipy.sparse.csr_matrix((data, indices, pointer), shape=tuple(int(size) for size in shape))
        matrix.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: no sound sparse matrix ({error}); write the file again") from error
    if not matrix.has_canonical_format:
        matrix.sum_duplicates()
    return matrix
