"""Says how busy the accelerators of this machine are, as nvidia-smi measures it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

__all__ = ["AcceleratorLoad"]

_SECONDS = 10.0  # until an answer counts as none: without its daemon the driver is loaded anew for every question


class AcceleratorLoad:
    """The busy share of the GPUs that this process sees, or of some; nothing where there is none.

    gpus: their addresses, as nvidia-smi counts them; None for those of $CUDA_VISIBLE_DEVICES, which may be all.
    environment: where that and $PATH are read.
    """

    def __init__(self, gpus: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        visible = environment.get("CUDA_VISIBLE_DEVICES") if gpus is None else ",".join(gpus)
        program = shutil.which("nvidia-smi", path=environment.get("PATH", os.defpath))
        self._command: list[str] | None = None
        if program and (visible is None or visible.strip() not in ("", "-1")):
            chosen = [f"--id={visible}"] if visible else []
            self._command = [program, *chosen, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        self._asked: subprocess.Popen[str] | None = None
        self._since = 0.0
        self._answer: float | None = None

    def busy(self, *, wait: float = _SECONDS) -> float | None:
        """Return the share of the last second or so in which a GPU computed, 0 to 1, the mean over all of them.

        wait: seconds to wait for an answer; until it is there the one before it is returned. None where there is no
        GPU or it does not say (one split by MIG, say), or no longer; after a question that failed nobody is asked any
        more.
        """
        if self._command is None:
            return None
        try:
            if self._asked is None:
                self._asked = subprocess.Popen(
                    self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
                self._since = time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._asked.wait(wait)
            self._take_answer(self._asked)
        except (OSError, ValueError):
            self._command = self._answer = None
        return self._answer

    def _take_answer(self, asked: subprocess.Popen[str]) -> None:
        """Take the answer if it is there. Raises ValueError for one that is none, or late."""
        if asked.poll() is None:
            if time.monotonic() - self._since >= _SECONDS:
                asked.kill()
                raise ValueError("nvidia-smi should answer soon")
            return
        self._asked = None
        text = asked.communicate()[0]
        shares = [float(line) / 100 for line in text.splitlines()]
        if asked.returncode or not shares:
            raise ValueError(f"nvidia-smi should say a share for each GPU. Received: {text!r}")
        self._answer = sum(shares) / len(shares)
