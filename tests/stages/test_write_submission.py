"""The submission where several landmarks of an image were verified."""

import pytest

from landmark_spark.config import load_config
from landmark_spark.schemas import PREDICTIONS, VERIFICATIONS
from landmark_spark.settings import SubmissionSettings
from landmark_spark.stages.write_submission import _cell, candidate_predictions, submission_also
from landmark_spark.store import spark_schema

pytestmark = pytest.mark.jvm


def chosen_of(spark, predicted, verified, num_candidates):
    rows = candidate_predictions(
        spark.createDataFrame(predicted, spark_schema(PREDICTIONS), verifySchema=False),
        spark.createDataFrame(verified, spark_schema(VERIFICATIONS), verifySchema=False),
        load_config(None, [f"verify.candidates={num_candidates}"]),
    )
    return rows.orderBy("id", "rank").collect()


def test_answer_is_the_best_scoring_candidate_and_others_predicted_do_not_count(spark):
    predicted = [("a", 0, 10, 0, 0.6, 0), ("a", 1, 11, 1, 0.3, 0), ("a", 2, 12, 2, 0.1, 0), ("b", 0, 12, 2, 0.5, 1)]
    verified = [("a", 10, 7, 20, 20, "r", False, 0), ("a", 11, 40, 1, 20, "s", True, 0)]
    found = chosen_of(spark, predicted, verified, 3)
    assert [(row.id, row.landmark_id) for row in found] == [("a", 10), ("a", 11), ("b", 12)]
    cells = {mode: _cell(found[:2], SubmissionSettings(mode=mode)).split()[0] for mode in ("fused", "decision")}
    assert cells == {"fused": "11", "decision": "11"}
    assert float(_cell(found[:2], SubmissionSettings(mode="fused")).split()[1]) == pytest.approx(1.3)
    assert _cell(found[:2], SubmissionSettings(mode="classifier")).split()[0] == "10"
    assert _cell(found[2:], SubmissionSettings(mode="decision")) == ""


def test_predictions_that_are_verified_as_candidates_of_retrieval_do_not_count(spark):
    predicted = [("a", 0, 10, 0, 0.6, 0), ("a", 1, 11, 1, 0.3, 0), ("a", 2, 12, 2, 0.1, 0), ("b", 0, 12, 2, 0.5, 1)]
    verified = [(name, landmark, 50, 1, 20, "s", True, 0) for name in "ab" for landmark in (10, 11, 12, 13)]
    for num_candidates, wanted in ((1, [10]), (2, [10, 11]), (5, [10, 11, 12])):
        found = chosen_of(spark, predicted, verified, num_candidates)
        assert [row.landmark_id for row in found] == [*wanted, 12]  # and that of b


def test_the_submission_depends_on_how_many_predictions_are_candidates():
    assert submission_also(load_config(None, ["verify.candidates=4"])) == {"verify.candidates": 4}
