"""The command line of scripts/build."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from landmark_spark import __version__
from scripts.archive.interpreter import (
    ArchiveError,
    add_libraries,
    check_interpreter,
    needed_libraries,
    packages_folder,
    stage_interpreter,
)
from scripts.archive.locked import PackageFile, files_of, locked_versions, with_requirements
from scripts.archive.packing import ArchiveWriter, open_archive
from scripts.archive.tools import find_patchelf

_ROOT = Path(__file__).resolve().parent.parent.parent
_PROGRAM = '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" -m landmark_spark "$@"\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the archive; return the exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        versions = locked_versions(_ROOT / "requirements.lock")
        if options.only:
            versions = with_requirements(options.only, versions)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        num_bytes = build(options.output, versions, find_patchelf(), level=options.level)
    except (ArchiveError, OSError) as error:
        print(f"build: error: {error}", file=sys.stderr)
        return 1
    size, seconds = options.output.stat().st_size, time.monotonic() - started
    print(f"build: {options.output}: {size / 1e6:,.0f} MB, unpacked {num_bytes / 1e6:,.0f} MB, {seconds:.0f} s")
    print(f"build: workers need {_needs()}")
    return 0


def build(output: Path, versions: dict[str, str], patchelf: Path, *, level: int) -> int:
    """Write the archive; return the bytes of what is in it. Raises ArchiveError."""
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        staged = Path(name).resolve()
        stage_interpreter(staged, patchelf)
        check_interpreter(staged)
        packages = packages_folder(staged)
        files = list(files_of(versions))
        add_libraries(staged, _libraries_of(files), patchelf)
        with open_archive(output, level) as archive:
            for each in sorted(path for path in staged.rglob("*") if path.is_symlink() or path.is_file()):
                if "__pycache__" not in each.parts:
                    archive.add(each, str(each.relative_to(staged)))
            for file in files:
                archive.add(file.source, f"{packages}/{file.relative}", file.digest)
            add_project(archive, packages)
            archive.add_text("landmark_spark.json", json.dumps(_description(versions), indent=1) + "\n")
        return archive.num_bytes


def _libraries_of(files: Sequence[PackageFile]) -> list[Path]:
    """Return what the packages' compiled parts need of this machine, such as libGL of OpenCV."""
    compiled = [each.source for each in files if each.source.name.endswith(".so") or ".so." in each.source.name]
    return needed_libraries(compiled, Path(sys.prefix).resolve())


def add_project(archive: ArchiveWriter, packages: str) -> None:
    """Add this project to the folder of the packages, its jobs and its program."""
    for each in sorted((_ROOT / "landmark_spark").rglob("*")):  # also what lies beside the code and is read by it
        name = each.relative_to(_ROOT)
        if each.is_file() and "__pycache__" not in name.parts and not each.name.startswith("."):
            archive.add(each, f"{packages}/{name}")
    for each in sorted((_ROOT / "jobs").glob("*.py")):
        archive.add(each, f"jobs/{each.name}")
    archive.add_text("bin/landmark-spark", _PROGRAM, executable=True)


def _description(versions: dict[str, str]) -> dict[str, object]:
    about = {"landmark_spark": __version__, "python": platform.python_version()}
    return {**about, "needs": _needs(), "packages": dict(sorted(versions.items()))}


def _needs() -> str:
    library, version = platform.libc_ver()
    return (
        f"Linux on {platform.machine()}, {library} {version} or newer, libstdc++, Java 17 or 21, Spark 4.0; no Python"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/build", description="Pack code and environment for a cluster.")
    parser.add_argument("output", nargs="?", type=Path, default=Path("build/environment.tar.gz"))
    parser.add_argument("--level", type=int, default=1, choices=range(10), help="of gzip; 0 = not compressed (1)")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PACKAGE",
        help="a part: these packages of the lock and what they require",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
