"""Gives a task its own device and threads, before the framework loads."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["DeviceError", "claim_device", "limit_native_threads", "prepare_framework", "task_gpus"]

_NO_NEWS = ("You are using a softmax over axis", "In loss categorical_crossentropy, expected")
"""Beginnings of Keras' warnings about a net for a single landmark, which is meant."""


class DeviceError(RuntimeError):
    """The framework of this process is on another GPU than its task was given."""


def task_gpus() -> tuple[str, ...] | None:
    """Return the GPU addresses that Spark gave this task; None outside a task or where Spark manages no GPU."""
    from pyspark import TaskContext

    context = TaskContext.get()
    resources: Mapping[str, object] = context.resources() if context is not None else {}
    if "gpu" not in resources:
        return None
    return tuple(resources["gpu"].addresses)  # type: ignore[attr-defined]


def prepare_framework(*, num_threads: int, gpus: Sequence[str] | None) -> None:
    """Set what Keras' backend reads when it is first imported: visible GPUs, memory growth, CPU threads.

    TensorFlow is imported at once. ``gpus``: addresses as nvidia-smi counts them; None leaves the machine's own
    setting. Spark itself does not set CUDA_VISIBLE_DEVICES.

    A framework that is loaded keeps its device. Raises DeviceError where that is not the one of ``gpus``: a task must
    not compute on another task's GPU.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    visible = None if gpus is None else ",".join(gpus)
    if backend in sys.modules:
        _check_device(visible)
        return
    if visible is not None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # CUDA's own order is by speed, nvidia-smi's is this one
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # two workers on a node must not each take all its memory
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # JAX's word for the same; PyTorch grows by itself
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(num_threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ["OMP_NUM_THREADS"] = str(num_threads)  # PyTorch's
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for words in _NO_NEWS:
        warnings.filterwarnings("ignore", message=words)
    if backend == "tensorflow":
        with _quiet_import():
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")  # a driver without a GPU behind it complains at the first look


def _check_device(visible: str | None) -> None:
    kept = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible not in (None, kept):
        raise DeviceError(
            f"the task should compute on GPU {visible}. Received: a Python worker whose framework is on "
            f"{'all GPUs' if kept is None else f'GPU {kept}'}; set spark.python.worker.reuse=false"
        )


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Hold back what a native library writes to standard error as it loads; show it where loading fails.

    TensorFlow's first lines (oneDNN is on, no CUDA driver found) come before its log level counts, once a worker.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def claim_device(*, num_threads: int) -> None:
    """Prepare the framework for this Spark task: its own GPU where it has one.

    To be called by every task, also where the network is loaded already. Raises DeviceError.
    """
    prepare_framework(num_threads=num_threads, gpus=task_gpus())


def limit_native_threads() -> None:
    """Keep OpenCV to the task's own core, as Spark keeps OpenMP: it already runs a task on each."""
    import cv2

    cv2.setNumThreads(1)
