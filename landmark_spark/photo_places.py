"""Checks the folders that photos are taken from and the one that files go to, and finds the one to be served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from landmark_spark.core.printable import printable
from landmark_spark.settings import ConfigError

__all__ = ["Places", "checked_places"]


@dataclass(frozen=True)
class Places:
    """Folders, without symbolic links in their paths. served: the one that holds all photos."""

    landmarks: Path
    test: Path | None
    non_landmark: Path | None
    output: Path
    served: Path


def checked_places(landmarks: Path, test: Path | None, non_landmark: Path | None, output: Path) -> Places:
    """Return the folders.

    Raises ConfigError where one is not there, lies within another, or has a name that a configuration cannot hold, and
    where what holds them all is the home folder or more: a run serves what is in it to programs of this machine.
    """
    given = {"FOLDER": landmarks, "--test": test, "--non-landmark": non_landmark}
    found = {name: _resolved(name, folder) for name, folder in given.items() if folder is not None}
    target = _absolute("--output", output)
    if os.path.lexists(target) and not target.is_dir():
        raise ConfigError(f"--output should be a folder. Received: {target}")
    for name, folder in found.items():
        for other_name, other in found.items():
            if other_name != name and other.is_relative_to(folder):
                raise ConfigError(f"{other_name} should not lie within {name}. Received: {other} and {folder}")
        if target.is_relative_to(folder):
            raise ConfigError(f"--output should not lie within {name}. Received: {target}")
    served = Path(os.path.commonpath(found.values()))
    if _home().is_relative_to(served):
        raise ConfigError(
            "the photos should lie in a folder that holds nothing private, for the run serves it to programs of this "
            f"machine: put the folders beside one another in a new one. Received: {served}"
        )
    if not str(served).isprintable() or not str(target).isprintable():
        raise ConfigError(f"the folders should have paths of printable characters. Received: {_shown(served)}")
    if set(str(target)) & set("#?*[]{}") or "::" in str(target):
        raise ConfigError(f"--output should have a path without any of # ? * [ ] {{ }} ::. Received: {target}")
    return Places(found["FOLDER"], found.get("--test"), found.get("--non-landmark"), target, served)


def _resolved(name: str, folder: Path) -> Path:
    path = _absolute(name, folder)
    if not path.is_dir():
        raise ConfigError(f"{name} should be a folder. Received: {folder}")
    return path


def _absolute(name: str, folder: Path) -> Path:
    try:
        return folder.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{name} should be a folder. Received: {folder} ({error})") from error


def _home() -> Path:
    try:
        return Path.home().resolve()
    except RuntimeError:  # a user that no list of users has, in a container
        return Path("/")


def _shown(path: Path) -> str:
    return printable(os.fsencode(path).decode("utf-8", errors="replace"))
