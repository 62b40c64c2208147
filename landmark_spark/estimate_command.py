"""The options and the body of ``plan --estimate``: how big, how long, how much."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from landmark_spark.settings import Config, ConfigError

__all__ = ["add_estimate_options", "estimate", "is_estimate"]

_WORK = {
    "images_train": "num_train",
    "images_test": "num_test",
    "images_non_landmark": "num_non_landmark",
    "landmarks": "num_landmarks",
}
_SCALES = {"bandwidth": 1e6 / 8, "memory": 1e9}  # Mbit/s, GB
_CLUSTER = {
    "nodes": "num_nodes",
    "cores_per_node": "cores_per_node",
    "gpus": "num_gpus",
    "cpu": "cpu",
    "gpu": "gpu",
    "bandwidth": "bandwidth",
    "memory": "memory",
    "price_per_node_hour": "price_per_node_hour",
    "price_per_gpu_hour": "price_per_gpu_hour",
}


def add_estimate_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--estimate`` and what it counts with."""
    group = parser.add_argument_group("how big, how long, how much")
    group.add_argument("--estimate", action="store_true", help="estimate rows, bytes, time and cost of a whole run")
    group.add_argument("--images-train", type=int, metavar="N", help="default: rows of the csv files, or the store's")
    group.add_argument("--images-test", type=int, metavar="N")
    group.add_argument("--images-non-landmark", type=int, metavar="N")
    group.add_argument("--landmarks", type=int, metavar="N")
    group.add_argument("--image-kilobytes", type=float, metavar="KB", help="of an original, on the average")
    group.add_argument("--nodes", type=int, metavar="N", help="default 1")
    group.add_argument("--cores-per-node", type=int, metavar="N", help="default: of this machine")
    group.add_argument("--cpu", help="kind of processor, by its units: avx2, avx512, amx; default: this machine's")
    group.add_argument("--gpus", type=int, metavar="N", help="over all nodes; default 0")
    group.add_argument("--gpu", help="kind of GPU: t4, v100, rtx3090, a100, h100; default v100")
    group.add_argument("--bandwidth", type=float, metavar="MBIT", help="of a node, Mbit/s; default 1000")
    group.add_argument("--memory", type=float, metavar="GB", help="of a node; default: of this machine")
    group.add_argument("--price-per-node-hour", type=float, metavar="PRICE")
    group.add_argument("--price-per-gpu-hour", type=float, metavar="PRICE")


def is_estimate(options: argparse.Namespace) -> bool:
    """Tell whether an estimate is asked for. Raises ConfigError for its options without it."""
    given = [name for name in (*_WORK, "image_kilobytes", *_CLUSTER) if getattr(options, name) is not None]
    if given and not options.estimate:
        raise ConfigError(f"--{given[0].replace('_', '-')} should be given together with --estimate")
    return bool(options.estimate)


def estimate(
    options: argparse.Namespace,
    config: Config,
    tell: Callable[[str], None],
    print_table: Callable[[Sequence[str], Sequence[Sequence[object]]], None],
) -> int:
    """Print the estimate; return the exit status. Raises ConfigError for numbers that make no sense."""
    from landmark_spark.core.stage_costs import Case, estimate_run
    from landmark_spark.estimate_lines import estimate_rows, rate_lines, shape_line, warning_lines
    from landmark_spark.estimating import recipe_of, this_machine, workload_of
    from landmark_spark.rates import load_rates, values_of

    work_options, rates = _given(options, _WORK), load_rates()
    try:
        work = _workload(work_options, lambda: workload_of(config))
        cluster = dataclasses.replace(this_machine(config), **_given(options, _CLUSTER))
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"plan --estimate: {error}") from error
    if options.image_kilobytes is not None and not options.image_kilobytes > 0:
        raise ConfigError(f"--image-kilobytes should be above 0. Received: {options.image_kilobytes}")
    _check_kinds(cluster.cpu, cluster.gpu, rates)
    values = values_of(rates)
    if options.image_kilobytes is not None:
        values["bytes_original"] = options.image_kilobytes * 1e3
        del rates["bytes_original"]
    estimates = estimate_run(Case(work, cluster, recipe_of(config), values))
    tell(shape_line(work, cluster))
    tell("")
    print_table(*estimate_rows(estimates, with_cost=cluster.price_per_hour > 0))
    tell("")
    for line in (*warning_lines(estimates), *rate_lines(rates, cluster)):
        tell(line)
    return 0


def _given(options: argparse.Namespace, names: dict[str, str]) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in names}
    return {names[name]: value * _SCALES.get(name, 1) for name, value in values.items() if value is not None}


def _workload(given: dict[str, int], count: Callable[[], Any]) -> Any:
    """Return the images that the options name; the others are counted, where training or test images are not given."""
    from landmark_spark.core.estimates import Workload

    if {"num_train", "num_test", "num_landmarks"} <= set(given):
        return Workload(**given)
    return dataclasses.replace(count(), **given)


def _check_kinds(cpu: str, gpu: str, rates: dict[str, Any]) -> None:
    known = [name.removeprefix("network_") for name in rates if name.startswith("network_")]
    for option, kind in (("--cpu", cpu), ("--gpu", gpu)):
        if kind not in known:
            raise ConfigError(f"{option} should be one of {', '.join(known)}. Received: {kind}")
