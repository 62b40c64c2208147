"""Reads and writes the files of the official DELF code: features (``.delf``) and float arrays (``.datum``).

Both are protocol buffers of research/delf/delf/protos in github.com/tensorflow/models: ``feature.proto`` and
``datum.proto``, declared here field by field.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DelfFeatures", "decode_datum", "decode_delf", "encode_datum", "encode_delf"]

_PACKAGE = "delf.protos"
_MESSAGES: dict[str, tuple[tuple[str, str, bool], ...]] = {  # name -> (field, type, repeated), numbered from 1
    "DatumShape": (("dim", "int64", True),),
    "FloatList": (("value", "float", True),),
    "DatumProto": (("shape", "DatumShape", False), ("float_list", "FloatList", False)),
    "DelfFeature": (
        ("descriptor", "DatumProto", False),
        ("x", "float", False),
        ("y", "float", False),
        ("scale", "float", False),
        ("orientation", "float", False),
        ("strength", "float", False),
    ),
    "DelfFeatures": (("feature", "DelfFeature", True),),
}


@dataclass(frozen=True, eq=False)
class DelfFeatures:
    """The contents of a ``.delf`` file, all float32, in the order of the file.

    keypoints: (N, 2), (x, y) in pixels of the image they were found in. descriptors: (N, D). scales: (N,), the inverse
    of the factor by which the image was resized. orientations: (N,), radians; DELF has none and writes 0. strengths:
    (N,), attention scores.
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    scales: NDArray[np.float32]
    orientations: NDArray[np.float32]
    strengths: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        if self.keypoints.ndim != 2 or self.keypoints.shape[1] != 2:
            raise ValueError(f"keypoints should be of shape (N, 2). Received: {self.keypoints.shape}")
        count = len(self.keypoints)
        if self.descriptors.ndim != 2 or len(self.descriptors) != count:
            raise ValueError(f"descriptors should be of shape ({count}, D). Received: {self.descriptors.shape}")
        for name in ("scales", "orientations", "strengths"):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"{name} should be of shape ({count},). Received: {getattr(self, name).shape}")


def decode_delf(data: bytes) -> DelfFeatures:
    """Read the bytes of a ``.delf`` file.

    Raises:
        ValueError: the bytes are no DelfFeatures, a feature has no descriptor or no place, descriptors are of
            different lengths, or a coordinate is no finite number.
    """
    features = _parse("DelfFeatures", data).feature
    rows = [_descriptor(each, number) for number, each in enumerate(features)]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(
            f"descriptors of a .delf file should be of one length. Received: {sorted({len(row) for row in rows})}"
        )
    numbers = np.array([[f.x, f.y, f.scale, f.orientation, f.strength] for f in features], np.float32).reshape(-1, 5)
    if not np.isfinite(numbers[:, :2]).all():
        raise ValueError("x and y of a .delf file should be finite numbers. Received: NaN or infinity")
    descriptors = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
    return DelfFeatures(numbers[:, :2].copy(), descriptors, *(numbers[:, column].copy() for column in (2, 3, 4)))


def encode_delf(features: DelfFeatures) -> bytes:
    """Return the bytes of a ``.delf`` file, as the official code writes them: every field is set, zeros too."""
    message = _message_types()["DelfFeatures"]()
    for row in range(len(features.keypoints)):
        feature = message.feature.add()
        _fill(feature.descriptor, features.descriptors[row])
        feature.x, feature.y = features.keypoints[row].tolist()
        feature.scale = float(features.scales[row])
        feature.orientation = float(features.orientations[row])
        feature.strength = float(features.strengths[row])
    return _bytes_of(message)


def decode_datum(data: bytes) -> NDArray[np.float32]:
    """Read the bytes of a ``.datum`` file: a float32 array of any shape.

    Raises:
        ValueError: the bytes are no DatumProto, or the values are not as many as the shape says.
    """
    return _array(_parse("DatumProto", data), "a .datum file")


def encode_datum(array: NDArray[np.floating[Any]]) -> bytes:
    """Return the bytes of a ``.datum`` file that holds an array, as float32."""
    message = _message_types()["DatumProto"]()
    _fill(message, array)
    return _bytes_of(message)


def _descriptor(feature: Any, number: int) -> NDArray[np.float32]:
    missing = [name for name in ("descriptor", "x", "y") if not feature.HasField(name)]
    if missing:
        raise ValueError(f"feature {number} of a .delf file should have {', '.join(missing)}. Received: none")
    found = _array(feature.descriptor, f"the descriptor of feature {number}")
    if found.ndim != 1:
        raise ValueError(f"the descriptor of feature {number} should be of shape (D,). Received: {found.shape}")
    return found


def _array(datum: Any, what: str) -> NDArray[np.float32]:
    shape = tuple(datum.shape.dim)
    values = np.array(datum.float_list.value, np.float32)
    wanted = 1  # in Python's whole numbers: a damaged shape may overflow NumPy's
    for each in shape:
        wanted *= each
    if min(shape, default=1) < 0 or wanted != len(values) or not datum.HasField("float_list"):
        raise ValueError(
            f"{what} should have as many values as its shape says. Received: {shape}, {len(values)} values"
        )
    return values.reshape(shape)


def _fill(datum: Any, array: NDArray[np.floating[Any]]) -> None:
    datum.shape.dim.extend(array.shape)
    datum.float_list.value.extend(np.asarray(array, np.float32).ravel())
    datum.float_list.SetInParent()  # is there though it may be empty


def _parse(name: str, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    message = _message_types()[name]()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"{name} should be a protocol buffer. Received: {len(data)} bytes that are none") from error
    return message


def _bytes_of(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


@cache
def _message_types() -> dict[str, Any]:
    """Return the message classes by name, from a pool of their own: the official package may be loaded beside it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="landmark_spark/delf.proto", package=_PACKAGE, syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    numbers = {"float": kinds.TYPE_FLOAT, "int64": kinds.TYPE_INT64}
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, is_repeated) in enumerate(fields, start=1):
            added = message.field.add(name=field, number=number)
            added.label = kinds.LABEL_REPEATED if is_repeated else kinds.LABEL_OPTIONAL
            added.type = numbers.get(kind, kinds.TYPE_MESSAGE)
            if kind not in numbers:
                added.type_name = f".{_PACKAGE}.{kind}"
            elif is_repeated:
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(each) for name, each in found.items()}
