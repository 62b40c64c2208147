"""Finds the file of VGG16's ImageNet weights, and checks that it is one."""

from __future__ import annotations

import hashlib
import io
import os
import pwd
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "CONVOLUTIONS",
    "FILE_NAME",
    "WeightsError",
    "WeightsNotFound",
    "cache_path",
    "check_weights",
    "IMAGENET_DIGEST",
    "digest_weights",
    "find_weights",
    "resolve_weights",
]

FILE_NAME = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
"""As Keras names it."""

_CHANNELS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # of each block's convolutions, and how many
_WIDTHS = [width for width, count in _CHANNELS for _ in range(count)]
IMAGENET_DIGEST = "4bba0d667b1e4a97a924ebb0d5d7a7cab0d6613b878cbf4b5491473c114f6d63"
"""What ``digest_weights`` returns for Keras' ImageNet weights of VGG16 without top."""

CONVOLUTIONS = {
    f"block{block}_conv{place}": shape
    for (block, place), shape in zip(
        ((block, place) for block, (_, count) in enumerate(_CHANNELS, 1) for place in range(1, count + 1)),
        ((3, 3, before, width) for before, width in zip([3, *_WIDTHS[:-1]], _WIDTHS, strict=True)),
        strict=True,
    )
}
"""Name and kernel shape (height, width, channels in, channels out) of VGG16's 13 convolutions, in network order."""

_VARIABLE = "LANDMARK_SPARK_WEIGHTS"
_SUFFIXES = (".h5", ".keras")
_SMALL = 1 << 20  # bytes; a larger array is not believed to be a hundred times what the file has of it
_MAX_COMPRESSION = 100
# keras.applications.vgg16 names this address and this MD5 sum.
_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE_NAME}"
_MD5 = "6d6bbae143d832006294945121d1f1fc"
_TIMEOUTS = (5.0, 20.0)  # seconds to connect, and between two pieces: without the network it fails at once


class WeightsNotFound(FileNotFoundError):  # noqa: N818
    """No weights file; the message says where it was looked for and how to get one."""


class WeightsError(ValueError):
    """A file that is no weights file of VGG16 without top."""


def resolve_weights(weights: str) -> Path | None:
    """Return the weights file meant by a configuration: ``imagenet``, ``random`` (None) or a path.

    For ``imagenet`` the first of: $LANDMARK_SPARK_WEIGHTS (a file or its folder; where it is set it is binding), the
    copy of scripts/fetch_weights, Keras' cache, Keras' download address. Whatever is found is checked.

    Raises WeightsNotFound where there is none, WeightsError where the file is something else.
    """
    if weights == "random":
        return None
    if weights == "imagenet":
        path = find_weights() or _download(keras_cache_path())
    else:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsNotFound(f"backbone.weights should be imagenet, random or a file. Received: {weights}")
    check_weights(path)
    return path


def find_weights() -> Path | None:
    """Return the ImageNet weights file this machine has; None where it has none. Asks no network.

    Raises WeightsNotFound where $LANDMARK_SPARK_WEIGHTS is set and names no weights file.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        return _named_weights(Path(named).expanduser())
    return next((path for path in (cache_path(), keras_cache_path()) if path.is_file()), None)


def _named_weights(path: Path) -> Path:
    if path.is_file():
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    others = [each for each in sorted(path.glob("vgg16*notop*")) if each.suffix in _SUFFIXES and each.is_file()]
    if len(others) == 1:
        return others[0]
    found = f"{len(others)} files vgg16*notop* there" if path.is_dir() else "nothing there"
    raise WeightsNotFound(f"${_VARIABLE} should be a weights file or the folder of one. Received: {path} ({found})")


def cache_path() -> Path:
    """Return where scripts/fetch_weights puts the file: $XDG_CACHE_HOME or ~/.cache, landmark_spark/."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else _home() / ".cache") / "landmark_spark" / FILE_NAME


def keras_cache_path() -> Path:
    """Return where Keras keeps the file: $KERAS_HOME or ~/.keras, models/."""
    named = os.environ.get("KERAS_HOME")
    return (Path(named) if named else _home() / ".keras") / "models" / FILE_NAME


def _home() -> Path:
    # Path.home() takes an empty $HOME for the root folder.
    return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)


def _download(path: Path) -> Path:
    """Fetch Keras' own file into Keras' cache; raise WeightsNotFound with all that was tried where that fails."""
    import requests

    try:
        response = requests.get(_URL, timeout=_TIMEOUTS, stream=True)
        response.raise_for_status()
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_checked(response.iter_content(1 << 20), path)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, and long
        reason = type(error).__name__ if isinstance(error, OSError) else error
        raise WeightsNotFound(
            "VGG16's ImageNet weights should be on this machine. Looked in: "
            f"${_VARIABLE} (not set), {cache_path()}, {path}, {_URL} ({reason}). "
            f"Run scripts/fetch_weights, or set ${_VARIABLE} to the file {FILE_NAME} or its folder."
        ) from error
    return path


def _write_checked(chunks: Iterator[bytes], path: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
            if digest.hexdigest() != _MD5:
                raise ValueError(f"{_URL} should have the MD5 sum {_MD5}. Received: {digest.hexdigest()}")
            Path(file.name).chmod(0o644)  # as any other file of a cache: not for its maker alone
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def check_weights(path: Path) -> None:
    """Check that a Keras file (.h5, .weights.h5, .keras) holds VGG16's 13 convolutions and nothing else.

    Shapes are read, not values. Raises WeightsError.
    """
    wanted = f"{path} should be a Keras weights file of VGG16 without top"
    if path.suffix not in _SUFFIXES:
        raise WeightsError(f"{wanted}, named *.h5 or *.keras. Received: a file *{path.suffix}")
    try:
        shapes = _shapes(path)
    except Exception as error:  # h5py and zipfile let almost anything out of a damaged file
        raise WeightsError(f"{wanted}. Received: a file that cannot be read as one ({_reason(error)})") from error
    expected = [shape for kernel in CONVOLUTIONS.values() for shape in (kernel, kernel[-1:])]
    if sorted(shapes) != sorted(expected):
        dense = sum(len(shape) == 2 for shape in shapes)
        kernels = sum(len(shape) == 4 for shape in shapes)
        raise WeightsError(
            f"{wanted}: 13 convolutions of 14,714,688 parameters. Received: {len(shapes)} arrays, {kernels} of them "
            f"convolution kernels and {dense} matrices" + (" (is it the file with top?)" if dense else "")
        )


def digest_weights(path: Path) -> str:
    """Return the SHA-256 of a weights file's arrays, layer by layer, kernel before bias: equal weights, equal digest.

    Raises WeightsError for a file that cannot be read.
    """
    arrays: list[tuple[tuple[Any, ...], bytes]] = []

    def note(name: str, array: Any) -> None:
        if array.nbytes > max(array.id.get_storage_size() * _MAX_COMPRESSION, _SMALL):
            raise ValueError(f"{name} is said to have {array.nbytes} bytes")
        layer, _, last = name.rpartition("/")
        data = f"{array.shape}{array.dtype.str}".encode() + array[()].tobytes()
        arrays.append(((_natural(layer), -array.ndim, last), data))

    try:
        _visit_arrays(path, note)
    except Exception as error:  # as in check_weights
        raise WeightsError(f"{path} should be a Keras weights file. Received: {_reason(error)}") from error
    digest = hashlib.sha256()
    for _, data in sorted(arrays):
        digest.update(data)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which conv2d_2 comes before conv2d_10, as the layers do."""
    return [(int(part or 0), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _shapes(path: Path) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    _visit_arrays(path, lambda _, array: shapes.append(tuple(array.shape)))
    return shapes


def _visit_arrays(path: Path, note: Callable[[str, Any], None]) -> None:
    """Call ``note(name, array)`` for every array of a Keras file; the array is an open h5py dataset."""
    import h5py

    source: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            source = io.BytesIO(archive.read("model.weights.h5"))

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            if entry.external or entry.is_virtual:
                raise ValueError(f"{name} lies in another file")
            note(name, entry)

    with h5py.File(source, "r") as file:
        file.visititems(visit)
