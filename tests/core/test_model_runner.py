import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.core.model_runner import CompiledModel, ModelRunner, compile_model, with_float16_outputs
from landmark_spark.core.out_of_memory import is_out_of_memory

INPUTS = np.arange(22, dtype=np.int64).reshape(11, 2)


class Device:
    """A model that doubles, on a device whose memory takes so many rows at once."""

    def __init__(self, capacity, error=None):
        self.capacity = capacity
        self.error = error or _exhausted()
        self.sizes = []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.capacity:
            raise self.error
        return batch * 2


def _exhausted():
    import tensorflow as tf

    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def runner_of(call, *, batch_size, fixed_size=False, tell=lambda _: None):
    return ModelRunner(CompiledModel(call, (2,), "int64", fixed_size=fixed_size), batch_size=batch_size, tell=tell)


def test_outputs_are_those_of_the_whole_whatever_the_batch_size():
    for batch_size in (1, 4, 11, 64):
        assert np.array_equal(runner_of(Device(64), batch_size=batch_size)(INPUTS), INPUTS * 2)


def test_short_batches_are_filled_up_only_where_each_size_is_compiled():
    free, fixed = Device(64), Device(64)
    runner_of(free, batch_size=4)(INPUTS)
    assert np.array_equal(runner_of(fixed, batch_size=4, fixed_size=True)(INPUTS), INPUTS * 2)
    assert (free.sizes, fixed.sizes) == ([4, 4, 3], [4, 4, 4])


def test_no_rows_give_no_outputs_of_the_right_shape():
    outputs = runner_of(Device(64), batch_size=4)(INPUTS[:0])
    assert (outputs.shape, outputs.dtype) == ((0, 2), np.int64)


def test_out_of_memory_halves_the_batch_until_it_fits_says_so_and_goes_on():
    device, lines = Device(3), []
    runner = runner_of(device, batch_size=16, tell=lines.append)
    assert np.array_equal(runner(INPUTS), INPUTS * 2)
    assert device.sizes == [11, 8, 4, 2, 2, 2, 2, 2, 1]
    assert lines == [f"out of memory with batches of {size}: going on with {size // 2}" for size in (16, 8, 4)]
    device.sizes.clear()
    runner(INPUTS[:4])
    assert device.sizes == [2, 2]  # for good


def test_out_of_memory_that_shows_when_the_outputs_are_fetched_halves_too():
    class Late:
        def __init__(self, batch):
            self.batch = batch

        def __array__(self, *_, **__):
            if len(self.batch) > 3:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 5 bytes.")
            return self.batch * 2

    runner = runner_of(Late, batch_size=8)
    first, second = runner.start(INPUTS), runner.start(INPUTS[:5])  # both were begun before either failed
    assert np.array_equal(first(), INPUTS * 2)
    assert np.array_equal(second(), INPUTS[:5] * 2)
    assert runner.batch_size == 2


def test_one_row_that_does_not_fit_and_any_other_error_are_the_frameworks_own():
    with pytest.raises(type(_exhausted())):
        runner_of(Device(0), batch_size=4)(INPUTS)
    with pytest.raises(ValueError, match="a wrong shape"):
        runner_of(Device(0, ValueError("a wrong shape")), batch_size=4)(INPUTS)


def test_out_of_memory_is_told_by_the_names_and_words_of_each_framework():
    of_torch = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2 GiB")
    of_jax = type("XlaRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")
    assert all(map(is_out_of_memory, (_exhausted(), of_torch, of_jax, MemoryError())))
    in_preparing = type("XlaRuntimeError", (RuntimeError,), {})(
        "INTERNAL: RET_CHECK failure: Error preparing computation: Out of memory allocating 52447674368 bytes."
    )
    assert is_out_of_memory(in_preparing)
    assert not any(map(is_out_of_memory, (RuntimeError("a wrong shape"), ValueError("out of memory"))))


def test_what_tensorflow_says_in_words_is_told_too():
    import tensorflow as tf

    assert is_out_of_memory(tf.errors.InternalError(None, None, "cudnn: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(tf.errors.InternalError(None, None, "cudnn: CUDNN_STATUS_BAD_PARAM"))


def test_a_compiled_model_gives_float16_held_within_its_range():
    import keras

    inputs = keras.Input((2,), dtype="uint8")
    model = keras.Model(inputs, keras.ops.cast(inputs, "float32") * 1000.0 - 1000.0)
    compiled = compile_model(with_float16_outputs(model))
    assert (compiled.row_shape, compiled.dtype) == ((2,), np.float16)
    received = ModelRunner(compiled, batch_size=2, tell=print)(np.array([[0, 1], [3, 255], [2, 66]], np.uint8))
    assert received.dtype == np.float16
    assert received.tolist() == [[-1000, 0], [2000, 65504], [1000, 64992]]  # 65000 lies between multiples of 32
