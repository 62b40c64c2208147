"""Gives a task its own device and threads, before the framework loads."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["claim_device", "limit_native_threads", "prepare_framework", "task_gpus"]


def task_gpus() -> tuple[str, ...] | None:
    """Return the GPU addresses that Spark gave this task; None outside a task or where Spark manages no GPU."""
    from pyspark import TaskContext

    context = TaskContext.get()
    resources: Mapping[str, object] = context.resources() if context is not None else {}
    if "gpu" not in resources:
        return None
    return tuple(resources["gpu"].addresses)  # type: ignore[attr-defined]


def prepare_framework(*, num_threads: int, gpus: Sequence[str] | None) -> None:
    """Set what TensorFlow reads when it is first imported, and import it: visible GPUs, memory growth, CPU threads.

    ``gpus``: addresses as CUDA counts them; None leaves the machine's own setting. Spark itself does not set
    CUDA_VISIBLE_DEVICES. Does nothing once TensorFlow is loaded: a Python worker keeps its first device.
    """
    if "tensorflow" in sys.modules:
        return
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # two workers on a node must not each take all its memory
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(num_threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        with _quiet_import():
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")  # a driver without a GPU behind it complains at the first look


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
    """Prepare the framework for this Spark task: its own GPU where it has one."""
    prepare_framework(num_threads=num_threads, gpus=task_gpus())


def limit_native_threads() -> None:
    """Keep OpenCV to the task's own core, as Spark keeps OpenMP: it already runs a task on each."""
    import cv2

    cv2.setNumThreads(1)
