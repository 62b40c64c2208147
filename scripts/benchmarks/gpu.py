"""The GPU benchmark: how much of the device the extraction uses, without Spark."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from landmark_spark.core.backbone import NetworkPlan, base_of, build_network
from landmark_spark.core.images import encode_jpeg
from landmark_spark.core.jpeg_batches import JpegDecoder
from landmark_spark.core.model_runner import CompiledModel, ModelRunner, compile_model, with_float16_outputs
from landmark_spark.core.precision import gpu_capability, resolve_precision
from landmark_spark.core.prefetching import run_ahead
from landmark_spark.core.weights import find_weights
from landmark_spark.gpu import prepare_framework
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.report_lines import LineWriter, say

__all__ = ["count_flops", "measure", "measure_device"]

_BATCH_SIZES = (64, 128, 256, 512)
_NUM_ROUNDS = 5
_SECONDS = 2.0  # of one round, at least
_MATRIX_SIDE = 8192


def measure(write: LineWriter, *, quick: bool) -> None:
    """Measure the device, or say that there is none."""
    prepare_framework(num_threads=len(os.sched_getaffinity(0)), gpus=None)
    if gpu_capability() is None:
        write("gpu", "not_run", reason="the framework found no GPU on this machine")
        return
    write_machine(write, "gpu")
    plan = NetworkPlan(weights=None if quick else find_weights(), image_size=32 if quick else 128)
    measure_device(
        write,
        plan,
        batch_sizes=_BATCH_SIZES[:1] if quick else _BATCH_SIZES,
        seconds=0.1 if quick else _SECONDS,
        matrix_side=512 if quick else _MATRIX_SIDE,
    )


def measure_device(
    write: LineWriter, plan: NetworkPlan, *, batch_sizes: tuple[int, ...], seconds: float, matrix_side: int
) -> None:
    """Write the rates of a matrix product, of the network alone and of the network fed with JPEGs."""
    precision = resolve_precision(plan.precision)
    product = _matrix_rate(precision, matrix_side, seconds)
    write("gpu", "matrix_product", device=_device_name(), precision=precision, side=matrix_side, tflops=product / 1e12)
    model = build_network(plan)
    flops = count_flops(base_of(model))
    compiled = compile_model(with_float16_outputs(model))
    for batch_size in batch_sizes:
        alone = _rate_alone(compiled, plan.image_size, batch_size, seconds)
        fed = _rate_fed(compiled, plan.image_size, batch_size, seconds)
        write(
            "gpu",
            "network",
            name=plan.name,
            precision=precision,
            batch_size=batch_size,
            gflop_per_image=flops / 1e9,
            images_per_second=alone,
            tflops=alone * flops / 1e12,
            ratio_to_matrix_product=alone * flops / product,
            num_decode_threads=len(os.sched_getaffinity(0)),
            images_per_second_from_jpeg=fed,
            busy_share_from_jpeg=fed / alone,
        )


def count_flops(base: Any) -> float:
    """Return the floating-point operations of a network's convolutions and matrices for one image.

    A multiplication and an addition are two. Bias, activation, normalisation and pooling are not counted.
    """
    import keras

    total = 0.0
    for layer in base.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            height, width, channels = layer.output.shape[1:]
            kernel = layer.kernel.shape  # height, width, channels in, channels out; depthwise: times its multiplier
            depth = 1 if isinstance(layer, keras.layers.DepthwiseConv2D) else kernel[2]
            total += 2.0 * height * width * channels * kernel[0] * kernel[1] * depth
        elif isinstance(layer, keras.layers.SeparableConv2D):
            height, width, channels = layer.output.shape[1:]
            kernel = layer.depthwise_kernel.shape
            between = kernel[2] * kernel[3]
            total += 2.0 * height * width * between * (kernel[0] * kernel[1] + channels)
        elif isinstance(layer, keras.layers.Dense):
            total += 2.0 * float(np.prod(layer.kernel.shape))
    return total


def _matrix_rate(precision: str, side: int, seconds: float) -> float:
    """Return the operations a second of a product of two square matrices."""
    from keras import ops

    one = ops.cast(np.random.default_rng(0).normal(size=(side, side)), precision)

    def run(times: int) -> None:
        product = one
        for _ in range(times):
            product = ops.matmul(one, one)
        np.asarray(ops.cast(product[0, 0], "float32"))  # waits for all of them

    return 2.0 * side**3 * _rate(run, seconds)


def _rate_alone(compiled: CompiledModel, side: int, batch_size: int, seconds: float) -> float:
    """Return images a second of the network on a batch that lies on the device."""
    from keras import ops

    batch = ops.convert_to_tensor(_noise(batch_size, side))

    def run(times: int) -> None:
        outputs = [compiled.call(batch) for _ in range(times)][-1]
        np.asarray(outputs)

    say(f"gpu: the network alone, batches of {batch_size}")
    return batch_size * _rate(run, seconds)


def _rate_fed(compiled: CompiledModel, side: int, batch_size: int, seconds: float) -> float:
    """Return images a second from JPEGs in memory to features in memory, as a task of the extraction goes about it."""
    jpegs = [encode_jpeg(image, 95) for image in _noise(batch_size, side)]
    names = [str(number) for number in range(batch_size)]
    runner = ModelRunner(compiled, batch_size=batch_size, tell=say)
    with JpegDecoder(side, num_threads=len(os.sched_getaffinity(0))) as decoder:

        def run(times: int) -> None:
            decoded = run_ahead(range(times), lambda _: decoder.start(jpegs, names), ahead=2)
            for _ in run_ahead(decoded, lambda pair: runner.start(pair[1]), ahead=1):
                pass

        say(f"gpu: from JPEG to features, batches of {batch_size}")
        return batch_size * _rate(run, seconds)


def _rate(run: Callable[[int], None], seconds: float) -> float:
    """Return how often a second ``run`` does its work: the median of rounds of ``seconds`` each, after a warm-up."""
    run(1)  # compiled
    started = time.perf_counter()
    run(2)
    times = max(2, round(seconds / ((time.perf_counter() - started) / 2)))
    rates = []
    for _ in range(_NUM_ROUNDS):
        started = time.perf_counter()
        run(times)
        rates.append(times / (time.perf_counter() - started))
    return statistics.median(rates)


def _noise(count: int, side: int) -> Any:
    """Return (count, side, side, 3) uint8 pictures whose JPEGs are about as large as photos': noise, smoothed."""
    import cv2

    small = np.random.default_rng(0).integers(0, 256, (count, side // 4, side // 4, 3), np.uint8)
    return np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_CUBIC) for each in small])


def _device_name() -> str:
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"
    if backend == "torch":
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "CPU"
    import jax

    return str(jax.devices()[0].device_kind)
