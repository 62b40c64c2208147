"""The submission where several landmarks of an image were verified."""

import pytest

from landmark_spark.schemas import PREDICTIONS, VERIFICATIONS
from landmark_spark.settings import SubmissionSettings
from landmark_spark.stages.write_submission import _cell, candidate_predictions
from landmark_spark.store import spark_schema

pytestmark = pytest.mark.jvm


def test_answer_is_the_best_scoring_candidate_and_others_predicted_do_not_count(spark):
    predicted = [("a", 0, 10, 0, 0.6, 0), ("a", 1, 11, 1, 0.3, 0), ("a", 2, 12, 2, 0.1, 0), ("b", 0, 12, 2, 0.5, 1)]
    verified = [("a", 10, 7, 20, 20, "r", False, 0), ("a", 11, 40, 1, 20, "s", True, 0)]
    rows = candidate_predictions(
        spark.createDataFrame(predicted, spark_schema(PREDICTIONS), verifySchema=False),
        spark.createDataFrame(verified, spark_schema(VERIFICATIONS), verifySchema=False),
    ).orderBy("id", "rank")
    found = rows.collect()
    assert [(row.id, row.landmark_id) for row in found] == [("a", 10), ("a", 11), ("b", 12)]
    cells = {mode: _cell(found[:2], SubmissionSettings(mode=mode)).split()[0] for mode in ("fused", "decision")}
    assert cells == {"fused": "11", "decision": "11"}
    assert float(_cell(found[:2], SubmissionSettings(mode="fused")).split()[1]) == pytest.approx(1.3)
    assert _cell(found[:2], SubmissionSettings(mode="classifier")).split()[0] == "10"
    assert _cell(found[2:], SubmissionSettings(mode="decision")) == ""
