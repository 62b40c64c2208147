"""What the tests of isolation run in its child: jobs that behave, crash, hang, or kill at the wrong moment."""

import ctypes
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Broken", "Worker"]


@dataclass(frozen=True)
class Worker:
    """Runs each job in a thread: a word and a number, ("double", 3)."""

    num_threads: int = 4

    def __call__(self, report):
        pool = ThreadPoolExecutor(self.num_threads)

        def work(number, job):
            word, value = job
            if word == "quiet_exit":  # dies outside of what it called risky
                os._exit(value)
            if word == "slow":
                time.sleep(value)
            report.begin(number)
            if word == "crash":
                ctypes.string_at(0)
            if word == "crash_once" and not Path(value).exists():
                Path(value).touch()
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
            if word == "hang":
                time.sleep(3600)
            if word == "pid":
                value = os.getpid()
            if word == "bytes":
                value = b"x" * value
            if word == "threads":
                value = threading.active_count()
            report.done(number, (word, value))

        return lambda number, job: pool.submit(work, number, job)


class Broken:
    """Fails where it is started."""

    def __call__(self, report):
        raise RuntimeError("no such worker")
