"""Copies the Python that runs this into a folder, so that it runs from wherever that folder is put.

Python finds its library from where its program lies. What ties it to a machine are the shared libraries: those that
are not the C library's are copied too, and found relative to the program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["ArchiveError", "add_libraries", "check_interpreter", "packages_folder", "stage_interpreter"]

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = ("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo")
_LEFT_OUT += ("ensurepip", "lib2to3", "EXTERNALLY-MANAGED", "config-*", "_tkinter.*", "*_test*.so", "_testcapi*")
# The C library belongs to the kernel and its loader, the C++ library to the drivers of GPUs: both stay the node's.
_OF_THE_NODE = re.compile(
    r"(ld-linux.*|linux-vdso|libc|libm|libdl|librt|libpthread|libutil|libresolv|libanl|libnss_.*|libstdc\+\+|libgcc_s)\.so"
)
_TRIED = "import bz2, ctypes, hashlib, lzma, sqlite3, ssl, uuid, zlib, sys; print(sys.prefix)"


class ArchiveError(RuntimeError):
    """The archive cannot be made; the message says what is missing."""


def stage_interpreter(folder: Path, patchelf: Path) -> None:
    """Put program, library and shared libraries of the running Python into ``folder``: bin/ and lib/.

    Raises ArchiveError.
    """
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    (folder / "bin").mkdir(parents=True)
    copied = folder / "bin" / _VERSION
    shutil.copy2(program, copied)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(_VERSION)
    library = folder / "lib" / _VERSION
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    modules = sorted((library / "lib-dynload").glob("*.so"))
    # RPATH rather than RUNPATH: what the packages' own libraries need is looked for by it too.
    _point_at(patchelf, copied, "$ORIGIN/../lib")
    for each in modules:
        _point_at(patchelf, each, "$ORIGIN/../..")
    add_libraries(folder, needed_libraries([program, *modules]), patchelf)


def add_libraries(folder: Path, libraries: Iterable[Path], patchelf: Path) -> None:
    """Copy shared libraries into lib/, under the names by which they are looked for."""
    for each in libraries:
        target = folder / "lib" / each.name
        if not target.exists():
            shutil.copy2(each.resolve(), target)
            target.chmod(0o755)
            _point_at(patchelf, target, "$ORIGIN")


def needed_libraries(files: Iterable[Path], inside: Path | None = None) -> list[Path]:
    """Return the shared libraries that some files need of this machine, those of the C and C++ library left out.

    inside: a folder whose own libraries come along anyway. One that is nowhere was not used here either: a driver's,
    or one that its package loads before it is looked for.
    """
    found = {path for name, path in _dependencies(files) if path is not None and not _OF_THE_NODE.match(name)}
    return sorted(path for path in found if inside is None or not path.is_relative_to(inside))


def _dependencies(files: Iterable[Path]) -> Iterator[tuple[str, Path | None]]:
    told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    for name, path in re.findall(r"^\s+(\S+) => (\S+|not found)", told, re.MULTILINE):
        yield name, None if path.startswith("not") else Path(path)


def _point_at(patchelf: Path, file: Path, place: str) -> None:
    done = subprocess.run(
        [patchelf, "--force-rpath", "--set-rpath", place, file], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ArchiveError(f"patchelf should change {file}. Received: {done.stderr.strip()}")


def check_interpreter(folder: Path) -> None:
    """Start the copied Python with nothing of this machine's environment. Raises ArchiveError."""
    program = folder / "bin" / "python"
    done = subprocess.run([program, "-c", _TRIED], capture_output=True, text=True, check=False, env={"PATH": ""})
    if done.returncode or Path(done.stdout.strip()) != folder:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ArchiveError(f"the copied Python should start from {folder}. Received: {' '.join(last)}")


def packages_folder(folder: Path) -> str:
    """Return where the copied Python looks for packages, relative to ``folder``; Debian's has a name of its own."""
    program = folder / "bin" / "python"
    told = subprocess.run(
        [program, "-c", "import site; print(site.getsitepackages()[0])"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": ""},
    )
    return os.path.relpath(told.stdout.strip(), folder)
