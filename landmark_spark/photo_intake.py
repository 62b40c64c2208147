"""Takes in a photo as the batch download does: from a URL, a file or bytes to the stored pictures of an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from landmark_spark.child_process import Cause
from landmark_spark.core.photo_names import without_password
from landmark_spark.core.statuses import STATUSES, advice_of
from landmark_spark.isolation import IsolationError, Window, run_isolated
from landmark_spark.settings import Config
from landmark_spark.stages.download_worker import Downloaded, Job, worker_of

__all__ = ["Photo", "PhotoError", "is_url", "load_intake"]

Photo = bytes | str | Path
"""The bytes of an image file, the path of one, or an http(s) URL."""


_OF_FILES = {
    "too_large": "the file is longer than download.max_bytes (raise it if so large a picture is wanted)",
    "truncated": "the picture ends before its end (copy the file anew; where it stays so, it is broken at its source)",
    "not_an_image": "the file is no picture that can be decoded (another program may save it as a JPEG or PNG)",
    "decompression_bomb": "the picture has more pixels than download.max_pixels (raise it if so large a one is wanted)",
    "decoder_crash": "the picture's decoder crashed (another program may save it as a JPEG or PNG)",
    "decoder_timeout": "the picture could not be decoded in time (raise download.decode_timeout)",
    "internal_error": "a fault of this program (please report it, with the photo)",
}
"""What became of a picture that was not downloaded, and what to do about it."""


class PhotoError(Exception):
    """A photo that gives no picture; ``status``: a word of core.statuses.STATUSES, or unreadable_file."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def is_url(photo: Photo) -> bool:
    """Tell whether a photo is to be fetched."""
    return isinstance(photo, str) and photo.lower().startswith(("http://", "https://"))


def load_intake(config: Config) -> Callable[[Photo], Downloaded]:
    """Return a function from a photo to its stored pictures, by the limits of ``config.download``.

    It raises PhotoError. What reads a stranger's bytes runs in a child process, which is kept for the next photo: a
    decoder that crashes or hangs costs its photo alone.
    """
    settings = config.download
    worker = worker_of(settings, base_url=config.base_url, num_tasks=1)
    window = Window(max_running=1, max_waiting=1, max_waiting_bytes=1, patience=settings.decode_timeout)

    def take_in(photo: Photo) -> Downloaded:
        if is_url(photo):
            job = Job(str(photo), with_large=True)
        else:
            job = Job("", with_large=True, body=_read(photo, settings.max_bytes))
        try:
            (found,) = run_isolated(iter([job]), worker, _lost, window=window)
        except IsolationError as error:
            raise PhotoError("internal_error", str(error)) from error
        if found.status != "ok":
            raise PhotoError(found.status, _told(found.status) if is_url(photo) else _told_of_file(found.status))
        return found

    return take_in


def _read(photo: Photo, max_bytes: int) -> bytes:
    """Return the bytes of a file or of what was given; raise PhotoError as a download of them would fail."""
    data = photo
    if isinstance(data, str) and "://" in data:
        raise PhotoError("bad_url", f"a photo should be a file or an http(s) URL. Received: {without_password(data)}")
    if not isinstance(data, bytes):
        try:
            with Path(data).open("rb") as file:
                data = file.read(max_bytes + 1)
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            reason = getattr(error, "strerror", None) or str(error)
            raise PhotoError(
                "unreadable_file", f"a photo should be a readable file or a URL. Received: {reason}"
            ) from None
    if len(data) > max_bytes:
        raise PhotoError("too_large", _told_of_file("too_large"))
    if not data:
        raise PhotoError("empty_body", "the photo should have bytes. Received: none")
    return data


def _told(status: str) -> str:
    meaning = STATUSES.get(status) or STATUSES["http_<code>"].partition(";")[0]  # the code stands in the status
    return f"{status}: {meaning} ({advice_of(status)})"


def _told_of_file(status: str) -> str:
    return f"{status}: {_OF_FILES[status]}" if status in _OF_FILES else _told(status)


def _lost(_: Job, cause: Cause) -> Downloaded:
    return Downloaded({"crash": "decoder_crash", "timeout": "decoder_timeout"}[cause])
