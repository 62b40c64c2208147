"""Fine-tuning: the upper layers of the base and the trained top, as one model from pixels to scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmark_spark.core.backbone import NetworkPlan, base_of, build_network
from landmark_spark.core.model_files import MODEL_FILE, load_model, save_model, write_classes, write_history, write_json
from landmark_spark.core.refitting import Phase, Training, train_and_refit
from landmark_spark.core.top_model import smoothed_cross_entropy
from landmark_spark.core.training_loop import BuildTrainee, History, Trainee, build_trainee

__all__ = ["FINE_TUNING_FILE", "FineTuningPlan", "build_fine_tuned", "fine_tune"]

FINE_TUNING_FILE = "fine_tuning.json"


@dataclass(frozen=True)
class FineTuningPlan:
    """What decides the weights besides the data and the top models.

    network: what the bottlenecks were made with. num_frozen_layers: the first layers of its base, as Keras counts them,
    that stay as they are; VGG16's first 15 end with block4_pool.
    """

    network: NetworkPlan
    num_frozen_layers: int
    learning_rate: float
    momentum: float
    label_smoothing: float
    seed: int


def fine_tune(
    plan: FineTuningPlan,
    training: Training,
    top_models: Mapping[Phase, Path],
    *,
    landmark_ids: npt.NDArray[np.int64],
    folder: Path,
    build: BuildTrainee = build_trainee,
) -> History:
    """Train on batches of images (B, H, W, 3) uint8; write model, class map, history and plan into ``folder``.

    SGD with momentum on the smoothed cross-entropy, from the weights of the network and of the top model.
    top_models: that to start from where the held-out part is measured, which has not seen it, and that for the model
    that is kept. landmark_ids: (C,) int64. Returns one value an epoch, of the training that was measured.
    """
    import keras

    def make_trainee(phase: Phase) -> Trainee:
        keras.utils.set_random_seed(plan.seed)
        return build(
            lambda: build_fine_tuned(plan, load_model(top_models[phase])),
            lambda: keras.optimizers.SGD(plan.learning_rate, momentum=plan.momentum),
            smoothed_cross_entropy(len(landmark_ids), plan.label_smoothing),
        )

    trained = train_and_refit(training, make_trainee)
    save_model(trained.kept.model, folder / MODEL_FILE)
    write_classes(folder, landmark_ids)
    write_history(folder, trained.history)
    network = asdict(replace(plan.network, weights=None))  # a path says nothing of what was in it
    made_with = {"epochs": training.plan.epochs, "keras": keras.__version__, "backend": keras.backend.backend()}
    write_json(folder / FINE_TUNING_FILE, vars(plan) | {"network": network} | made_with)
    return trained.history


def build_fine_tuned(plan: FineTuningPlan, top: Any) -> Any:
    """Return one Keras model: images (B, H, W, 3) uint8 -> scores (B, C), its lower layers frozen.

    top: a model of features (B, D) -> scores (B, C), D the size of the network's output. Raises ValueError where the
    two do not fit, or the base has fewer layers than are to be frozen.
    """
    import keras

    network = build_network(plan.network)
    layers = base_of(network).layers
    if plan.num_frozen_layers > len(layers):
        raise ValueError(
            f"num_frozen_layers should be at most {len(layers)} for {plan.network.name}. "
            f"Received: {plan.num_frozen_layers}"
        )
    for layer in layers[: plan.num_frozen_layers]:
        layer.trainable = False
    features = keras.layers.Flatten(name="features")(network.outputs[0])
    if features.shape[1:] != top.input_shape[1:]:
        raise ValueError(
            f"the top model should take {features.shape[1]} features of {plan.network.name}. "
            f"Received: one of {top.input_shape[1]}"
        )
    return keras.Model(network.inputs, top(features), name="fine_tuned_model")
