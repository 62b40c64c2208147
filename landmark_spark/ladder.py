"""Says what each technique brings: from the tables of a finished store, and from copies of it with other settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landmark_spark.core.bootstrap import Interval
from landmark_spark.core.ladder import Rung, Step, climb
from landmark_spark.planning import choose
from landmark_spark.report.evidence import Judged
from landmark_spark.report.ladder_picture import draw_ladder
from landmark_spark.run_records import read_record
from landmark_spark.runner import plan, run
from landmark_spark.schemas import CANDIDATES, IMAGES, PREDICTIONS, VERIFICATIONS
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.ladder_steps import STAGES_OF, ladder_steps
from landmark_spark.stages.write_report import read_solution
from landmark_spark.store import Store
from landmark_spark.store_copies import copy_store
from landmark_spark.toy_inputs import described_inputs, draw_inputs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ladder", "Variant", "measure_ladder"]

Tell = Callable[[str], None]

_ALONE = (
    "<style>svg { color: #1d2126; font-family: sans-serif } "
    "@media (prefers-color-scheme: dark) { svg { color: #e8e6e3 } }</style>"
)


@dataclass(frozen=True)
class Ladder:
    """The rungs, and for each the seconds of the stages that it needs besides; NaN where they are not known."""

    rungs: tuple[Rung, ...]
    seconds: tuple[float, ...]

    def to_json(self) -> str:
        """Write it for machines."""
        rows = [
            {**dataclasses.asdict(rung), "seconds": None if np.isnan(seconds) else seconds}
            for rung, seconds in zip(self.rungs, self.seconds, strict=True)
        ]
        return json.dumps(rows, indent=1)

    def to_svg(self) -> str:
        """Draw the GAP of each step, as a picture that stands alone, on light and on dark pages."""
        picture = draw_ladder([(rung.name, rung.gap.value) for rung in self.rungs])
        head, _, body = picture.partition(">")
        return f"{head}>{_ALONE}{body}"

    def to_markdown(self) -> str:
        """Write it as a table."""
        lines = [
            "| technique | GAP | 95 % | gain | 95 % | top-1 | GAP, cross-validated | seconds |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for rung, seconds in zip(self.rungs, self.seconds, strict=True):
            gain = ("", "") if rung.gain is None else (f"{rung.gain.value:+.4f}", _ends(rung.gain))
            learned = "" if rung.cross_validated is None else f"{rung.cross_validated:.4f}"
            time = "" if np.isnan(seconds) else f"{seconds:.0f}"
            cells = (rung.name, f"{rung.gap.value:.4f}", _ends(rung.gap), *gain, f"{rung.top1:.4f}", learned, time)
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Variant:
    """The same pipeline with other settings: a name for people, and the whole configuration."""

    name: str
    config: Config


def measure_ladder(config: Config, variants: Sequence[Variant] = (), tell: Tell = print) -> Ladder:
    """Measure the steps that a finished store has the tables of, then each variant against the last of them.

    A variant runs in a copy of the store, ``<store>_ladder/<name>``, where what it shares is there already, and stays
    there: a second time it is up to date. The answers to test images decide nothing.

    Raises ConfigError without a solution, StoreError where a table is not there, and for variants what ``run`` raises.
    """
    if variants and "://" in config.store.removeprefix("file://"):
        raise ConfigError(f"store should be a folder, of which copies are made. Received: {config.store}")
    for each in variants:
        _check_variant(config, each)
    with described_inputs(config) as (described, _):
        solution = read_solution(described)
    if not solution:
        raise ConfigError("inputs.solution_csv should be given: without it there is no GAP. Received: none")
    steps = _steps_of(config)
    for planned in plan(config, choose(last="fuse_evidence")):
        if planned.shards:
            tell(f"warning: {planned.stage.name} is not up to date, and is measured as it is: {planned.reason}")
    rungs = climb(steps, solution)
    times = [_seconds(Store(config.store), STAGES_OF.get(step.name, ())) for step in steps]
    for variant in variants:
        last, seconds = _run_variant(config, variant, tell)
        rungs += climb([steps[-1], last], solution)[1:]
        times.append(seconds)
    return Ladder(tuple(rungs), tuple(times))


def _check_variant(config: Config, variant: Variant) -> None:
    """Raise ConfigError for what a variant cannot change, or what could not be run."""
    for name in ("store", "inputs", "toy", "serve_folder", "base_url"):
        if getattr(variant.config, name) != getattr(config, name):
            raise ConfigError(f"a variant should have the images of the store. Received: {name} in {variant.name!r}")


def _run_variant(config: Config, variant: Variant, tell: Tell) -> tuple[Step, float]:
    """Return the last step of the ladder with other settings, and the seconds of the stages that ran for it."""
    base = Path(config.store.removeprefix("file://"))
    name = f"{re.sub('[^A-Za-z0-9]+', '_', variant.name)}-{hashlib.sha256(variant.name.encode()).hexdigest()[:8]}"
    copy = base.with_name(f"{base.name}_ladder") / name
    images = Store(str(base)).commits(IMAGES)
    if copy.exists() and {each.digest for each in Store(str(copy)).commits(IMAGES).values()} != {
        each.digest for each in images.values()
    }:
        shutil.rmtree(copy)  # of other images than the store has now
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        copy_store(base, copy)
    # The world of the store itself, where it is a toy one: its photos have the same addresses for all.
    inputs = draw_inputs(config)
    changed = dataclasses.replace(
        variant.config,
        store=str(copy),
        inputs=inputs.inputs,
        serve_folder=inputs.serve_folder,
        base_url=inputs.base_url,
    )
    tell(f"ladder: {variant.name}, in {copy}")
    run(changed, choose(last="fuse_evidence"), tell, command="ladder")
    steps = _steps_of(changed)
    last = steps[-1]
    if all(each.cross_validated is None for each in steps):
        raise ConfigError(f"a variant should have evidence to weigh. Received: none in {variant.name!r}")
    return dataclasses.replace(last, name=f"with {variant.name}"), _seconds_apart(base, copy)


def _seconds_apart(base: Path, copy: Path) -> float:
    """Return the seconds of the stages that were run in a copy of a store."""
    before, after = (
        [read_record(Store(str(place)), stage.name) for stage in choose(last="fuse_evidence").stages]
        for place in (base, copy)
    )
    return sum(new.seconds for old, new in zip(before, after, strict=True) if new is not None and new != old)


def _steps_of(config: Config) -> list[Step]:
    store = Store(config.store)
    predictions = store.read_arrow(PREDICTIONS, ("id", "rank", "landmark_id", "score")).to_pandas()
    verifications = store.read_arrow(VERIFICATIONS, ("id", "landmark_id", "num_inliers", "is_verified")).to_pandas()
    candidates = store.read_arrow(CANDIDATES, CANDIDATES.schema.names).to_pandas()
    judged = _judged(config, predictions, verifications)
    return ladder_steps(config, judged, _with_inliers(config, candidates, verifications))


def _judged(config: Config, predictions: pd.DataFrame, verifications: pd.DataFrame) -> list[Judged]:
    chosen = predictions[predictions["rank"] < config.verify.candidates]
    both = chosen.merge(verifications, on=["id", "landmark_id"], how="left").sort_values(["id", "rank"])
    kept = both[(both["rank"] == 0) | both["num_inliers"].notna()].fillna({"num_inliers": 0, "is_verified": False})
    rows: list[dict[str, Any]] = kept.to_dict("records")  # type: ignore[assignment]
    return [
        Judged(row["id"], row["landmark_id"], row["score"], int(row["num_inliers"]), bool(row["is_verified"]), None)
        for row in rows
    ]


def _with_inliers(config: Config, candidates: pd.DataFrame, verifications: pd.DataFrame) -> pd.DataFrame:
    found = verifications[["id", "landmark_id", "num_inliers"]]
    both = candidates.merge(found, on=["id", "landmark_id"], how="left")
    full = config.fusion.full_inliers
    return both.assign(inliers=np.minimum(both["num_inliers"].fillna(0.0), full) / full)


def _seconds(store: Store, stages: Sequence[str]) -> float:
    records = [read_record(store, stage) for stage in stages]
    return float(sum(np.nan if each is None else each.seconds for each in records)) if stages else 0.0


def _ends(interval: Interval) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}"
