"""The order of references: cosines by hand, ties, what is unknown."""

from __future__ import annotations

import numpy as np

from landmark_spark.core.similarity import order_by_similarity, round_features


def _packed(*values: float) -> bytes:
    return np.array(values, "<f2").tobytes()


def test_features_are_rounded_to_a_length_of_two_to_the_20():
    assert round_features(_packed(3, 0, 4)).tolist() == [629146, 0, 838861]  # 0.6 and 0.8 of it: 629145.6, 838860.8
    assert round_features(_packed(6, 0, 8)).tolist() == [629146, 0, 838861]
    assert round_features(_packed(0, 0)).tolist() == [0, 0]
    assert round_features(_packed(float("nan"), 1, float("inf"))).tolist() == [0, 2**20, 0]


def test_most_similar_come_first_and_equal_ones_by_id():
    query = round_features(_packed(1, 0))
    names = {"d": (0, 1), "c": (1, 1), "b": (2, 2), "e": (1, 0.1), "a": (-1, 0)}  # cosines 0, .71, .71, .995, -1
    references = [(name, round_features(_packed(*values))) for name, values in names.items()]
    assert [references[place][0] for place in order_by_similarity(query, references)] == ["e", "b", "c", "d", "a"]
    turned = references[::-1]
    assert [turned[place][0] for place in order_by_similarity(query, turned)] == ["e", "b", "c", "d", "a"]


def test_order_is_that_of_numpys_cosines():
    features = np.abs(np.random.default_rng(0).normal(size=(21, 8192))).astype("<f2")
    unit = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    expected = np.argsort(-(unit[1:] @ unit[0])).tolist()
    references = [(f"r{number:02d}", round_features(each.tobytes())) for number, each in enumerate(features[1:])]
    assert order_by_similarity(round_features(features[0].tobytes()), references) == expected


def test_references_without_features_come_last():
    query = round_features(_packed(1, 0))
    references = [("a", None), ("c", round_features(_packed(1, 0, 0))), ("b", round_features(_packed(-1, 0)))]
    assert order_by_similarity(query, references) == [2, 0, 1]
    assert order_by_similarity(None, references) == [0, 2, 1]
