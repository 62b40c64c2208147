"""Notes on which GPU each process of a job loads its framework; Python imports it where this folder is on its path."""

import json
import os
from pathlib import Path

from landmark_spark import gpu

_prepare_framework = gpu.prepare_framework


def prepare_framework_and_note(*, num_threads, gpus):
    _prepare_framework(num_threads=num_threads, gpus=gpus)
    note = {"given": gpus, "used": os.environ.get("CUDA_VISIBLE_DEVICES")}
    (Path(os.environ["GPU_NOTES"]) / f"{os.getpid()}.json").write_text(json.dumps(note))


gpu.prepare_framework = prepare_framework_and_note
