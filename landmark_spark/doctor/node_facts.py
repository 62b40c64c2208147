"""Sees what one node has; sent to the executors by value, for the project may not be there: its own imports are plain.

Whatever goes wrong becomes text in the facts.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["PACKAGES", "take_facts"]

PACKAGES = ("numpy", "pyarrow", "pandas", "opencv-python", "pillow", "tensorflow", "keras", "petastorm", "h5py")
"""Whose versions decide whether rows, pictures and networks are the same everywhere."""

_FRAMEWORK = "import tensorflow as tf; print('gpus:', len(tf.config.list_physical_devices('GPU')))"
_SECONDS_FOR_FRAMEWORK = 90.0
_SECONDS_FOR_DRIVER = 10.0


def take_facts(question: dict[str, Any], *, hold: float = 0.0) -> dict[str, Any]:
    """Return the fields of a ``checks.Node``.

    question: store (URL, empty to leave it alone), left_there (a file below it that the driver has written), inputs
    (csv files), urls, limits (of core.fetch_limits.FetchLimits), gpus (whether to ask the framework where no driver
    names any). hold: seconds to keep this task's place, so that another executor takes the next task.
    """
    started = time.monotonic()
    project, project_error = _project()
    gpus = _named_gpus()
    given = _given_gpus()
    count, framework_error = _framework_gpus(given) if gpus or question["gpus"] else (None, "")
    facts = {
        "place": f"{socket.gethostname()} {Path.cwd()}",
        "python": platform.python_version(),
        "project": project,
        "project_error": project_error,
        "packages": {name: _version(name) for name in PACKAGES} | {"pyspark": _pyspark()},
        "store": _store_steps(question["store"], question["left_there"]) if question["store"] else None,
        "inputs": {path: _said(functools.partial(_read_some, path)) for path in question["inputs"]},
        "statuses": _statuses(question["urls"], question["limits"]) if not project_error else {},
        "gpus": gpus,
        "given": given,
        "framework_gpus": count,
        "framework_error": framework_error,
        "free_bytes": {folder: shutil.disk_usage(folder).free for folder in (str(Path.cwd()), tempfile.gettempdir())},
    }
    time.sleep(max(0.0, hold - (time.monotonic() - started)))
    return facts


def _said(step: Callable[[], object]) -> str:
    """Return "" where a step works, else its error in one line."""
    try:
        step()
    except Exception as error:
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text}"[:300]
    return ""


def _project() -> tuple[str, str]:
    """Return a digest of the project's sources as they are imported here, or why they cannot be."""
    try:
        import landmark_spark
    except Exception as error:
        return "", f"{type(error).__name__}: {error}"
    digest = hashlib.sha256()
    folder = Path(landmark_spark.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12], ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _pyspark() -> str:
    """Return the version that runs, which is the one of Spark's own folder and not that of the environment."""
    try:
        import pyspark
    except ImportError:
        return ""
    return str(pyspark.__version__)


def _store_steps(url: str, left_there: str) -> dict[str, str]:
    """Try what a run does in its store, in a folder of its own, which is removed; a step after a failed one is not."""
    import fsspec

    errors: dict[str, str] = {}
    state: dict[str, Any] = {}

    def reach() -> None:
        state["files"], root = fsspec.core.url_to_fs(url)
        state["root"] = root.rstrip("/")
        state["folder"] = f"{state['root']}/_doctor-{uuid.uuid4().hex[:12]}"

    def find() -> None:
        if left_there and not state["files"].exists(f"{state['root']}/{left_there}"):
            raise FileNotFoundError("what the driver has written there is not there")

    def write() -> None:
        state["files"].makedirs(state["folder"], exist_ok=True)
        state["files"].pipe_file(f"{state['folder']}/one", b"landmark")

    def rename() -> None:
        state["files"].mv(f"{state['folder']}/one", f"{state['folder']}/two")

    def list_names() -> None:
        names = [name.rpartition("/")[2] for name in state["files"].ls(state["folder"], detail=False, refresh=True)]
        if "two" not in names or state["files"].cat_file(f"{state['folder']}/two") != b"landmark":
            raise OSError(f"what was written should be there. Received: {names}")

    def delete() -> None:
        state["files"].rm(state["folder"], recursive=True)

    steps = {"reach": reach, "find": find, "write": write, "rename": rename, "list and read": list_names}
    for name, step in (steps | {"delete": delete}).items():
        errors[name] = _said(step)
        if errors[name]:
            _said(lambda: state["files"].rm(state["folder"], recursive=True))
            break
    return errors


def _read_some(path: str) -> None:
    import fsspec

    with fsspec.open(path, "rb", compression="infer") as file:
        file.read(1)


def _statuses(urls: list[str], limits: dict[str, Any]) -> dict[str, str]:
    """Fetch each URL once, as a run does; return what a run would note."""
    try:
        from landmark_spark.core.fetch_limits import FetchLimits
        from landmark_spark.core.fetching import load_fetcher

        fetch = load_fetcher(FetchLimits(**limits))
        return {url: fetch(url).status for url in urls}
    except Exception as error:
        return {url: f"{type(error).__name__}: {error}" for url in urls}


def _named_gpus() -> tuple[str, ...]:
    """Return the machine's GPUs as nvidia-smi lists them; none where there is no such program."""
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_FOR_DRIVER,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in told.stdout.splitlines() if line.strip()) if told.returncode == 0 else ()


def _given_gpus() -> tuple[str, ...] | None:
    try:
        from pyspark import TaskContext
    except ImportError:
        return None
    context = TaskContext.get()
    resources: Any = context.resources() if context is not None else {}
    return tuple(resources["gpu"].addresses) if "gpu" in resources else None


def _framework_gpus(given: tuple[str, ...] | None) -> tuple[int | None, str]:
    """Ask the framework, in a process of its own: what it takes of a GPU is given back when that ends."""
    added = {} if given is None else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(given)}
    try:
        told = subprocess.run(
            [sys.executable, "-c", _FRAMEWORK],
            env=os.environ | added | {"TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_FOR_FRAMEWORK,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, type(error).__name__
    lines = [line for line in told.stdout.splitlines() if line.startswith("gpus: ")]
    if not lines:
        return None, (told.stderr.strip().splitlines() or [f"it ended with {told.returncode}"])[-1][:200]
    return int(lines[-1].removeprefix("gpus: ")), ""
