"""Says how busy the accelerators of this machine are, as nvidia-smi measures it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

__all__ = ["AcceleratorLoad"]

_SECONDS = 10.0  # without the persistence daemon the driver is loaded anew for every question


class AcceleratorLoad:
    """The busy share of the GPUs that this process sees; nothing where there is none.

    environment: where $PATH and $CUDA_VISIBLE_DEVICES are read.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._program = shutil.which("nvidia-smi", path=environment.get("PATH", os.defpath))
        self._visible = environment.get("CUDA_VISIBLE_DEVICES")
        if self._visible is not None and self._visible.strip() in ("", "-1"):
            self._program = None  # none is to be seen

    def busy(self) -> float | None:
        """Return the share of the last second or so in which a GPU computed, 0 to 1, the mean over all of them.

        None where there is no GPU or it does not say (one split by MIG, say); after a question that failed, for ever.
        """
        if self._program is None:
            return None
        chosen = [f"--id={self._visible}"] if self._visible else []
        command = [self._program, *chosen, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
            shares = [float(line) / 100 for line in answer.splitlines()]
        except (OSError, subprocess.SubprocessError, ValueError):
            shares = []
        if not shares:
            self._program = None
            return None
        return sum(shares) / len(shares)
