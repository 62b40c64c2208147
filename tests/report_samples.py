"""Data of a report that has everything."""

import dataclasses

import numpy as np

from landmark_spark.core.bootstrap import Interval
from landmark_spark.core.images import encode_jpeg
from landmark_spark.core.ladder import Rung
from landmark_spark.report.data import KINDS, Confusion, Example, InlierSample, ReportData, ScoreSample

__all__ = ["example", "full", "picture"]


def picture(shade=80):
    return encode_jpeg(np.full((40, 60, 3), shade, np.uint8), 80)


def example(number=0, **changes):
    values = {
        "kind": "accepted",
        "test_id": f"test{number}",
        "landmark_id": 1000 + number,
        "landmark_name": "Old Mill",
        "confidence": 0.8765,
        "num_inliers": 1234,
        "reference_id": f"reference{number}",
        "verdict": "right",
        "picture": picture(),
    }
    return Example(**(values | changes))


def full(**changes):
    data = ReportData(
        title="A run",
        created="2025-03-02 14:05 UTC",
        submission_mode="fused",
        metrics={
            "classifier": {"gap": 0.42126, "top1": 0.6512, "num_predictions": 1900, "num_positives": 1640},
            "fused": {"gap": 0.58941, "top1": 0.65121, "num_predictions": 1901, "num_positives": 1641},
        },
        ladder=[
            Rung("classifier", Interval(0.42126, 0.4, 0.45), None, 0.6512, None),
            Rung("fused", Interval(0.58941, 0.5, 0.625), Interval(0.1682, 0.125, 0.25), 0.65121, 0.5625),
        ],
        precision_curves={"fused": np.array([1.0, 0.5])},
        scores=ScoreSample(right=np.array([0.9, 0.8]), wrong=np.array([0.2])),
        inliers=InlierSample(35, right=np.array([35, 36, 90]), wrong=np.array([4])),
        history={"loss": [2.0, 1.23456], "accuracy": [0.5, 0.75], "val_loss": [2.5, 2.25], "val_accuracy": [0.4, 0.6]},
        confusions=[Confusion("Old Mill", "New Mill", 3)],
        imagined=[("Tower", 8)],
        downloads={"ok": 11234, "http_404": 312},
        hosts={"a.example.org": (11234, 312)},
        rejects={"duplicate_id": 17},
        class_sizes=np.array([1, 5, 3000]),
        stage_times=[("index_images", 11546, 4.0), ("download_images", 11546, 3661.5), ("idle", 0, 0.0)],
        examples=[example(0), example(1), *(example(2 + place, kind=kind) for place, kind in enumerate(KINDS[1:]))],
    )
    return dataclasses.replace(data, **changes)
