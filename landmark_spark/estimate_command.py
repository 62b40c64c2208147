"""The options and the body of ``plan --estimate``: how big, how long, how much."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landmark_spark.setting_text import shown
from landmark_spark.settings import Config, ConfigError

if TYPE_CHECKING:
    from landmark_spark.core.estimates import Workload

__all__ = ["add_estimate_options", "estimate", "is_estimate"]


@dataclass(frozen=True)
class _Number:
    """A numeric option: the field that it fills, its range (least is not in it where is_above), and its unit's size."""

    field: str
    least: float
    most: float
    is_above: bool = False
    scale: float = 1

    def fault(self, value: float) -> str:
        """Return what a value should be, "" where it is that; a NaN never is."""
        if (value > self.least or (value == self.least and not self.is_above)) and value <= self.most:
            return ""
        return f"{'above' if self.is_above else 'at least'} {self.least:g} and at most {self.most:,.0f}"


_WORK = {
    "images_train": _Number("num_train", 1, 10**12),
    "images_test": _Number("num_test", 1, 10**12),
    "images_non_landmark": _Number("num_non_landmark", 0, 10**12),
    "landmarks": _Number("num_landmarks", 1, 10**12),
}
_SIZE = {"image_kilobytes": _Number("bytes_original", 0, 10**9, is_above=True, scale=1e3)}
_CLUSTER = {
    "nodes": _Number("num_nodes", 1, 10**6),
    "cores_per_node": _Number("cores_per_node", 1, 10**5),
    "gpus": _Number("num_gpus", 0, 10**6),
    "bandwidth": _Number("bandwidth", 0, 10**9, is_above=True, scale=1e6 / 8),  # Mbit/s
    "memory": _Number("memory", 0, 10**9, is_above=True, scale=1e9),  # GB
    "price_per_node_hour": _Number("price_per_node_hour", 0, 10**9),
    "price_per_gpu_hour": _Number("price_per_gpu_hour", 0, 10**9),
}
_NUMBERS = _WORK | _SIZE | _CLUSTER
_KINDS = ("cpu", "gpu")


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
    given = [name for name in (*_NUMBERS, *_KINDS) if getattr(options, name) is not None]
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

    _check_numbers(options)
    rates = load_rates()
    work = _workload(_given(options, _WORK), lambda: workload_of(config))
    cluster = dataclasses.replace(this_machine(config), **_given(options, _CLUSTER), **_kinds(options, rates))
    values = values_of(rates)
    for name, value in _given(options, _SIZE).items():
        values[name] = value
        del rates[name]  # it is not assumed any more
    estimates = estimate_run(Case(work, cluster, recipe_of(config), values))
    tell(shape_line(work, cluster))
    tell("")
    print_table(*estimate_rows(estimates, with_cost=cluster.price_per_hour > 0))
    tell("")
    for line in (*warning_lines(estimates), *rate_lines(rates, cluster)):
        tell(line)
    return 0


def _check_numbers(options: argparse.Namespace) -> None:
    for name, number in _NUMBERS.items():
        value = getattr(options, name)
        if value is not None and (fault := number.fault(value)):
            raise ConfigError(f"--{name.replace('_', '-')} should be {fault}. Received: {shown(value)}")


def _given(options: argparse.Namespace, numbers: Mapping[str, _Number]) -> dict[str, Any]:
    values = {each.field: (getattr(options, name), each.scale) for name, each in numbers.items()}
    return {field: value * scale for field, (value, scale) in values.items() if value is not None}


def _workload(given: dict[str, int], count: Callable[[], Workload]) -> Workload:
    """Return the images that the options name; the others are counted, where training or test images are not given."""
    from landmark_spark.core.estimates import Workload

    counts = given if {"num_train", "num_test", "num_landmarks"} <= set(given) else dataclasses.asdict(count()) | given
    if counts["num_landmarks"] > counts["num_train"]:
        raise ConfigError(
            f"--landmarks should be at most the training images (--images-train), {counts['num_train']}. "
            f"Received: {counts['num_landmarks']}"
        )
    return Workload(**counts)


def _kinds(options: argparse.Namespace, rates: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kinds of processor and GPU that the options name. Raises ConfigError for one without a rate."""
    from landmark_spark.core.precision import CPU_KINDS

    known = [name.removeprefix("network_") for name in rates if name.startswith("network_")]
    kinds = {
        "cpu": [each for each in known if each in CPU_KINDS],
        "gpu": [each for each in known if each not in CPU_KINDS],
    }
    given = {name: getattr(options, name) for name in _KINDS if getattr(options, name) is not None}
    for name, kind in given.items():
        if kind not in kinds[name]:
            raise ConfigError(f"--{name} should be one of {', '.join(kinds[name])}. Received: {shown(kind)}")
    return given
