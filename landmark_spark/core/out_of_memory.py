"""Tells a framework's "out of memory" from every other error."""

from __future__ import annotations

__all__ = ["is_out_of_memory"]

_NAMES = ("ResourceExhaustedError", "OutOfMemoryError")  # TensorFlow's; PyTorch's
_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "CUDNN_STATUS_ALLOC_FAILED")  # JAX's XlaRuntimeError says it in words


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of TensorFlow, JAX or PyTorch means that the device's or the host's memory ran out.

    Told by names and words, so that no framework is loaded for the sake of its exceptions.
    """
    if isinstance(error, MemoryError) or any(kind.__name__ in _NAMES for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
