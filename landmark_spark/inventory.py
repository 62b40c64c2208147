"""Takes stock of a store: the commits there are, and the shards whose files are not as they were committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from landmark_spark.commits import WHOLE, Commit
from landmark_spark.pipeline import STAGES, Stage
from landmark_spark.planning import Inventory
from landmark_spark.settings import Config
from landmark_spark.store import Store

__all__ = ["take_inventory"]


def take_inventory(store: Store, config: Config, stages: Collection[Stage] = STAGES) -> Inventory:
    """Read the commits of what the stages read and write; look whether their files are there, and for marks.

    Files are known by their lengths here; ``contents.find_damage`` reads them.
    """
    wanted = {each.name: each for stage in stages for each in (*stage.outputs, *(read.output for read in stage.reads))}
    commits: dict[str, dict[int, Commit]] = {}
    damaged: dict[str, dict[int, str]] = {}
    for output in wanted.values():
        kept = {key: each for key, each in store.commits(output).items() if key < config.index.num_shards}
        kept = {key: each for key, each in kept.items() if (key == WHOLE) is not output.sharded}
        present = store.present_files(output) if kept else {}
        marks = store.marks(output) if kept else {}
        commits[output.name] = kept
        faults = {
            key: _fault(each, present) or (marks[key].reason if key in marks else "") for key, each in kept.items()
        }
        damaged[output.name] = {key: fault for key, fault in faults.items() if fault}
    return Inventory(commits, damaged)


def _fault(commit: Commit, present: Mapping[str, int]) -> str:
    for file in commit.files:
        if file.path not in present:
            return f"{file.path} is missing"
        if present[file.path] != file.num_bytes:
            return f"{file.path} should have {file.num_bytes} bytes and has {present[file.path]}"
    return ""
