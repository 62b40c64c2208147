"""Takes VGG16's convolutions out of an ONNX file and stores them as Keras does."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.weights import CONVOLUTIONS

__all__ = ["convolutions_from_onnx", "save_notop_h5"]

Convolution = tuple[NDArray[np.float32], NDArray[np.float32]]

_POOLED = {"block1_conv2": 1, "block2_conv2": 2, "block3_conv3": 3, "block4_conv3": 4, "block5_conv3": 5}


def convolutions_from_onnx(path: Path) -> list[Convolution]:
    """Return kernel and bias of the 13 convolutions of a network with VGG16's base, in network order.

    kernels: (3, 3, channels in, channels out) float32, as Keras has them; ONNX stores (out, in, 3, 3). biases:
    (channels out,) float32. The order is that of the data: each convolution reads what the one before it made.

    Raises ValueError where the graph is no chain of VGG16's convolutions with stored weights.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:  # weights that the file only names, elsewhere on the machine, are not fetched
        graph = onnx.load(str(path), load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"{path} should be an ONNX file. Received: bytes that are none") from error
    stored = {each.name: each for each in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    if len(nodes) == len(CONVOLUTIONS):
        nodes.sort(key=lambda node: _depth(node, producers))
    if [_depth(node, producers) for node in nodes[: len(CONVOLUTIONS) + 1]] != list(range(len(CONVOLUTIONS))):
        raise ValueError(f"{path} should be a chain of {len(CONVOLUTIONS)} convolutions. Received: {len(nodes)}")
    return [
        _convolution(node, stored, name, shape) for node, (name, shape) in zip(nodes, CONVOLUTIONS.items(), strict=True)
    ]


def _depth(node: Any, producers: dict[str, Any]) -> int:
    """Count the convolutions that a node's data has passed through before it."""
    depth = 0
    for _ in producers:  # no chain is longer: one that is goes in a circle
        if not (node.input and node.input[0] in producers):
            return depth
        node = producers[node.input[0]]
        depth += node.op_type == "Conv"
    return depth


def _convolution(node: Any, stored: dict[str, Any], name: str, shape: tuple[int, ...]) -> Convolution:
    from onnx import numpy_helper

    try:
        arrays = [numpy_helper.to_array(stored[each]) for each in node.input[1:] if each in stored]
    except Exception as error:  # onnx lets almost anything out of a damaged tensor
        raise ValueError(f"{name} should store whole arrays. Received: {type(error).__name__} {error}") from error
    found = [array.shape for array in arrays]
    expected = [(shape[3], shape[2], shape[0], shape[1]), (shape[3],)]
    if found != expected:
        raise ValueError(f"{name} should store arrays of shapes {expected}. Received: {found}")
    kernel = np.ascontiguousarray(arrays[0].transpose(2, 3, 1, 0), np.float32)
    return kernel, np.ascontiguousarray(arrays[1], np.float32)


def save_notop_h5(convolutions: list[Convolution], path: Path) -> None:
    """Store 13 convolutions as a file for ``keras.applications.VGG16(weights=path, include_top=False)``.

    The layout is that of Keras 2's HDF5 weights: a group a layer, named in ``layer_names``. The file appears whole.

    Raises ValueError where the shapes are not VGG16's.
    """
    shapes = [kernel.shape for kernel, _ in convolutions]
    if shapes != list(CONVOLUTIONS.values()) or any(bias.shape != kernel.shape[3:] for kernel, bias in convolutions):
        raise ValueError(f"convolutions should have VGG16's shapes. Received: {shapes}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".h5")
    os.close(handle)
    try:
        _write(convolutions, Path(name))
        Path(name).chmod(0o644)  # mkstemp's own would let its maker alone read it
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write(convolutions: list[Convolution], path: Path) -> None:
    import h5py

    layers = ["input_1"]
    with h5py.File(path, "w") as file:
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for layer, (kernel, bias) in zip(CONVOLUTIONS, convolutions, strict=True):
            names = [f"{layer}_W_1:0", f"{layer}_b_1:0"]
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array(names, "S")
            for name, array in zip(names, (kernel, bias), strict=True):
                group.create_dataset(name, data=array)
            layers.append(layer)
            if layer in _POOLED:
                layers.append(f"block{_POOLED[layer]}_pool")
                file.create_group(layers[-1]).attrs["weight_names"] = np.array([], "S1")
        file.attrs["layer_names"] = np.array(layers, "S")
        file.attrs["backend"] = b"tensorflow"
