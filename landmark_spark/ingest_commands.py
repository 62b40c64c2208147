"""The command that makes inputs of folders of photos: ingest."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.core.counted import counted

if TYPE_CHECKING:
    from landmark_spark.ingestion import Ingested

__all__ = ["add_ingest_commands"]

_SHOWN = 3  # examples of each reason


def add_ingest_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    ingest = commands.add_parser("ingest", help="make csv files and own.yaml of folders landmark/photo.jpg")
    ingest.add_argument("folder", type=Path, metavar="FOLDER", help="a folder for each landmark, named after it")
    ingest.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for the csv files and own.yaml")
    ingest.add_argument("--test", type=Path, metavar="FOLDER", help="photos to be recognised")
    ingest.add_argument("--non-landmark", type=Path, metavar="FOLDER", help="photos that show none of the landmarks")
    ingest.add_argument(
        "--test-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of each landmark's photos, and of those of none, that is held out: the run measures itself by them",
    )
    ingest.add_argument("--seed", type=int, default=0, help="of the draw of these")
    ingest.add_argument("--force", action="store_true", help="replace the files of an earlier call; the store stays")
    ingest.set_defaults(command=_ingest)


def _ingest(options: argparse.Namespace) -> int:
    from landmark_spark.ingestion import Request, ingest

    request = Request(
        landmarks=options.folder,
        output=options.output,
        test=options.test,
        non_landmark=options.non_landmark,
        test_share=options.test_share,
        seed=options.seed,
        force=options.force,
    )
    print("\n".join(_lines(ingest(request), options.output)))
    return 0


def _lines(found: Ingested, output: Path) -> list[str]:
    from landmark_spark.ingestion import CONFIG_FILE, shown_path
    from landmark_spark.photo_folders import REASONS

    lines = [
        f"{counted(found.num_landmarks, 'landmark')} with {counted(found.num_train, 'training photo')}, "
        f"{counted(found.num_non_landmark, 'photo')} of no landmark, {counted(found.num_test, 'test photo')}, of which "
        f"{found.num_held_out:,} {'is' if found.num_held_out == 1 else 'are'} held out with the answers",
        *(f"note: {each}" for each in found.notes),
    ]
    for reason, count in found.left_out_counts.items():
        paths = [shown_path(each.path) for _, each in found.left_out if each.reason == reason]
        more = ", ..." if count > _SHOWN else ""
        lines.append(f"left out: {count}, {REASONS[reason]}: {', '.join(paths[:_SHOWN])}{more}")
    if found.left_out:
        lines.append(f"all that is left out: {output / 'left_out.csv'}")
    config = shlex.quote(str(output / CONFIG_FILE))
    lines.append(f"\nnext: landmark-spark run --config {config}")
    return [*lines, f"then: landmark-spark answers --config {config}"] if found.num_test else lines
