"""Tells processes of this machine apart, over reboots and reused numbers."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path

from landmark_spark.claims import Process

__all__ = ["is_gone", "this_process"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROC = Path("/proc")


def this_process() -> Process:
    """Return who we are."""
    return Process(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()) or "")


def is_gone(process: Process) -> bool | None:
    """Return whether a process has ended; None where that cannot be known: it ran on another machine."""
    if process.machine != _machine() or not process.started:
        return None
    return _started(process.pid) != process.started


def _machine() -> str:
    """Return the boot and, in containers, whose numbers of processes are their own, the container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts = [_BOOT.read_text().strip(), str((_PROC / "self/ns/pid").readlink())]
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """Return when a process began, in the machine's own count; None where there is none, or it only waits to be reaped.

    Linux: the 22nd word of /proc/<pid>/stat, clock ticks since the boot (proc_pid_stat(5)). Elsewhere: what ps says.
    """
    if _BOOT.exists():
        try:
            words = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if words[0] in ("Z", "X") else words[19]
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip() or None
