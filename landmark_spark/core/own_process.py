"""Runs a few lines of Python in a process of its own, for what the driver should not load.

Keras and TensorFlow take the device that they find when they are loaded, and the driver should not hold one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

__all__ = ["OwnProcessError", "run_python"]


class OwnProcessError(RuntimeError):
    """The process failed; the message is the last line that it wrote to standard error."""


def run_python(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run the code with ``sys.argv[1:]`` the arguments, and return what it wrote to standard output.

    environment: what to set besides this process's own. Raises OwnProcessError where its exit code is not 0.
    """
    command = [sys.executable, "-c", code, *arguments]
    variables = os.environ | dict(environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise OwnProcessError(next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message"))
    return done.stdout
