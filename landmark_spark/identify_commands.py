"""The command that names the landmark of a photo: identify."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.config import load_config
from landmark_spark.core.photo_names import file_name, shortened, without_password
from landmark_spark.core.printable import printable
from landmark_spark.settings import ConfigError
from landmark_spark.text_tables import table_lines

if TYPE_CHECKING:
    from landmark_spark.answers import Answer, Candidate
    from landmark_spark.identify import Identifier

__all__ = ["add_identify_commands"]

_SUFFIXES = (".png", ".jpg", ".jpeg")
_NAME_CHARACTERS = 24  # of a landmark's name in the table; the line above it has the whole one


def add_identify_commands(commands: Any, add_config_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command to the parser's."""
    identify = commands.add_parser("identify", help="say which landmark photos show, by a finished store's models")
    identify.add_argument("photos", nargs="+", metavar="PHOTO", help="an image file, or its http(s) URL")
    add_config_options(identify)
    identify.add_argument("--top", type=int, default=3, metavar="K", help="candidates shown (default 3)")
    identify.add_argument("--json", action="store_true", help="for machines: one object a line")
    identify.add_argument(
        "--match-picture",
        type=Path,
        metavar="FILE|FOLDER",
        help="draw the matches with the best reference: png or jpg, or a folder for <photo>_matches.png",
    )
    identify.set_defaults(command=_identify)


def _identify(options: argparse.Namespace) -> int:
    if options.top < 1:
        raise ConfigError(f"--top should be at least 1. Received: {options.top}")
    pictures = _picture_paths(options.photos, options.match_picture)
    config = load_config(options.config, options.overrides)
    from landmark_spark.identify import load_identifier
    from landmark_spark.photo_intake import PhotoError

    identifier = load_identifier(config)
    status = 0
    for number, photo in enumerate(options.photos):
        try:
            answer = identifier(photo)
        except PhotoError as error:
            status = 1
            _say_failure(_shown(photo), error, as_json=options.json)
            continue
        picture = pictures.get(number)
        if picture is not None:
            picture = _draw(identifier, answer, picture)
        if options.json:
            print(json.dumps(_described(_shown(photo), answer, options.top, picture)), flush=True)
        else:
            print("\n".join(_lines(_shown(photo), answer, options.top, picture)), flush=True)
    return status


def _picture_paths(photos: Sequence[str], target: Path | None) -> dict[int, Path]:
    """Return where the matches of each photo are drawn, by its place. Raises ConfigError."""
    if target is None:
        return {}
    if target.suffix.lower() in _SUFFIXES and not target.is_dir():
        if len(photos) > 1:
            raise ConfigError(f"--match-picture should be a folder for several photos. Received: {target}")
        if not target.parent.is_dir():
            raise ConfigError(f"--match-picture should lie in a folder that is there. Received: {target}")
        return {0: target}
    if target.suffix and not target.is_dir():
        raise ConfigError(f"--match-picture should end with .png, .jpg or .jpeg, or be a folder. Received: {target}")
    target.mkdir(parents=True, exist_ok=True)
    stems = [Path(file_name(each) if "://" in each else each).stem or "photo" for each in photos]
    return {number: target / f"{name}_matches.png" for number, name in enumerate(_different(stems))}


def _different(stems: Sequence[str]) -> list[str]:
    """Return a name for each photo: its stem, with its place behind it where others are called the same."""
    counts = Counter(stems)
    names: list[str] = []
    for number, stem in enumerate(stems, start=1):
        name = stem if counts[stem] == 1 else f"{stem}-{number}"
        while name in names or (name != stem and name in counts):
            name += f"-{number}"
        names.append(name)
    return names


def _draw(identifier: Identifier, answer: Answer, path: Path) -> Path | None:
    """Draw the first candidate; None where it has no reference to draw."""
    from landmark_spark.report.pictures import encode_picture

    if not answer.candidates or not answer.candidates[0].num_references:
        return None
    path.write_bytes(encode_picture(identifier.draw(answer), path.suffix.lower()))
    return path


def _shown(photo: str) -> str:
    """Return how a photo is called: a URL without user name and password."""
    return printable(without_password(photo))


def _say_failure(photo: str, error: Any, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"photo": photo, "status": error.status, "error": str(error)}), flush=True)
    print(f"error: {photo}: {error}", file=sys.stderr, flush=True)


def _described(photo: str, answer: Answer, top: int, picture: Path | None) -> Mapping[str, Any]:
    return {
        "photo": photo,
        "status": "ok",
        "verdict": answer.verdict,
        "is_known": answer.is_known,
        "width": answer.width,
        "height": answer.height,
        "num_keypoints": len(answer.features.keypoints),
        "candidates": [vars(each) for each in answer.candidates[:top]],
        "seconds": {name: round(value, 4) for name, value in answer.seconds.items()},
        "match_picture": None if picture is None else str(picture),
    }


def _lines(photo: str, answer: Answer, top: int, picture: Path | None) -> list[str]:
    best = f": {_called(answer.candidates[0])}" if answer.is_known else ""
    shown = answer.candidates[:top]
    lines = [f"{photo}: {answer.verdict}{best} ({answer.seconds['total']:.2f} s)"]
    if shown:
        kinds = list(shown[0].evidence)
        heads = ["landmark", "score", "inliers", "verified", "best reference", "compared", *kinds]
        lines += [f"  {line}" for line in table_lines(heads, [_cells(each, kinds) for each in shown])]
    return lines if picture is None else [*lines, f"  matches: {picture}"]


def _called(candidate: Candidate) -> str:
    number = f"landmark {candidate.landmark_id}"
    return f"{printable(candidate.name)} ({number})" if candidate.name else number


def _cells(candidate: Candidate, kinds: Sequence[str]) -> list[str]:
    score = "-" if candidate.score is None else f"{candidate.score:.4f}"
    compared = ["-", "-", "-", "-"]
    if candidate.num_inliers is not None:
        compared = [
            str(candidate.num_inliers),
            "yes" if candidate.is_verified else "no",
            candidate.best_reference_id or "-",
            f"{candidate.num_comparisons} of {candidate.num_references}",
        ]
    landmark = f"{candidate.landmark_id} {shortened(printable(candidate.name), _NAME_CHARACTERS)}".rstrip()
    return [landmark, score, *compared, *(f"{candidate.evidence[kind]:.4f}" for kind in kinds)]
