"""Says of each test photo, by its name, what submission.csv answers: from the tables of a store, without Spark."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from landmark_spark.answers import UNKNOWN, Candidate, verdict_of
from landmark_spark.commits import WHOLE, Commit, StoreError
from landmark_spark.contents import check_file
from landmark_spark.core.fusion import LEARNED
from landmark_spark.core.metrics import Prediction
from landmark_spark.core.photo_names import called
from landmark_spark.core.printable import printable
from landmark_spark.core.submission import parse_answers, parse_submission
from landmark_spark.inventory import take_inventory
from landmark_spark.pipeline import stage_named
from landmark_spark.planning import input_digests
from landmark_spark.schemas import FUSION, IMAGES, LANDMARKS, RECORDS, REJECTS, SUBMISSION, VERIFICATIONS, Table
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.fuse_evidence import read_fusion
from landmark_spark.store import Store
from landmark_spark.whole_files import is_local

__all__ = ["PhotoAnswer", "check_outside", "read_answers", "to_csv"]

_FORMULAS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class PhotoAnswer:
    """What submission.csv says of one photo, in words.

    photo: its URL as test.csv has it, without user name and password; of a served folder its path there, decoded; empty
    where the row was refused. verdict: as ``identify`` gives it, or why there is no picture: a word of
    core.statuses.STATUSES or core.records.REASONS. landmark_id and confidence: None where nothing is answered.
    landmark: the name of landmarks.csv; empty where it has none.
    """

    id: str
    photo: str
    verdict: str
    landmark_id: int | None = None
    landmark: str = ""
    confidence: float | None = None


def read_answers(config: Config) -> list[PhotoAnswer]:
    """Return a row for every photo of test.csv, in its order, as the store's submission.csv has them.

    Raises StoreError where it is not made yet, is not as it was written, or was made of other tables than there are.
    """
    store = Store(config.store)
    commit = _checked_submission(config, store)
    try:
        return _answers(config, store, commit)
    except ValueError as error:  # of files that are not what the stages wrote
        raise StoreError(f"answers should have tables as the stages wrote them. Received: {error}") from error


def check_outside(config: Config, path: Path) -> None:
    """Raise ConfigError for a file within the store, which is its run's alone."""
    store = Store(config.store)
    if is_local(store.file_system) and path.resolve().is_relative_to(Path(store.url).resolve()):
        raise ConfigError(f"--csv should lie outside the store. Received: {path}")


def to_csv(answers: Iterable[PhotoAnswer]) -> str:
    """Return the csv file, quoted where it is needed; None is an empty cell.

    A text that a spreadsheet would take for a formula, which others may have put into a name, begins with an
    apostrophe.
    """
    with io.StringIO(newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(each.name for each in fields(PhotoAnswer))
        writer.writerows([_cell(value) for value in astuple(each)] for each in answers)
        return file.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)  # csv.writer leaves a carriage return without quotes
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _checked_submission(config: Config, store: Store) -> Commit:
    """Return the commit of a submission that is whole, and was made of the tables that are there now."""
    stage = stage_named("write_submission")
    inventory = take_inventory(store, config, (stage,))
    commit = inventory.commits[SUBMISSION.name].get(WHOLE)
    again = "landmark-spark run with the same --config and --set makes it"
    if commit is None:
        raise StoreError(f"answers should have a submission. Received: none in {store.url}: {again}")
    if fault := next(filter(None, (check_file(store, each) for each in commit.files)), ""):
        raise StoreError(
            f"answers should have a submission as it was written. Received: {fault}; if it is removed, {again}"
        )
    current = input_digests(stage, WHOLE, inventory)
    if any(commit.stamp.inputs.get(name) != digest for name, digest in current.items()):
        raise StoreError(
            "answers should have a submission of the tables that are there. Received: one of earlier tables in "
            f"{store.url}: {again} anew"
        )
    return commit


def _answers(config: Config, store: Store, commit: Commit) -> list[PhotoAnswer]:
    lines = [line for each in commit.files for line in (store.read_bytes(each.path) or b"").splitlines(keepends=True)]
    ids = [image_id for image_id, _ in parse_answers(lines, source=SUBMISSION.path)]
    predictions = {each.id: each for each in parse_submission(lines, source=SUBMISSION.path)}
    urls = _column_of_tests(store, RECORDS, "url")
    outcomes = _column_of_tests(store, REJECTS, "reason") | _column_of_tests(store, IMAGES, "status")
    names = _names(store)
    verdicts = _verdicts(store, commit, predictions)
    rows = []
    for image_id in ids:
        photo = called(urls.get(image_id, ""), is_served=bool(config.serve_folder))
        outcome = outcomes.get(image_id, "ok")
        answer = predictions.get(image_id)
        if answer is None:
            rows.append(PhotoAnswer(image_id, photo, UNKNOWN if outcome == "ok" else outcome))
        else:
            name = printable(names.get(answer.landmark_id, ""))
            rows.append(PhotoAnswer(image_id, photo, verdicts[image_id], answer.landmark_id, name, answer.score))
    return rows


def _column_of_tests(store: Store, table: Table, column: str) -> dict[str, str]:
    """Return a text column of the test rows that have an id, the first of each."""
    rows = store.read_arrow(table, ["id", "split", column])
    mine = rows.filter(pa.compute.equal(rows["split"], "test"))
    pairs = zip(mine["id"].to_pylist(), mine[column].to_pylist(), strict=True)
    return {name: text for name, text in reversed(list(pairs)) if name}


def _names(store: Store) -> dict[int, str]:
    rows = store.read_arrow(LANDMARKS, ["landmark_id", "name"])
    return dict(zip(rows["landmark_id"].to_pylist(), rows["name"].to_pylist(), strict=True))


def _verdicts(store: Store, commit: Commit, predictions: Mapping[str, Prediction]) -> dict[str, str]:
    """Return the verdict on each prediction, as ``identify`` would give it."""
    rows = store.read_arrow(VERIFICATIONS, ["id", "landmark_id", "is_verified"])
    found = rows.filter(rows["is_verified"]).select(["id", "landmark_id"]).to_pydict()
    verified = set(zip(found["id"], found["landmark_id"], strict=True))
    is_probability = commit.stamp.settings.get("submission.mode") == LEARNED and (
        read_fusion((store.read_bytes(FUSION.path) or b"").decode()) is not None
    )
    return {
        name: verdict_of([_as_candidate(each, verified)], is_probability=is_probability)
        for name, each in predictions.items()
    }


def _as_candidate(answer: Prediction, verified: set[tuple[str, int]]) -> Candidate:
    is_verified = (answer.id, answer.landmark_id) in verified
    return Candidate(answer.landmark_id, "", answer.score, {}, is_verified=is_verified)
