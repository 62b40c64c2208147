"""The command that says which test photo shows what: answers."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.config import load_config
from landmark_spark.core.counted import counted
from landmark_spark.core.photo_names import shortened
from landmark_spark.text_tables import table_lines

if TYPE_CHECKING:
    from landmark_spark.answer_table import PhotoAnswer

__all__ = ["add_answer_commands"]

_PHOTO_CHARACTERS = 60
_HEADS = ("photo", "verdict", "landmark", "confidence", "id")


def add_answer_commands(commands: Any, add_config_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command to the parser's."""
    answers = commands.add_parser("answers", help="say which test photo shows what, by name, as submission.csv has it")
    add_config_options(answers)
    form = answers.add_mutually_exclusive_group()
    form.add_argument("--csv", type=Path, metavar="FILE", help="write them as csv, for spreadsheets")
    form.add_argument("--json", action="store_true", help="for machines: one object a line")
    answers.set_defaults(command=_answers)


def _answers(options: argparse.Namespace) -> int:
    from landmark_spark.answer_table import check_outside, read_answers, to_csv

    config = load_config(options.config, options.overrides)
    if options.csv is not None:
        check_outside(config, options.csv)
    found = read_answers(config)
    if options.json:
        for each in found:
            print(json.dumps(dataclasses.asdict(each)))
        return 0
    if options.csv is not None:
        options.csv.write_text(to_csv(found), encoding="utf-8", newline="")
        print(f"{_summary(found)}: {options.csv}")
        return 0
    print("\n".join([*table_lines(_HEADS, [_cells(each) for each in found]), "", _summary(found)]))
    return 0


def _cells(answer: PhotoAnswer) -> Sequence[str]:
    number = "-" if answer.landmark_id is None else f"landmark {answer.landmark_id}"
    return (
        shortened(answer.photo, _PHOTO_CHARACTERS) or "-",
        answer.verdict,
        shortened(answer.landmark) or number,
        "-" if answer.confidence is None else f"{answer.confidence:.4f}",
        answer.id,
    )


def _summary(found: Sequence[PhotoAnswer]) -> str:
    counts = Counter(each.verdict for each in found)
    parts = (f"{count:,} {verdict}" for verdict, count in counts.most_common())
    return f"{counted(len(found), 'photo')}{': ' if found else ''}{'; '.join(parts)}"
