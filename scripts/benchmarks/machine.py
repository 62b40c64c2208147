"""Says where figures come from: they hold for this machine alone."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from scripts.benchmarks.report_lines import LineWriter

__all__ = ["cpu_model", "write_machine"]


def write_machine(write: LineWriter, benchmark: str) -> None:
    """Write a line on the processor, its cores, and how busy they were before the benchmark."""
    write(
        benchmark,
        "machine",
        cpu=cpu_model(),
        num_cpus=len(os.sched_getaffinity(0)),
        load_average=os.getloadavg()[0],
        python=platform.python_version(),
    )


def cpu_model() -> str:
    """Return what the processor calls itself."""
    models = [line for line in _lines_of("/proc/cpuinfo") if line.startswith("model name")]
    return models[0].split(":", 1)[1].strip() if models else platform.processor()


def _lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []
