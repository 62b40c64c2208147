"""What is named is ranked by the learned weights of the evidence, or as the submission's other modes rank it."""

import json
import math

import numpy as np
import pytest

from landmark_spark.commits import StoreError
from landmark_spark.config import load_config
from landmark_spark.core.evidence_fusion import Fusion
from landmark_spark.core.verification import Verification
from landmark_spark.naming import Named, _Learned, _Predicted, _read_fusion
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.stages.fuse_evidence import read_fusion, score_evidence
from landmark_spark.store import Store


def verified(num_inliers):
    return Verification(num_inliers, 1, 1, "r", num_inliers > 35)


def evidence(closest, neighbours=0.0):
    return dict.fromkeys(EVIDENCE[:-1], 0.0) | {"neighbours": neighbours, "closest": closest}


def test_scores_are_probabilities_by_the_weights():
    fusion = Fusion(("closest", "inliers"), np.array([0.5, 0.2]), np.array([0.1, 0.4]), np.array([2.0, 1.0]), -1.0)
    values = {"inliers": np.array([0.2, 1.0]), "closest": np.array([0.55, 0.4]), "head": np.array([9.0, 9.0])}
    # Log odds: 2 * 0.05 / 0.1 - 1 = 0; 2 * -0.1 / 0.1 + 0.8 / 0.4 - 1 = -1.
    assert score_evidence(values, fusion) == pytest.approx([0.5, 1 / (1 + math.e)], rel=1e-12)
    assert score_evidence({"closest": np.array([-0.1, 0.3, 1.0001])}, None).tolist() == [0.0, 0.3, 1.0]
    low = Fusion(("closest",), np.zeros(1), np.ones(1), np.array([1e4]), 0.0)
    assert score_evidence({"closest": np.array([-1.0])}, low).tolist() == [0.0]


def test_the_weights_are_read_as_they_were_written():
    fusion = Fusion(("closest",), np.array([0.5]), np.array([0.1]), np.array([2.0]), -1.0)
    found = read_fusion(json.dumps({"learned": True, **fusion.to_json(), "cross_validated": {}}))
    assert found.to_json() == fusion.to_json()
    assert read_fusion('{"learned": false, "alone": "closest"}') is None
    for text in ("", "[]", "{}", '{"learned": true}'):
        with pytest.raises(ValueError):
            read_fusion(text)


def test_inliers_count_up_to_the_limit_and_the_best_score_comes_first():
    fusion = Fusion(("closest", "inliers"), np.zeros(2), np.ones(2), np.array([1.0, 2.0]), 0.0)
    naming = _Learned(None, None, fusion, full_inliers=20)
    assert naming.is_probability
    named = [Named(7, evidence(0.9)), Named(8, evidence(0.5)), Named(9, evidence(0.5))]
    ranked = naming.rank(named, {7: verified(0), 8: verified(10), 9: verified(90)})
    assert [each.landmark_id for each, _ in ranked] == [9, 8, 7]
    odds = (0.5 + 2.0, 0.5 + 1.0, 0.9)  # of 90 inliers as of 20; of 10 half
    assert [score for _, score in ranked] == pytest.approx([1 / (1 + math.exp(-each)) for each in odds])
    assert naming.rank([], {}) == []


def test_where_no_training_image_is_described_nothing_is_named():
    naming = _Learned(iter, lambda described: iter(()), None, full_inliers=35)
    assert naming.name(None, None) == []


def test_of_equal_scores_the_closer_one_comes_first_and_without_weights_none_is_a_probability():
    naming = _Learned(None, None, None, full_inliers=35)
    assert not naming.is_probability
    named = [Named(7, evidence(0.4)), Named(5, evidence(0.4)), Named(6, evidence(0.6))]
    ranked = naming.rank(named, dict.fromkeys((5, 6, 7), verified(0)))
    assert [(each.landmark_id, score) for each, score in ranked] == [(6, 0.6), (7, 0.4), (5, 0.4)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("classifier", [(1, 0.5), (2, None), (3, None)]),
        ("decision", [(2, 0.25), (1, None), (3, None)]),
        ("fused", [(2, 0.25 + 1.0), (1, 0.5 + 14 / 35), (3, None)]),
    ],
)
def test_predictions_are_ranked_as_the_submission_ranks_them(mode, expected):
    config = load_config(None, [f"submission.mode={mode}", "verify.candidates=2"])
    naming = _Predicted(None, config, takes_bottleneck=True)
    assert not naming.is_probability
    named = [Named(each, {"confidence": score}, each < 3) for each, score in ((1, 0.5), (2, 0.25), (3, 0.125))]
    ranked = naming.rank(named, {1: verified(14), 2: verified(40)})
    assert [(each.landmark_id, score) for each, score in ranked] == expected


def test_weights_that_are_gone_are_said_with_their_place(tmp_path):
    store = Store(str(tmp_path))
    for text in (None, "half a fi"):
        if text:
            (tmp_path / "fusion.json").write_text(text)
        with pytest.raises(StoreError, match=f"{tmp_path}/fusion.json should be as fuse_evidence wrote it. Received: "):
            _read_fusion(store)
