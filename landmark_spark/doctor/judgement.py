"""Judges what was seen: facts -> checks; asks nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from landmark_spark.core.statuses import advice_of
from landmark_spark.core.urls import parse_http_url
from landmark_spark.doctor.checks import Check, Node

__all__ = [
    "judge_disk",
    "judge_gpus",
    "judge_inputs",
    "judge_java",
    "judge_network",
    "judge_packages",
    "judge_project",
    "judge_python",
    "judge_store",
]

_JAVA_VERSIONS = (17, 21)
_JAVA_ADVICE = "install Java 17 (Debian and Ubuntu: openjdk-17-jre-headless) or set JAVA_HOME to a Java 17 or 21"
_LEAST_BYTES = 1e9  # below it a shard of pictures, or Spark's own spilling, may not fit
_FEW_BYTES = 10e9  # an archive unpacks to 3 GB an executor, and shuffled vectors take some more
_SHOWN = 3
_SAME = "build an archive from the driver's checkout and submit with it: scripts/build, scripts/submit --archive"


def judge_java(found: Sequence[tuple[str, int | None]], java_home: str) -> Check:
    """Judge the Javas in the order in which a run tries them: (home, major version, None where there is no java).

    java_home: of the environment; it comes first where it is set.
    """
    taken = next(((home, version) for home, version in found if version in _JAVA_VERSIONS), None)
    tried = ", ".join(f"{home} ({version or 'no java'})" for home, version in found) or "nothing found"
    if taken is None:
        return Check("java", "failed", f"no Java 17 or 21; tried: {tried}", _JAVA_ADVICE)
    told = f"Java {taken[1]} at {taken[0]}"
    if java_home and dict(found).get(java_home) not in _JAVA_VERSIONS:
        first = dict(found).get(java_home)
        return Check(
            "java",
            "warning",
            f"JAVA_HOME is {java_home} ({first or 'no java'}); a run takes {told}, but spark-submit takes JAVA_HOME",
            "set JAVA_HOME to that one, or start by scripts/submit",
        )
    return Check("java", "ok", told)


def judge_python(driver: Node, nodes: Sequence[Node]) -> Check:
    """Python's minor version has to be the driver's everywhere: Spark refuses tasks otherwise."""
    others = [each for each in nodes if _minor(each.python) != _minor(driver.python)]
    if others:
        told = _listed(f"{each.python} on {each.place}" for each in others)
        return Check("python", "failed", f"the driver has {driver.python}; {told}", _SAME)
    return Check("python", "ok", f"{driver.python} on the driver and {_executors(nodes)}")


def judge_project(driver: Node, nodes: Sequence[Node]) -> Check:
    """The project has to be importable on each executor, from the same sources."""
    missing = [each for each in nodes if each.project_error]
    if missing:
        told = _listed(f"{each.place}: {each.project_error}" for each in missing)
        return Check("project", "failed", f"not importable on {told}", _SAME)
    others = [each for each in nodes if each.project != driver.project]
    if others:
        told = _listed(f"{each.project} on {each.place}" for each in others)
        return Check("project", "failed", f"the driver's sources are {driver.project}; {told}", _SAME)
    return Check("project", "ok", f"the same sources ({driver.project}) on the driver and {_executors(nodes)}")


def judge_packages(driver: Node, nodes: Sequence[Node]) -> Check:
    """Packages should have one version everywhere; one that an executor lacks is a failure."""
    apart = [
        (name, each)
        for each in nodes
        for name, version in driver.packages.items()
        if each.packages.get(name, "") != version
    ]
    if apart:
        told = _listed(
            f"{name} {driver.packages[name] or 'none'} and {each.packages.get(name) or 'none'} on {each.place}"
            for name, each in apart
        )
        lacking = any(not each.packages.get(name) for name, each in apart)
        return Check("packages", "failed" if lacking else "warning", f"driver and executors differ: {told}", _SAME)
    absent = [name for name, version in driver.packages.items() if not version]
    if absent:
        return Check("packages", "failed", f"not installed: {', '.join(absent)}", "run scripts/install")
    return Check("packages", "ok", f"{len(driver.packages)} of one version on the driver and {_executors(nodes)}")


def judge_gpus(nodes: Sequence[Node], wanted: float) -> Check:
    """wanted: spark.executor.resource.gpu.amount; without it a GPU that is there should be visible to the framework."""
    unseen = [each for each in nodes if each.framework_gpus == 0 or each.framework_error]
    told = _listed(
        f"{each.place}: {len(each.gpus)} named by nvidia-smi, {each.framework_error or 'none seen by TensorFlow'}"
        for each in unseen
    )
    if wanted:
        without = [each for each in nodes if not each.given]
        if without:
            places = _listed(each.place for each in without)
            advice = "leave spark.task.resource.gpu.amount out, on a master with stage-level scheduling"
            return Check("gpus", "failed", f"Spark gave no GPU to tasks on {places}", advice)
        if unseen:
            advice = "install the GPU's driver, CUDA and cuDNN there as TensorFlow wants them"
            return Check("gpus", "failed", told, advice)
        given = sum(len(each.given or ()) for each in nodes)
        return Check("gpus", "ok", f"{given} given to tasks of {_executors(nodes)}, and seen by TensorFlow")
    if unseen and any(each.gpus for each in unseen):
        advice = "install CUDA and cuDNN there as TensorFlow wants them, or compute on the processors, which works"
        return Check("gpus", "warning", told, advice)
    seen = sum(each.framework_gpus or 0 for each in nodes)
    return Check("gpus", "ok", f"{seen} seen by TensorFlow" if seen else "none there, none asked for")


def judge_store(url: str, driver: Node, nodes: Sequence[Node]) -> Check:
    """Everything that a run does in the store has to work on the driver and on every executor."""
    at_driver = _failed_step(driver)
    if at_driver:
        return Check("store", "failed", f"{url}: {at_driver} on the driver", _store_advice(at_driver))
    failed = [(each.place, step) for each in nodes if (step := _failed_step(each))]
    if failed:
        told = _listed(f"{step} on {place}" for place, step in failed)
        return Check("store", "failed", f"{url}: {told}", _store_advice(failed[0][1]))
    return Check("store", "ok", f"{url}: written, renamed, listed, deleted by the driver and {_executors(nodes)}")


def _failed_step(node: Node) -> str:
    return next((f"cannot {step} ({error})" for step, error in (node.store or {}).items() if error), "")


def _store_advice(step: str) -> str:
    if step.startswith("cannot find"):
        return "name a folder that all nodes share, or a URL (s3://, hdfs://) that they all reach"
    return "let the user of the driver and of the executors write there, or name another store"


def judge_inputs(driver: Node, nodes: Sequence[Node]) -> Check:
    """The csv files have to be readable on the driver and on the executors, which parse them."""
    if not driver.inputs:
        return Check("inputs", "ok", "no csv files are named: the run draws the toy world")
    failed = [
        f"{path} on {'the driver' if each is driver else each.place} ({error})"
        for each in (driver, *nodes)
        for path, error in each.inputs.items()
        if error
    ]
    if failed:
        advice = "put them where all nodes read them, under the same path or URL"
        return Check("inputs", "failed", f"not readable: {_listed(failed)}", advice)
    return Check("inputs", "ok", f"{len(driver.inputs)} csv files readable on the driver and {_executors(nodes)}")


def judge_network(driver: Node, nodes: Sequence[Node], *, served_to: str = "") -> Check:
    """Some URLs of the csv files, fetched as a run would: it is the executors that fetch in a run.

    One dead URL is a row; none that answers is a failure. served_to: the master, where the run serves pictures itself.
    """
    if served_to and not served_to.startswith("local"):
        told = f"the run serves pictures over loopback, which executors of {served_to} on other machines do not reach"
        return Check("network", "warning", told, "put them on a web server and name it as base_url")
    if not driver.statuses:
        served = "the run serves the pictures itself" if served_to else "the csv files name none"
        return Check("network", "ok", f"no URL to try: {served}")
    asked = list(nodes) or [replace(driver, place="the driver (no executor was asked)")]
    bad = [(each, url, status) for each in asked for url, status in each.statuses.items() if status != "ok"]
    if not bad:
        where = _executors(nodes) if nodes else asked[0].place
        return Check("network", "ok", f"{len(driver.statuses)} URLs fetched by {where}")
    told = _listed(f"{_host_and_port(url)}: {status} on {each.place}" for each, url, status in bad)
    beyond = "; the driver reaches them" if nodes and "ok" in driver.statuses.values() else ""
    cut_off = any(each.statuses and "ok" not in each.statuses.values() for each in asked)
    return Check("network", "failed" if cut_off else "warning", told + beyond, advice_of(bad[0][2]))


def judge_disk(store: str, store_free: int | None, nodes: Mapping[str, Node]) -> Check:
    """Free bytes of the store, where it is local, and of each node's folders; by who has them."""
    places = {(folder, who): free for who, each in nodes.items() for folder, free in each.free_bytes.items()}
    if store_free is not None:
        places[store, "the driver"] = store_free
    if not places:
        return Check("disk", "warning", "no folder could be looked at", "see store")
    (folder, who), free = min(places.items(), key=lambda place: place[1])
    told = f"{free / 1e9:.1f} GB free in {folder}" + ("" if folder in who else f" on {who}")
    if free < _LEAST_BYTES:
        return Check("disk", "failed", told, f"free at least {_LEAST_BYTES / 1e9:g} GB there")
    if free < _FEW_BYTES:
        return Check("disk", "warning", told, f"under {_FEW_BYTES / 1e9:g} GB: a large run may fill it")
    return Check("disk", "ok", f"{told}, and no less elsewhere")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _host_and_port(url: str) -> str:
    parsed = parse_http_url(url)
    if parsed is None:
        return "(no valid URL)"
    return f"[{parsed.host}]:{parsed.port}" if ":" in parsed.host else f"{parsed.host}:{parsed.port}"


def _executors(nodes: Sequence[Node]) -> str:
    return f"{len(nodes)} executor{'' if len(nodes) == 1 else 's'}"


def _listed(told: Iterable[str]) -> str:
    every = list(told)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
