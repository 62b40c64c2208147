"""A process of its own that runs the network over batches from memory, and nothing else: the limit of inference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import numpy as np

from scripts.benchmarks.report_lines import BenchmarkError

__all__ = ["BareLoop", "main"]

_ROOT = Path(__file__).resolve().parents[2]


class BareLoop:
    """The process, its network loaded: a context manager. plan: NetworkPlan's values, the weights as a path or None."""

    def __init__(self, plan: dict[str, object], *, batch_size: int, num_threads: int) -> None:
        self._arguments = json.dumps({"plan": plan, "batch_size": batch_size, "num_threads": num_threads})

    def __enter__(self) -> BareLoop:
        command = [sys.executable, "-m", "scripts.benchmarks.bare_loop", self._arguments]
        environment = os.environ | {"PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(
            command, cwd=_ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # its loop ends
        self._process.wait(60)

    def seconds(self, num_batches: int) -> float:
        """Run so many batches and return how long it took. Raises BenchmarkError."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{num_batches}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BenchmarkError("the bare loop should answer: see above")
        return float(answer)


def main(arguments: str) -> None:
    """Load the network; then read numbers of batches from stdin and answer each with its seconds."""
    from landmark_spark.gpu import prepare_framework

    wanted = json.loads(arguments)
    prepare_framework(num_threads=wanted["num_threads"], gpus=None)
    from landmark_spark.core.backbone import NetworkPlan, build_network
    from landmark_spark.core.model_runner import compile_model, with_float16_outputs

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    plan = NetworkPlan(**wanted["plan"])
    call = compile_model(with_float16_outputs(build_network(plan))).call
    side, size = plan.image_size, wanted["batch_size"]
    batches = np.random.default_rng(0).integers(0, 256, (4, size, side, side, 3), np.uint8)
    np.asarray(call(batches[0]))  # compiled
    for line in sys.stdin:
        started = time.perf_counter()
        for number in range(int(line)):
            np.asarray(call(batches[number % len(batches)]))
        answers.write(f"{time.perf_counter() - started!r}\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
