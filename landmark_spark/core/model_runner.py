"""Runs a Keras model over image batches: compiled once, and in smaller batches where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from landmark_spark.core.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    import keras

__all__ = ["CompiledModel", "ModelRunner", "compile_model", "with_float16_outputs"]

Array = npt.NDArray[Any]


class CompiledModel:
    """A function from a batch to its outputs. call: starts it, and returns what ``np.asarray`` waits for.

    fixed_size: every batch size is compiled anew, so that short batches should be filled up. row_shape, dtype: of one
    output row.
    """

    def __init__(
        self, call: Callable[[Array], Any], row_shape: tuple[int, ...], dtype: str, *, fixed_size: bool
    ) -> None:
        self.call = call
        self.row_shape = row_shape
        self.dtype = np.dtype(dtype)
        self.fixed_size = fixed_size


def compile_model(model: keras.Model) -> CompiledModel:
    """Compile a model for inference on Keras' backend: with TensorFlow one graph, on its GPU through XLA.

    On a CPU the graph is left to oneDNN, which takes batches of any size without compiling anew. JAX and PyTorch go
    through Keras' own ``predict_on_batch``.
    """
    import keras

    shape = tuple(model.output_shape[1:])
    dtype = keras.backend.standardize_dtype(model.outputs[0].dtype)
    if keras.config.backend() != "tensorflow":
        fixed_size = keras.config.backend() == "jax"
        return CompiledModel(model.predict_on_batch, shape, dtype, fixed_size=fixed_size)
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    given = tf.TensorSpec(model.input_shape, keras.backend.standardize_dtype(model.inputs[0].dtype))
    graph = tf.function(lambda batch: model(batch, training=False), input_signature=[given], jit_compile=has_gpu)
    return CompiledModel(graph, shape, dtype, fixed_size=has_gpu)


def with_float16_outputs(model: keras.Model) -> keras.Model:
    """Return the same model with float16 outputs, cast inside the graph: half the bytes leave the device.

    Values beyond float16's 65,504 are held there ("caffe" features are large).
    """
    import keras

    limit = float(np.finfo(np.float16).max)
    return keras.Model(model.inputs, keras.ops.cast(keras.ops.clip(model.outputs[0], -limit, limit), "float16"))


class ModelRunner:
    """Runs a compiled model in batches of ``batch_size`` at most, halved for good where memory runs out.

    tell: is given a line each time that happens. Not for several threads at once.
    """

    def __init__(self, model: CompiledModel, *, batch_size: int, tell: Callable[[str], object]) -> None:
        self._model = model
        self._tell = tell
        self.batch_size = batch_size

    def __call__(self, inputs: Array) -> Array:
        """Return the outputs of (B, ...) inputs; B is free, 0 too."""
        return self.start(inputs)()

    def start(self, inputs: Array) -> Callable[[], Array]:
        """Start the model on (B, ...) inputs; what is returned waits for the outputs.

        Where the device works beside this thread, as a GPU does, it is not waited for. Out of memory at a batch of one
        raises the framework's own error, as every other failure does.
        """
        size = self.batch_size
        outputs: list[Any] = []
        try:
            for batch in self._batches(inputs, size):
                outputs.append(self._model.call(batch))
        except Exception as error:
            self._halve(size, error)
        else:
            return lambda: self._wait(inputs, outputs, size)
        outputs.clear()  # the device's memory is needed for the next try
        return self.start(inputs)

    def _wait(self, inputs: Array, outputs: list[Any], size: int) -> Array:
        try:
            parts = [np.asarray(each) for each in outputs]
        except Exception as error:
            self._halve(size, error)
        else:
            return np.concatenate(parts)[: len(inputs)] if len(parts) > 1 else self._only(parts, len(inputs))
        outputs.clear()
        return self(inputs)

    def _only(self, parts: list[Array], num_rows: int) -> Array:
        return parts[0][:num_rows] if parts else np.zeros((0, *self._model.row_shape), self._model.dtype)

    def _halve(self, size: int, error: Exception) -> None:
        if size == 1 or not is_out_of_memory(error):
            raise error
        self.batch_size = min(self.batch_size, size // 2)
        self._tell(f"out of memory with batches of {size}: going on with {self.batch_size}")

    def _batches(self, inputs: Array, size: int) -> Iterator[Array]:
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            if self._model.fixed_size and len(batch) < size:
                filler = np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)
                batch = np.concatenate([batch, filler])
            yield batch
