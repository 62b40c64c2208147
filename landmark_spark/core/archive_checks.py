"""Says what is wrong with the files of a trained model without loading any: archives are whole, and hold no pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import IO

import numpy as np

__all__ = ["file_fault"]

_KERAS_PARTS = ("metadata.json", "config.json")
_KERAS_OTHERS = ("model.weights.h5", "assets/")
_PICKLE = b"\x80"  # what a pickle of any protocol from 2 on begins with, and neither JSON, HDF5 nor a zip does


def file_fault(name: str, file: IO[bytes]) -> str:
    """Return what is wrong with a file, by what its name ends in: .keras, .npz, .json; "" where nothing is known to be.

    file: open for reading, and able to seek.
    """
    try:
        if name.endswith(".keras"):
            return _keras_fault(file)
        if name.endswith(".npz"):
            return _arrays_fault(file)
        if name.endswith(".json"):
            json.loads(file.read())
    except (
        ValueError,
        RecursionError,
        EOFError,
        OSError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        kind = name.rpartition(".")[2]
        return f"should be a whole .{kind} file. Received: {error}"
    return ""


def _keras_fault(file: IO[bytes]) -> str:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        damaged = archive.testzip()
        if damaged is not None:
            return f"should be a whole archive. Received: {damaged} has another checksum"
        missing = [each for each in _KERAS_PARTS if each not in names]
        others = [each for each in names if not each.startswith((*_KERAS_PARTS, *_KERAS_OTHERS))]
        if missing or others:
            return f"should be a Keras archive. Received: missing {missing}, others {others[:3]}"
        for each in names:
            with archive.open(each) as part:
                if part.read(1) == _PICKLE:
                    return f"should be an archive without pickles. Received: {each} begins as one"
        for each in _KERAS_PARTS:
            json.loads(archive.read(each))
    return ""


def _arrays_fault(file: IO[bytes]) -> str:
    with np.load(file, allow_pickle=False) as arrays:
        for each in arrays.files:
            arrays[each]  # raises ValueError for an array of objects, which is a pickle
    return ""
