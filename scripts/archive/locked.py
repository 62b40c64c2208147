"""Finds the installed files of exactly the packages that a lock file names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from scripts.archive.interpreter import ArchiveError

__all__ = ["PackageFile", "files_of", "locked_versions", "with_requirements"]

# A cluster's nodes have Spark's Java side; the headers serve who compiles against TensorFlow.
_LEFT_OUT = ("pyspark/jars/", "pyspark/examples/", "pyspark/licenses/", "tensorflow/include/")


@dataclass(frozen=True)
class PackageFile:
    """A file of a package: where it lies, its place below site-packages, and the SHA-256 of its RECORD, if any.

    The digest is as wheels write it: URL-safe base64 without padding.
    """

    source: Path
    relative: str
    digest: str


def locked_versions(lock: Path) -> dict[str, str]:
    """Return the version of each package that a lock file names, by its normal name. Raises ArchiveError."""
    found = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE))
    if not found:
        raise ArchiveError(f"{lock} should name packages as name==version. Received: none")
    return {_normal(name): version for name, version in found.items()}


def with_requirements(names: Collection[str], versions: Mapping[str, str]) -> dict[str, str]:
    """Return the locked versions of some packages and of all that they require. Raises ArchiveError."""
    from packaging.requirements import Requirement

    chosen: dict[str, str] = {}
    waiting = [_normal(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        if name not in versions:
            raise ArchiveError(f"the lock file should name {name}. Received: it does not")
        chosen[name] = versions[name]
        required = [Requirement(each) for each in _installed(name, versions[name]).requires or []]
        waiting += [
            _normal(each.name) for each in required if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return chosen


def files_of(versions: Mapping[str, str]) -> Iterator[PackageFile]:
    """Return the files of installed packages; raise ArchiveError for one that has another version than the lock's.

    Compiled modules are left out, which are made again on the nodes, and so are programs, which would start the
    Python of this machine.
    """
    for name, version in sorted(versions.items()):
        for each in _installed(name, version).files or []:
            relative = each.as_posix()
            if relative.startswith((*_LEFT_OUT, "../", "/")) or "__pycache__" in relative:
                continue
            digest = each.hash.value if each.hash is not None and each.hash.mode == "sha256" else ""
            yield PackageFile(Path(str(each.locate())), relative, digest)


def _installed(name: str, version: str) -> Distribution:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise ArchiveError(f"{name} {version} should be installed, as locked; run scripts/install") from None
    if found.version != version:
        raise ArchiveError(
            f"{name} should have the locked version {version}; run scripts/install. Received: {found.version}"
        )
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
