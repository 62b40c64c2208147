"""Writes an estimate for people: a table of the stages, what would not hold, and which rates nobody has measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from landmark_spark.core.estimates import Cluster, StageEstimate, Workload, total_cost, total_seconds
from landmark_spark.rates import Rate

__all__ = ["amount", "duration", "estimate_rows", "rate_lines", "shape_line", "warning_lines"]

_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_SECONDS = ((86_400 * 3, 86_400, "days"), (3600, 3600, "h"), (60, 60, "min"))


def amount(num_bytes: float) -> str:
    """Write a number of bytes in the unit it is read best in, powers of 1000."""
    size, unit = next(((size, unit) for size, unit in _BYTES if num_bytes >= size), (1.0, "B"))
    return f"{num_bytes / size:.3g} {unit}" if num_bytes / size < 1000 else f"{num_bytes / size:,.0f} {unit}"


def duration(seconds: float) -> str:
    """Write a time as seconds, minutes, hours or days."""
    found = next(((size, unit) for least, size, unit in _SECONDS if seconds >= least), (1, "s"))
    value = seconds / found[0]
    return f"{value:,.0f} {found[1]}" if value >= 10 or found[1] == "s" else f"{value:.1f} {found[1]}"


def estimate_rows(estimates: Sequence[StageEstimate], *, with_cost: bool) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table, the last of them the whole run."""
    heads = ["stage", "rows", "bytes", "time", "limited by", *(["cost"] if with_cost else [])]
    rows = [
        [
            each.stage,
            f"{each.num_rows:,}" if each.num_rows else "",
            amount(each.num_bytes),
            duration(each.seconds) if math.isfinite(each.seconds) else "does not fit",
            each.bottleneck,
            *([f"{each.cost:,.2f}" if math.isfinite(each.cost) else ""] if with_cost else []),
        ]
        for each in estimates
    ]
    fitting = [each for each in estimates if math.isfinite(each.seconds)]
    longest = max(fitting, key=lambda each: each.seconds)
    name = "in all" if len(fitting) == len(estimates) else "the others"
    whole = [name, "", amount(sum(each.num_bytes for each in estimates)), duration(total_seconds(estimates))]
    rows.append([*whole, f"mostly {longest.stage}", *([f"{total_cost(estimates):,.2f}"] if with_cost else [])])
    return heads, rows


def shape_line(work: Workload, cluster: Cluster) -> str:
    """Say in one line what was estimated."""
    others = f" + {work.num_non_landmark:,} of no landmark" if work.num_non_landmark else ""
    gpus = f", {cluster.num_gpus} GPUs ({cluster.gpu})" if cluster.num_gpus else ""
    return (
        f"{work.num_train:,} training{others} + {work.num_test:,} test images, {work.num_landmarks:,} landmarks; "
        f"{cluster.num_nodes} node{'s' if cluster.num_nodes > 1 else ''} of {cluster.cores_per_node} cores "
        f"({cluster.cpu}), {amount(cluster.memory)}, {cluster.bandwidth * 8 / 1e6:,.0f} Mbit/s{gpus}"
    )


def warning_lines(estimates: Sequence[StageEstimate]) -> list[str]:
    """Return what would not hold, a line each."""
    return [f"warning: {text}" for each in estimates for text in each.warnings]


def rate_lines(rates: Mapping[str, Rate], cluster: Cluster) -> list[str]:
    """Return the rates that count here and were not measured, a line each, and on what the others were."""
    kind = cluster.gpu if cluster.num_gpus else cluster.cpu
    by_kind = ("network_", "delf_amx")  # of other kinds none counts
    used = {name: each for name, each in rates.items() if not name.startswith(by_kind) or name.endswith(f"_{kind}")}
    assumed = [
        f"assumed: {name} = {each.value:g} {each.unit}: {each.source}"
        for name, each in used.items()
        if each.kind == "assumed"
    ]
    hardware = sorted({each.hardware for each in used.values() if each.kind == "measured"})
    return [*assumed, f"all others were measured on {'; '.join(hardware)}, or counted (rates.json)"]
