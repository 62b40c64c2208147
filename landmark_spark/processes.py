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
    """Return whether a process has ended; None where that cannot be known.

    It ran on another machine or before a reboot, or it is another user's and this machine hides those.
    """
    if process.machine != _machine() or not process.started:
        return None
    started = _started(process.pid)
    return None if started is None else started != process.started


def _machine() -> str:
    """Return the boot and, in containers, whose numbers of processes are their own, the container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts = [_BOOT.read_text().strip(), str((_PROC / "self/ns/pid").readlink())]
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """Return when a process began, in the machine's own count.

    "" where there is none, or it only waits to be reaped; None where there may be one that is hidden from us.
    Linux: the 22nd word of /proc/<pid>/stat, clock ticks since the boot (proc_pid_stat(5)). Elsewhere: what ps says.
    """
    if not _BOOT.exists():
        return _told_by_ps(pid)
    try:
        words = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # with hidepid (proc(5)) there are no entries of other users' processes
        return None if _is_taken(pid) else ""
    return "" if words[0] in ("Z", "X") else words[19]


def _is_taken(pid: int) -> bool:
    """Tell whether some process has a number; signal 0 is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _told_by_ps(pid: int) -> str:
    """Return the day and time that ps says, which it would say in each user's own language and time zone."""
    plain = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    return told.stdout.strip()
