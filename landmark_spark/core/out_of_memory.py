"""Tells a framework's "out of memory" from every other error."""

from __future__ import annotations

__all__ = ["is_out_of_memory"]

_NAMES = {"ResourceExhaustedError", "OutOfMemoryError"}  # TensorFlow's; PyTorch's
_WORDS = ("resource_exhausted", "out of memory", "cudnn_status_alloc_failed")  # JAX's XlaRuntimeError says it in words


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of TensorFlow, JAX or PyTorch means that the device's or the host's memory ran out.

    Told by names and words, so that no framework is loaded for the sake of its exceptions.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or kinds & _NAMES:
        return True
    is_of_a_framework = isinstance(error, RuntimeError) or "OpError" in kinds  # TensorFlow's own root
    return is_of_a_framework and any(word in str(error).lower() for word in _WORDS)
