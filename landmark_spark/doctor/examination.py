"""Takes what the checks need from the driver, the session and the executors; every look has a time limit."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.doctor import judgement
from landmark_spark.doctor.checks import Check, Node, limited
from landmark_spark.doctor.node_facts import take_facts
from landmark_spark.doctor.node_probes import see_nodes
from landmark_spark.doctor.samples import sample_urls
from landmark_spark.pipeline import STAGES
from landmark_spark.session import cause_of, java_versions
from landmark_spark.settings import Config
from landmark_spark.stages.download_worker import worker_of
from landmark_spark.whole_files import is_local

if TYPE_CHECKING:
    from landmark_spark.doctor.node_probes import Sight

__all__ = ["examine"]

_SECONDS_FOR_JAVA = 20.0
_SECONDS_FOR_WEIGHTS = 120.0  # a network other than VGG16 is built once in a process of its own
_SECONDS_FOR_DRIVER = 150.0  # of these 90 are the framework's where a GPU is there
_SECONDS_FOR_STORE = 30.0
_SECONDS_A_URL = 10.0
_WITH_WEIGHTS = ("extract_bottlenecks", "extract_global_descriptors", "train_delf")
_WEIGHTS_ADVICE = "run scripts/fetch_weights, or set $LANDMARK_SPARK_WEIGHTS to the file or its folder"


def examine(config: Config, tell: Callable[[str], None]) -> list[Check]:
    """Make every check and return them in order; nothing of what goes wrong is raised.

    tell: what is done next, for who waits. The store is written to, and left as it was.
    """
    java = _guarded("java", _SECONDS_FOR_JAVA, _check_java, "set JAVA_HOME to a Java 17 or 21")
    tell("weights ...")
    weights = _guarded("weights", _SECONDS_FOR_WEIGHTS, lambda: _check_weights(config), _WEIGHTS_ADVICE)
    with _left_in_store(config.store) as left_there:
        question = _question(config, left_there)
        tell("store, csv files and network from the driver ...")
        driver = _driver(question)
        sight = see_nodes(config, question, tell, has_java=java.state != "failed")
    return [java, sight.spark, *_judge(config, driver, sight), weights]


def _guarded(name: str, seconds: float, look: Callable[[], Check], advice: str) -> Check:
    try:
        return limited(look, seconds)
    except Exception as error:
        return Check(name, "failed", cause_of(error), advice)


def _check_java() -> Check:
    return judgement.judge_java(
        [(str(home), version) for home, version in java_versions()], os.environ.get("JAVA_HOME", "")
    )


def _check_weights(config: Config) -> Check:
    """Ask the stages that need weights for what they look for before a run; they say themselves what is wrong."""
    for stage in STAGES:
        if stage.name in _WITH_WEIGHTS and stage.preflight is not None:
            try:
                stage.preflight(config)
            except Exception as error:
                return Check("weights", "failed", f"{stage.name}: {' '.join(str(error).split())}", _WEIGHTS_ADVICE)
    return Check("weights", "ok", f"{', '.join(_WITH_WEIGHTS)} find theirs")


def _question(config: Config, left_there: str) -> dict[str, Any]:
    """Return what every node is asked, of plain values: see ``node_facts.take_facts``."""
    settings = config.download
    settings = dataclasses.replace(settings, max_attempts=1, deadline=min(settings.deadline, _SECONDS_A_URL))
    limits = dataclasses.asdict(worker_of(settings, base_url=config.base_url, num_tasks=1).limits)
    urls: list[str] = []
    with contextlib.suppress(Exception):  # a csv file that cannot be read is told by its own check
        urls = limited(lambda: sample_urls(config), _SECONDS_A_URL)
    given = [getattr(config.inputs, each.name) for each in dataclasses.fields(config.inputs)]
    return {
        "store": config.store,
        "left_there": left_there,
        "inputs": [each for each in given if each],
        "urls": urls,
        "limits": limits,
        "gpus": False,
    }


def _driver(question: dict[str, Any]) -> Node:
    try:
        return Node(**limited(functools.partial(take_facts, question), _SECONDS_FOR_DRIVER))
    except Exception as error:  # a store or a csv file on a file system that does not answer
        silent = cause_of(error)
        return Node("driver", "", store={"reach": silent}, inputs=dict.fromkeys(question["inputs"], silent))


def _judge(config: Config, driver: Node, sight: Sight) -> list[Check]:
    nodes = sight.nodes
    checks = list(sight.checks)
    if nodes:
        checks += [each(driver, nodes) for each in (judgement.judge_python, judgement.judge_project)]
        checks += [judgement.judge_packages(driver, nodes), judgement.judge_gpus(nodes, sight.gpus_wanted)]
    by_name = {"the driver": driver} | {each.place: each for each in nodes}
    served = bool(config.serve_folder or not config.inputs.train_csv)
    return [
        *checks,
        judgement.judge_store(config.store, driver, nodes),
        judgement.judge_inputs(driver, nodes),
        judgement.judge_network(driver, nodes, served_to=sight.master if served else ""),
        judgement.judge_disk(config.store, _free_bytes(config.store, driver), by_name),
    ]


def _free_bytes(store: str, driver: Node) -> int | None:
    """Return the free bytes of a local store's disk, of the nearest folder that is there; None for a URL.

    None too for a folder that the driver could not make: the check of the store says why.
    """
    path = Path(store.removeprefix("file://"))
    if "://" in str(path) or not path.is_absolute():
        return None
    if any((driver.store or {}).values()) and not path.exists():
        return None
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@contextlib.contextmanager
def _left_in_store(store: str) -> Iterator[str]:
    """Leave a file in the store for the executors to find; give its name below it, "" where it cannot be written.

    Afterwards the file is gone, and so is a local store's folder that was not there before.
    """
    name = f"_doctor-{uuid.uuid4().hex[:12]}"
    try:
        take_away = limited(lambda: _leave(store, name), _SECONDS_FOR_STORE)
    except Exception:  # told by the check of the store
        yield ""
        return
    try:
        yield name
    finally:
        with contextlib.suppress(Exception):
            limited(take_away, _SECONDS_FOR_STORE)


def _leave(store: str, name: str) -> Callable[[], None]:
    """Write a file into the store; return what takes it away again."""
    import fsspec

    files, root = fsspec.core.url_to_fs(store)
    path = f"{root.rstrip('/')}/{name}"
    made = is_local(files) and not files.exists(root)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(path, b"left by the driver")

    def take_away() -> None:
        files.rm_file(path)
        if made:
            files.rmdir(root)

    return take_away
