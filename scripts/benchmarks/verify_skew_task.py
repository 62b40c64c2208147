"""Wraps the task of the verification stage: notes what each task did, how long it took and how much memory it had."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from landmark_spark.stages.verification_task import VerificationTask

__all__ = ["MeasuredTask"]


@dataclass(frozen=True)
class MeasuredTask:
    """Does what ``task`` does, and leaves a note of it in a folder."""

    task: VerificationTask
    folder: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of verifications."""
        from pyspark import TaskContext

        started, busy = time.monotonic(), time.process_time()
        num_rows = num_comparisons = 0
        for batch in self.task(batches):
            num_rows += batch.num_rows
            num_comparisons += sum(batch.column("num_comparisons").to_pylist())
            yield batch
        context = TaskContext.get()
        assert context is not None
        note = {
            "partition": context.partitionId(),
            "num_rows": num_rows,
            "num_comparisons": num_comparisons,
            "seconds": time.monotonic() - started,
            "processor_seconds": time.process_time() - busy,
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        (Path(self.folder) / f"{context.partitionId()}.json").write_text(json.dumps(note))
