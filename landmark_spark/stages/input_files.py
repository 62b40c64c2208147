"""Reads the csv files of a configuration, compressed or not, wherever fsspec finds them."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator

import fsspec

from landmark_spark.core.lines import bounded_lines
from landmark_spark.settings import ConfigError

__all__ = ["input_lines"]

# What opening and decompressing raise: by name, so that a fault of this program is not taken for a damaged file.
_FAULTS = (OSError, EOFError, ValueError, ImportError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def input_lines(setting: str, path: str) -> Iterator[bytes]:
    """Yield the lines of a file as ``core.lines`` does; the file's name tells how it is compressed.

    Raises ConfigError, which names the setting, for a file that is missing or damaged: as soon as it is come to.
    """
    try:
        with fsspec.open(path, "rb", compression="infer") as file:
            yield from bounded_lines(file)
    except _FAULTS as error:
        raise ConfigError(f"{setting} should be a readable csv file. Received: {path} ({error})") from error
