"""The steps from the entry of 2018 to all evidence, from the tables of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from landmark_spark.core.fusion import MODES
from landmark_spark.core.ladder import TECHNIQUES, Step, TestCandidates, learned_steps
from landmark_spark.core.suppression import hold_back
from landmark_spark.report.evidence import Judged, predictions_of
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.settings import Config
from landmark_spark.stages.fuse_evidence import examples_from

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LADDER_COLUMNS", "STAGES_OF", "ladder_steps"]

_RECIPE = {
    "classifier": "2018: classifier alone",
    "decision": "2018: verified only",
    "fused": "2018: fused with verification",
}
STAGES_OF = {
    "2018: classifier alone": ("extract_bottlenecks", "train_top_model", "fine_tune", "predict_landmarks"),
    "2018: verified only": ("train_delf", "extract_local_features", "verify_landmarks"),
    "nearest neighbours": ("extract_global_descriptors", "train_retrieval", "retrieve_neighbours"),
    "+ geometric verification": ("train_delf", "extract_local_features", "verify_landmarks"),
}
"""The stages that a step needs and the one before it did not."""


LADDER_COLUMNS = ("id", "rank", "split", "fold", "landmark_id", "true_landmark_id", *EVIDENCE)
"""What the steps take of the candidates."""


def ladder_steps(config: Config, judged: Sequence[Judged], candidates: pd.DataFrame) -> list[Step]:
    """Return the modes of the 2018 recipe, then a step for each technique of retrieval and learned fusion.

    judged: the candidates of the recipe, those of an image next to each other, the best predicted first. candidates:
    the columns of the table, and ``inliers``. Where there is nothing to learn from, the recipe's are all.
    """
    full, settings = config.submission.full_inliers, config.fusion
    weighed = settings.evidence.split()
    techniques = [(name, tuple(each for each in added if each in weighed)) for name, added in TECHNIQUES]
    recipe = [Step(_RECIPE[mode], predictions_of(judged, mode, full_inliers=full)) for mode in reversed(MODES)]
    playing, tests = candidates[candidates["split"] != "test"], candidates[candidates["split"] == "test"]
    found = TestCandidates(
        tests["id"].tolist(),
        tests["landmark_id"].to_numpy(np.int64),
        {name: tests[name].to_numpy(np.float64) for name in EVIDENCE},
    )
    try:
        learned = learned_steps(
            examples_from(playing),
            found,
            penalty=settings.penalty,
            non_landmark_share=settings.non_landmark_share,
            techniques=techniques,
        )
    except ValueError:  # fuse_evidence has said why
        learned = []
    if learned and settings.max_answers:
        learned = [*learned, _held_back(learned[-1], settings.max_answers)]
    return recipe + learned


def _held_back(step: Step, max_answers: int) -> Step:
    """Return the step of answers weighed down; training images have another distribution and say nothing of it."""
    odds = np.array([each.score for each in step.predictions], np.float64)
    landmark_ids = np.array([each.landmark_id for each in step.predictions], np.int64)
    scores = hold_back(0.5 * (1.0 + np.tanh(odds / 2)), landmark_ids, max_answers)
    held = [each._replace(score=float(score)) for each, score in zip(step.predictions, scores, strict=True)]
    return Step("+ frequent landmarks held back", held)
