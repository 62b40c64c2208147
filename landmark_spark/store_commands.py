"""The commands that look after a store: verify-store and gc."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from landmark_spark.config import load_config
from landmark_spark.core.counted import counted
from landmark_spark.core.printable import printable
from landmark_spark.text_tables import table_lines

if TYPE_CHECKING:
    from landmark_spark.garbage_collection import Listing
    from landmark_spark.store_verification import Verification
    from landmark_spark.unneeded import Unneeded

__all__ = ["add_store_commands"]

_SHOWN_FILES = 50  # of what gc lists of each reason


def add_store_commands(commands: Any, add_config_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands to the parser's."""
    verify = commands.add_parser("verify-store", help="read everything again that the store holds; say what is wrong")
    add_config_options(verify)
    verify.add_argument("--repair", action="store_true", help="mark what is wrong: the next run makes it anew")
    verify.add_argument("--json", action="store_true", help="for machines")
    verify.set_defaults(command=_verify)
    collect = commands.add_parser("gc", help="list what no stage needs of the store, and remove it")
    add_config_options(collect)
    collect.add_argument("--yes", action="store_true", help="remove without asking")
    collect.add_argument(
        "--min-age",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="leave what is younger by the store's clock: a task may still be at it (default 3600)",
    )
    collect.set_defaults(command=_collect)


def _verify(options: argparse.Namespace) -> int:
    from landmark_spark.store_verification import verify_store

    config = load_config(options.config, options.overrides)
    found = verify_store(config, _say, repair=options.repair)
    if options.json:
        print(found.to_json())
    else:
        _print_lines(_verification_lines(found, repair=options.repair))
    return 1 if found.faults else 0


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _print_lines(lines: Sequence[str]) -> None:
    """Print lines that name files of a store, which others may have given any name."""
    print("\n".join(map(printable, lines)))


def _verification_lines(found: Verification, *, repair: bool) -> list[str]:
    lines = [f"fault: {each.place}: {each.problem}" for each in found.faults]
    if found.outputs:
        heads = ("output", "shards", "rows", "bytes", "faults")
        rows = [
            (each.output, f"{each.num_shards}/{each.num_wanted}", each.num_rows, each.num_bytes, each.num_faults)
            for each in found.outputs
        ]
        lines += ["", *table_lines(heads, rows), ""]
    lines += [f"note: {each}" for each in found.notes]
    lines += found.repairs
    lines.append(counted(len(found.faults), "fault"))
    if found.faults and not repair:
        lines.append("verify-store --repair marks what is wrong, so that the next run makes it anew")
    if found.next_run:
        lines += ["the next run, where what it makes anew has other bytes than before:"]
        lines += [f"  {each}" for each in found.next_run]
    elif found.outputs:
        lines.append("the next run has nothing to do")
    return lines


def _collect(options: argparse.Namespace) -> int:
    from landmark_spark.garbage_collection import list_unneeded, remove_unneeded

    config = load_config(options.config, options.overrides)
    found = list_unneeded(config, min_age=options.min_age)
    _print_lines(_listing_lines(found))
    if not found.removable:
        return 0
    question = f"remove these {_amount(found.removable)}?"
    if not options.yes and not sys.stdin.isatty():
        print(f"{question} nothing is removed without --yes")
        return 0
    if not options.yes and input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        print("nothing is removed")
        return 0
    print(f"removed {_amount(remove_unneeded(config, found, _say))}")
    return 0


def _listing_lines(found: Listing) -> list[str]:
    by_reason: dict[str, list[Unneeded]] = {}
    for each in found.removable:
        by_reason.setdefault(each.why, []).append(each)
    lines = []
    for why, group in by_reason.items():
        lines.append(f"{why} ({_amount(group)}):")
        lines += [f"  {each.entry.num_bytes:>12}  {each.entry.path}" for each in group[:_SHOWN_FILES]]
        lines += [f"  and {len(group) - _SHOWN_FILES} more"] if len(group) > _SHOWN_FILES else []
    if found.young:
        lines.append(f"left, younger than {found.min_age:g} s (--min-age): {_amount(found.young)}")
    lines += found.notes
    return lines or ["nothing to remove: everything is needed"]


def _amount(found: Sequence[Unneeded]) -> str:
    num_folders = sum(each.entry.is_folder for each in found)
    num_files, num_bytes = len(found) - num_folders, sum(each.entry.num_bytes for each in found)
    folders = f" and {num_folders} empty folder{'' if num_folders == 1 else 's'}" if num_folders else ""
    return f"{num_files} file{'' if num_files == 1 else 's'}{folders}, {num_bytes} bytes"
