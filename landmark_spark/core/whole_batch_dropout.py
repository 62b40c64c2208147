"""Dropout that drops of some rows of a batch what plain Keras would drop of them, had it the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["Masks", "with_masks"]


class Masks:
    """What dropout layers draw within a step: a mask of the whole batch each, of which they take their rows."""

    def __init__(self) -> None:
        self.generators: list[Any] = []
        self._now: tuple[Sequence[Any], Any, Any] = ((), None, None)

    def begin(self, seeds: Sequence[Any], rows: Any, num_all: Any) -> None:
        """Let the layers drop for rows ``rows`` (B,) of ``num_all``, by a seed (2,) for each layer."""
        self._now = (seeds, rows, num_all)

    def drop(self, number: int, dropout: Any, inputs: Any) -> Any:
        """Return the inputs (B, ...) with what ``dropout`` drops of these rows of the whole batch."""
        import tensorflow as tf

        seeds, rows, num_all = self._now
        shape = (num_all, *inputs.shape[1:])
        noise_shape = None if dropout.noise_shape is None else _filled(dropout.noise_shape, shape)
        seed = tf.cast(seeds[number] % (tf.int32.max - 1), tf.int32)  # as Keras makes an int32 of its state
        kept = tf.nn.experimental.stateless_dropout(
            tf.ones(shape, inputs.dtype), rate=dropout.rate, seed=seed, noise_shape=noise_shape
        )
        return inputs * tf.gather(kept, rows)


def _filled(noise_shape: Sequence[int | None], shape: Sequence[Any]) -> list[Any]:
    return [full if wanted is None else wanted for wanted, full in zip(noise_shape, shape, strict=True)]


def with_masks(model: Any, masks: Masks) -> Any:
    """Return a model of the same layers, but for Dropout, which takes its masks from ``masks``."""
    import keras

    class WholeBatchDropout(keras.layers.Layer):  # type: ignore[misc]
        """Drops what ``dropout`` would drop of the whole batch."""

        def __init__(self, number: int, dropout: Any) -> None:
            super().__init__(name=dropout.name)
            self._number, self._dropout = number, dropout

        def call(self, inputs: Any, training: bool = False) -> Any:
            return masks.drop(self._number, self._dropout, inputs) if training else inputs

    def replaced(layer: Any) -> Any:
        if type(layer) is not keras.layers.Dropout or not layer.rate:
            return layer
        masks.generators.append(layer.seed_generator)
        return WholeBatchDropout(len(masks.generators) - 1, layer)

    return keras.models.clone_model(model, clone_function=replaced, recursive=True)
