"""Pickles of arrays and of nothing else.

A pickle is a program: loading one can run any command. The files of Planetoid need six names (arrays, their types, a
sparse matrix, a dictionary of lists); every other name is refused before anything is done with it.
"""

from __future__ import annotations

import pickle  # its machinery alone, with every name looked up here
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from manyviews.errors import DataError


class _Matrix:
    """Stands for scipy's csr_matrix: it takes the pickled attributes, and the matrix is built from them anew, checked."""


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes into old protocols; no codec but this one."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("scipy.sparse.csr", "csr_matrix"): _Matrix,
    ("scipy.sparse._csr", "csr_matrix"): _Matrix,
    ("_codecs", "encode"): _encode,
}
"""The names that a pickle may use, as Python 2 and 3, old and new numpy and scipy write them."""


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
        except (EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: no readable pickle ({type(error).__name__}: {error}); fetch the file again") from error
    if not isinstance(found, _Matrix):
        return found
    parts = [vars(found).get(key) for key in ("data", "indices", "indptr", "_shape")]
    return csr_from(parts, str(path))


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
