"""Decides in which precision a network computes: what the processor or the GPU has units for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["CPU_KINDS", "PRECISIONS", "choose_precision", "gpu_capability", "kind_of_cpu", "resolve_precision"]

CPU_KINDS = ("avx2", "avx512", "amx")
PRECISIONS = ("float32", "bfloat16", "float16")
_BFLOAT16_CAPABILITY = 8.0  # CUDA's compute capability from which tensor cores take bfloat16: Ampere


def resolve_precision(precision: str) -> str:
    """Return the precision that ``auto`` means on this machine, or the one that was named. Raises ValueError.

    Asks the framework for its GPU: call it once the task has its device.
    """
    if precision == "auto":
        return choose_precision(capability=gpu_capability(), cpu_flags=_cpu_flags())
    if precision not in PRECISIONS:
        raise ValueError(f"precision should be auto or one of {', '.join(PRECISIONS)}. Received: {precision!r}")
    return precision


def choose_precision(*, capability: float | None, cpu_flags: frozenset[str]) -> str:
    """Return bfloat16 where there are units that multiply matrices of it, else float32.

    capability: CUDA's compute capability of the GPU; None without one. cpu_flags: as /proc/cpuinfo names them. AMX
    tiles are such units; AVX-512's dot products of bfloat16 (avx512_bf16) alone are not: with them VGG16 in mixed
    precision ran at half the rate of float32.
    """
    if capability is not None:
        return "bfloat16" if capability >= _BFLOAT16_CAPABILITY else "float32"
    return "bfloat16" if "amx_bf16" in cpu_flags else "float32"


def kind_of_cpu(flags: frozenset[str] | None = None) -> str:
    """Return which units a processor multiplies matrices with, one of CPU_KINDS. flags: of this one where None."""
    found = _cpu_flags() if flags is None else flags
    return "amx" if "amx_bf16" in found else "avx512" if "avx512f" in found else "avx2"


def gpu_capability() -> float | None:
    """Return the compute capability of the GPU that Keras' backend uses, such as 8.0; None where it uses none."""
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        return _of_tensorflow()
    if backend == "torch":
        import torch

        return _as_number(torch.cuda.get_device_capability()) if torch.cuda.is_available() else None
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return float(device.compute_capability) if device.platform == "gpu" else None
    return None


def _of_tensorflow() -> float | None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    capability: Any = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    return _as_number(capability) if capability else 0.0  # a GPU that is not CUDA's


def _as_number(capability: tuple[int, int]) -> float:
    return capability[0] + capability[1] / 10


def _cpu_flags() -> frozenset[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if os.access(path, os.R_OK) else []
    return frozenset(next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "").split())
