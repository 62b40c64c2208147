"""Says which landmark a photo shows, by the models of a finished store, without Spark: as the batch job would.

Load once, call per photo::

    identify = load_identifier(load_config(Path("conf/mini.yaml"), []))
    answer = identify("photo.jpg")  # bytes, the path of a file, or a URL
    print(answer.verdict, answer.candidates[0].name)

Each step is the function that the stage runs in its tasks, on a batch of one row.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from landmark_spark.answers import Answer, Candidate, verdict_of
from landmark_spark.commits import WHOLE, StoreError
from landmark_spark.core.counted import counted
from landmark_spark.core.fusion import LEARNED
from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.published_weights import resolve_network_weights
from landmark_spark.core.similarity import round_features
from landmark_spark.core.verification import Verification
from landmark_spark.gpu import prepare_framework
from landmark_spark.match_pictures import draw_match, find_best_match
from landmark_spark.naming import Named, Naming, load_naming
from landmark_spark.photo_intake import Photo, PhotoError, load_intake
from landmark_spark.readiness import check_ready
from landmark_spark.reference_lookup import ReferenceLookup
from landmark_spark.schemas import DELF_MODEL, IMAGES, LANDMARKS, NO_CLASS
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.download_worker import Downloaded
from landmark_spark.stages.extract_bottlenecks import BackboneTask, backbone_task
from landmark_spark.stages.extract_global_descriptors import find_descriptor_networks
from landmark_spark.stages.feature_kinds import ship_features
from landmark_spark.store import Store, arrow_schema

__all__ = ["Identifier", "load_identifier"]

_ID = ""  # of a photo: no image of a store has it


def load_identifier(config: Config) -> Identifier:
    """Load what a configuration's store has learned; the framework is told to use all cores.

    Loaded are the networks, the whitened vectors of all training images, the heads, the names of the landmarks and the
    ids of the references; features of references are read when their landmark is named.

    Raises StoreError where the store is not finished, or not up to date with the configuration (csv files and served
    folders may be gone); ConfigError, WeightsNotFound and WeightsError as the stages do.
    """
    resolve_network_weights(config.backbone.name, config.backbone.weights)
    find_descriptor_networks(config)  # settings that no run could have made
    store = Store(config.store)
    last = "fuse_evidence" if config.submission.mode == LEARNED else "verify_landmarks"
    check_ready(config, store, last, wants="identify")
    prepare_framework(num_threads=len(os.sched_getaffinity(0)), gpus=None)
    try:
        identifier = Identifier(config, store)
        identifier.warm_up()
    except ConfigError:
        raise
    except ValueError as error:  # of files that are not what the stages wrote
        raise StoreError(f"identify should have models as the stages wrote them. Received: {error}") from error
    return identifier


class Identifier:
    """Answers for one photo after the other; ``load_identifier`` makes it. Not for several threads at once."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self._intake = load_intake(config)
        self._naming: Naming = load_naming(config, store)
        takes_bottleneck = self._naming.takes_bottleneck or config.verify.reference_order == "similarity"
        self._backbone: BackboneTask | None = backbone_task(config, store) if takes_bottleneck else None
        self._extract = ship_features(store, config.local_features, store.commits(DELF_MODEL)[WHOLE]).load()
        self._references = ReferenceLookup(store, config, self._extract)
        rows = store.read_arrow(LANDMARKS, ["landmark_id", "name"])
        self._names = dict(zip(rows["landmark_id"].to_pylist(), rows["name"].to_pylist(), strict=True))

    def __call__(self, photo: Photo) -> Answer:
        """Identify a photo. Raises PhotoError where it gives no picture, StoreError where the store has changed."""
        steps = _Steps()
        taken = self._intake(photo)
        steps.end("picture")
        try:
            return self._identify(taken, steps)
        except ValueError as error:  # such as a descriptor that overflows float16
            raise PhotoError("internal_error", f"internal_error: {error}") from error

    def draw(self, answer: Answer, place: int = 0) -> NDArray[np.uint8]:
        """Draw the photo beside the reference of a candidate that it fits best: (H, W, 3) uint8 RGB.

        place: of the candidate in the answer. Raises ValueError where that has no reference.
        """
        candidate = answer.candidates[place]
        references = self._references.of([candidate.landmark_id])[candidate.landmark_id].features
        best_id = candidate.best_reference_id
        found = [(name, each) for _, name, each in references if best_id in (None, name)]
        if not found:
            raise ValueError(f"landmark {candidate.landmark_id} should have references with features. Received: none")
        match = find_best_match(answer.features, found, self.config)
        threshold = self.config.verify.min_inliers
        caption = (
            f"{answer.verdict}   landmark {candidate.landmark_id}{f' ({candidate.name})' if candidate.name else ''}",
            f"reference {match.reference_id}   {counted(match.num_inliers, 'inlier')} of "
            f"{counted(len(match.matched[2]), 'match', 'matches')} (more than {threshold} verify)",
        )
        picture = self._references.picture(match.reference_id)
        return draw_match(answer.large_image, answer.features, picture, match, caption)

    def warm_up(self) -> None:
        """Load what is loaded when it is first used."""
        grey = encode_jpeg(np.full((192, 256, 3), 128, np.uint8), 90)
        with contextlib.suppress(PhotoError):  # limits may refuse even this one
            image = _row(self._intake(grey))
            self._naming.name(image, self._bottleneck(image))
        self._extract([decode_jpeg(grey)])

    def _bottleneck(self, image: pa.RecordBatch) -> pa.RecordBatch | None:
        return None if self._backbone is None else next(iter(self._backbone([image])))

    def _identify(self, taken: Downloaded, steps: _Steps) -> Answer:
        image = _row(taken)
        bottleneck = self._bottleneck(image)
        steps.end("bottleneck")
        named = self._naming.name(image, bottleneck)
        steps.end("naming")
        (features,) = self._extract([decode_jpeg(taken.large_image or b"")])
        steps.end("local features")
        compared = [each.landmark_id for each in named if each.is_compared]
        references = self._references.of(compared)
        steps.end("references")
        whole = None if bottleneck is None else round_features(bottleneck["features"][0].as_py())
        verifications = {each: references[each].verify(_ID, features, whole, self.config.verify) for each in compared}
        steps.end("verification")
        candidates = tuple(
            self._candidate(each, score, verifications.get(each.landmark_id))
            for each, score in self._naming.rank(named, verifications)
        )
        return Answer(
            verdict=verdict_of(candidates, is_probability=self._naming.is_probability),
            candidates=candidates,
            width=taken.width,
            height=taken.height,
            seconds=steps.seconds(),
            large_image=taken.large_image or b"",
            features=features,
        )

    def _candidate(self, named: Named, score: float | None, verification: Verification | None) -> Candidate:
        found: dict[str, Any] = {} if verification is None else vars(verification)
        return Candidate(named.landmark_id, self._names.get(named.landmark_id, ""), score, named.evidence, **found)


def _row(taken: Downloaded) -> pa.RecordBatch:
    """Return the row of images that the photo would have as a test image."""
    known = vars(taken) | {"id": _ID, "split": "test", "url": "", "host": "", "holdout": 0.0, "shard": 0}
    none = dict.fromkeys(("landmark_id", "class_index", "reference_rank"), NO_CLASS)
    return pa.RecordBatch.from_pylist([known | none], schema=arrow_schema(IMAGES))


class _Steps:
    """Measures the seconds of one step after the other."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._steps: dict[str, float] = {}

    def end(self, name: str) -> None:
        """Note that a step has ended."""
        now = time.perf_counter()
        self._steps[name] = now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """Return the seconds of the whole, then of each step."""
        return {"total": self._last - self._start, **self._steps}
