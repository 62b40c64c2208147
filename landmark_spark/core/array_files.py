"""Reads .npz files as this program writes them, and believes nothing that they say of themselves."""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayFileError", "read_arrays"]

_SUFFIX = ".npy"


class ArrayFileError(ValueError):
    """Bytes that are no .npz file of plain arrays, or a damaged one."""


def read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an uncompressed .npz file by name; they take no more memory than the bytes do.

    Raises ArrayFileError for anything else: compressed arrays, which may be a million times larger, and pickled ones,
    which may be programs, included.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED or not member.filename.endswith(_SUFFIX):
                    raise ValueError(f"{member.filename!r}")
            return {name.removesuffix(_SUFFIX): _array(archive.read(name)) for name in archive.namelist()}
    except Exception as error:  # zipfile and NumPy let almost anything out: struct.error, zlib.error, SyntaxError ...
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise ArrayFileError(f"the bytes should be an .npz file of plain arrays. Received: {reason}") from error


def _array(data: bytes) -> NDArray[Any]:
    file, reader = io.BytesIO(data), cast(Any, np.lib.format)  # NumPy 1 has no types for it
    if reader.read_magic(file) != (1, 0):
        raise ValueError("another version")
    shape, is_fortran, dtype = reader.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("pickled objects")
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"{len(data) - file.tell()} bytes for the shape {shape}")
    flat = np.frombuffer(data, dtype, offset=file.tell()) if math.prod(shape) else np.zeros(0, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C").copy("K")
