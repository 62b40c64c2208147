"""Keeps a store's books, commits, marks and progress notes; what the driver and the tasks have of it in common."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable

import fsspec

from landmark_spark.commits import WHOLE, Commit, FileEntry, Mark, NewerFormatError, Note, StoreError
from landmark_spark.core.printable import printable
from landmark_spark.row_counts import are_counts_by
from landmark_spark.schemas import Artifact, Table
from landmark_spark.whole_files import is_local, is_object_store, write_whole

__all__ = ["BOOKS", "LOCKS", "Ledger", "Output"]

Output = Table | Artifact

BOOKS = ("_commits", "_marks", "_progress")
"""Folders of what is noted of each shard: one below it for each output."""

LOCKS = "_locks"
"""Folder of the claims of runs; see run_lock.py."""


class Ledger:
    """Which shards of a store are there, and which are under way."""

    def __init__(self, url: str) -> None:
        try:
            self.file_system, self.root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError(
                f"store should be a folder or a URL that fsspec knows. Received: {url} ({error})"
            ) from error
        self._is_local = is_local(self.file_system)
        self.unreadable: dict[str, str] = {}  # files of the books that are none: path, printable -> why
        self.url = str(self.root) if self._is_local else url  # absolute: a task's working directory is another

    def path(self, *names: str) -> str:
        """Return the full path of something in the store, as people see it."""
        return "/".join([self.root.rstrip("/"), *names])

    def note_unreadable(self, path: str, why: str) -> None:
        """Note that a file of the books counts as not there, for people; others may have given it any name."""
        top = self.path("")
        self.unreadable[top + printable(path.removeprefix(top))] = why

    # Files

    def write_bytes(self, relative: str, data: bytes, *, durable: bool = True) -> FileEntry:
        """Write a file so that a reader sees the old one or the new one, whole; ``durable`` as in ``write_whole``."""
        write_whole(self.file_system, self.path(relative), data, durable=durable)
        return FileEntry(relative, len(data), hashlib.sha256(data).hexdigest())

    def read_bytes(self, relative: str) -> bytes | None:
        """Return a file's bytes; None where there is no such file."""
        try:
            return bytes(self.file_system.cat_file(self.path(relative)))
        except FileNotFoundError:
            return None

    def exists(self, relative: str) -> bool:
        """Return whether a small file is there now, whatever was listed before."""
        return self.read_bytes(relative) is not None

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, by path relative to the store; those that are not there, or are folders, are passed over."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                self.file_system.rm_file(self.path(path))

    def move_folder(self, relative: str, target: str) -> None:
        """Move a folder and all that is in it, where the store has folders."""
        self.file_system.makedirs(self.path(target).rpartition("/")[0], exist_ok=True)
        self.file_system.mv(self.path(relative), self.path(target), recursive=True)

    # Commits

    def commits(self, output: Output) -> dict[int, Commit]:
        """Return the commits of an output by shard; WHOLE is the key of what is not sharded.

        A file there that is no commit is noted in ``unreadable``; its shard is not among those returned.
        """
        found = {}
        for name, text in self.json_files("_commits", output.name).items():
            try:
                commit = Commit.from_json(text)
            except NewerFormatError:
                raise
            except StoreError as error:  # its shard counts as not made, and the run says so
                self.note_unreadable(name, str(error))
                continue
            if not _is_at(name, "_commits", output, commit):
                self.note_unreadable(name, f"it is the commit of {commit.output} shard {commit.shard}")
            elif not are_counts_by(_counted(output), commit.counts):
                self.note_unreadable(name, f"its counts should be by {', '.join(_counted(output)) or 'no column'}")
            else:
                found[commit.shard] = commit
        return found

    def check_places(self, output: Output, shards: Iterable[int]) -> None:
        """Raise StoreError where no commit of some shards can be written: before the work, not after it."""
        for place in (_path_below("_commits", output.name, shard) for shard in shards):
            if self.file_system.isdir(self.path(place)) and not is_object_store(self.file_system):
                raise StoreError(f"a commit should be a file. Received: {self.path(place)} is a folder; move it away")

    def commit(self, commit: Commit) -> Commit:
        """Make a shard visible: what is written last. A mark of the one before goes."""
        self.write_bytes(_path_below("_commits", commit.output, commit.shard), commit.to_json().encode())
        self.remove([_path_below("_marks", commit.output, commit.shard)])
        return commit

    def forget_commit(self, commit: Commit) -> None:
        """Remove a commit, then its files, and its mark."""
        names = [_path_below(top, commit.output, commit.shard) for top in ("_commits", "_marks")]
        self.remove([*names, *(each.path for each in commit.files)])

    # Marks

    def mark(self, mark: Mark) -> None:
        """Say that a committed shard must be made anew; until it is, ``run`` counts it as damaged."""
        self.write_bytes(_path_below("_marks", mark.output, mark.shard), mark.to_json().encode())

    def marks(self, output: Output) -> dict[int, Mark]:
        """Return the marks of an output by shard; one that cannot be read is noted in ``unreadable``."""
        found = {}
        for name, text in self.json_files("_marks", output.name).items():
            try:
                mark = Mark.from_json(text)
            except NewerFormatError:
                raise
            except StoreError as error:
                self.note_unreadable(name, str(error))
                continue
            if _is_at(name, "_marks", output, mark):
                found[mark.shard] = mark
            else:
                self.note_unreadable(name, f"it is the mark of {mark.output} shard {mark.shard}")
        return found

    # Locks

    def check_lock(self, lock: str, written: str = "") -> None:
        """Raise StoreError where a run's lock is gone, having removed the file that it would have committed.

        A task may outlive its driver, and come to its end when another run has taken the shard over. lock: path
        relative to the store; "" for a writer without one.
        """
        if lock and not self.exists(lock):
            self.remove([written] if written else [])
            raise StoreError(
                f"the run that this task belongs to should still have its lock. Received: {lock} is gone, so nothing "
                "of it is committed any more"
            )

    # Notes

    def notes(self, table: Table) -> dict[int, Note]:
        """Return the notes of the shards under way, and of those whose task died; damaged ones are passed over."""
        found = {}
        for name, text in self.json_files("_progress", table.name).items():
            with contextlib.suppress(StoreError):
                note = Note.from_json(text)
                if _is_at(name, "_progress", table, note) and are_counts_by(table.counted, note.counts):
                    found[note.shard] = note
        return found

    def leave_note(self, note: Note) -> None:
        """Say how far a shard has come; an error is swallowed.

        What stops a note (a full disk, a lost connection) stops the shard's own file too, and is told there; what stops
        a note alone is no reason to lose an hour of downloads.
        """
        with contextlib.suppress(Exception):
            path = _path_below("_progress", note.output, note.shard)
            self.write_bytes(path, note.to_json().encode(), durable=False)

    def forget_notes(self, table: Table, shards: Iterable[int]) -> None:
        """Remove the notes of some shards; as with ``leave_note``, an error is swallowed."""
        with contextlib.suppress(Exception):
            present = {name.rpartition("/")[2] for name in self._names("_progress", table.name)}
            paths = [_path_below("_progress", table.name, shard) for shard in shards]
            self.remove(path for path in paths if path.rpartition("/")[2] in present)

    def _names(self, *folder: str) -> list[str]:
        """Return the full paths of the JSON files of a folder, in order; none where there is no such folder."""
        self.file_system.invalidate_cache()  # tasks have written since this file system last looked
        try:
            names = self.file_system.ls(self.path(*folder), detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:  # the library of each kind of store has errors of its own: keys, networks, rights
            raise StoreError(f"store should be reachable. Received: {self.url} ({error})") from error
        return sorted(name for name in names if name.endswith(".json"))

    def json_files(self, *folder: str) -> dict[str, str]:
        """Return the text of the JSON files of a folder by full path; one that goes in between is left out.

        A folder of such a name is noted in ``unreadable``.
        """
        names = self._names(*folder)
        # An object store is asked for all of them at once; unlike cat it takes a [ in a path for what it is.
        found = self.file_system.cat_ranges(names, None, None, on_error="return") if names else []
        texts = {}
        for name, data in zip(names, found, strict=True):
            if isinstance(data, IsADirectoryError):
                self.note_unreadable(name, "it is a folder")
            elif isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                raise data
            elif not isinstance(data, Exception):
                texts[name] = bytes(data).decode(errors="replace")
        return texts


def _is_at(name: str, top: str, output: Output, book: Commit | Mark | Note) -> bool:
    """Tell whether a file of the books lies where what it says belongs."""
    return book.output == output.name and name.endswith(f"/{_path_below(top, output.name, book.shard)}")


def _counted(output: Output) -> tuple[str, ...]:
    return output.counted if isinstance(output, Table) else ()


def _path_below(top: str, name: str, shard: int) -> str:
    return f"{top}/{name}/{'whole' if shard == WHOLE else f'shard={shard}'}.json"
