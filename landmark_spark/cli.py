"""The command line: run, plan, status, describe, evaluate, ...; and the body of every file in jobs/."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark import __version__
from landmark_spark.answer_commands import add_answer_commands
from landmark_spark.config import load_config
from landmark_spark.core.counted import counted
from landmark_spark.core.metrics import evaluate
from landmark_spark.core.submission import FormatError, parse_solution, parse_submission
from landmark_spark.doctor_commands import add_doctor_commands
from landmark_spark.estimate_command import add_estimate_options, estimate, is_estimate
from landmark_spark.evidence_commands import add_evidence_commands
from landmark_spark.identify_commands import add_identify_commands
from landmark_spark.ingest_commands import add_ingest_commands
from landmark_spark.run_command import LoggedParser, add_log_option, run_and_tell, tell_failure
from landmark_spark.settings import Config, ConfigError
from landmark_spark.store_commands import add_store_commands
from landmark_spark.text_tables import table_lines

if TYPE_CHECKING:
    from landmark_spark.status import Downloads, StageState

__all__ = ["command_parser", "job", "job_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 failed, 2 the caller's mistake."""
    options = command_parser().parse_args(arguments)
    return _guarded(options)


def job(stage: str | None, arguments: Sequence[str] | None = None) -> None:
    """Run one stage (None: the whole pipeline) and exit: what a file in jobs/ does under spark-submit."""
    options = job_parser(stage).parse_args(arguments)
    options.command = _run
    if stage is not None:
        options.only, options.first, options.last = stage, None, None
        options.retry = getattr(options, "retry", None)
    sys.exit(_guarded(options))


def job_parser(stage: str | None) -> argparse.ArgumentParser:
    """Return what parses the options of a file in jobs/."""
    parser = LoggedParser(description=f"Spark job: {stage or 'the pipeline'}")
    _add_run_options(parser, with_range=stage is None, with_retry=stage in (None, "download_images"))
    _add_wait(parser)
    add_log_option(parser)
    return parser


def _guarded(options: argparse.Namespace) -> int:
    try:
        return _run_command(options)
    except KeyboardInterrupt:  # also while what a command needs is imported, which takes seconds
        return tell_failure(options, "interrupted", 130, line="interrupted")


def _run_command(options: argparse.Namespace) -> int:
    from landmark_spark.commits import StoreError
    from landmark_spark.core.records import HeaderError
    from landmark_spark.core.weights import WeightsError, WeightsNotFound
    from landmark_spark.interrupts import Interrupted
    from landmark_spark.planning import PlanError
    from landmark_spark.runner import StageError
    from landmark_spark.session import SessionError

    try:
        status: int = options.command(options)
    except (ConfigError, FormatError, HeaderError, PlanError) as error:
        return tell_failure(options, str(error), 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is quiet
        return 141
    except (StageError, SessionError, StoreError, WeightsError, WeightsNotFound, OSError) as error:
        return tell_failure(options, str(error), 1)
    except Interrupted:
        return tell_failure(options, "interrupted", 130, line="")  # that was told when it came
    except Exception as error:  # a fault of this program: its stack trace is for people
        tell_failure(options, f"{type(error).__name__}: {error}", 1, line="")
        raise
    return status


def command_parser() -> argparse.ArgumentParser:
    """Return what parses a command line."""
    parser = LoggedParser(prog="landmark-spark", description="Landmark recognition in millions of photos.")
    parser.add_argument("--version", action="version", version=f"landmark-spark {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the stages that are not up to date")
    _add_run_options(run, with_range=True)
    _add_wait(run)
    add_log_option(run)
    run.set_defaults(command=_run)
    plan = commands.add_parser("plan", help="say what run would do, and why")
    _add_run_options(plan, with_range=True)
    add_estimate_options(plan)
    plan.set_defaults(command=_plan)
    status = commands.add_parser("status", help="say where the store stands, also while a run is under way")
    _add_config_options(status)
    status.add_argument("--failed", action="store_true", help="list the rows without a picture instead, each with why")
    status.add_argument("--json", action="store_true", help="for machines; with --failed one object a line")
    status.set_defaults(command=_status)
    add_ingest_commands(commands)
    add_store_commands(commands, _add_config_options)
    add_evidence_commands(commands, _add_config_options)
    add_answer_commands(commands, _add_config_options)
    add_identify_commands(commands, _add_config_options)
    add_doctor_commands(commands, _add_config_options)
    describe = commands.add_parser("describe", help="print the stages, the tables and the statuses of downloads")
    describe.add_argument("--markdown", action="store_true", help="the whole reference: docs/reference.md")
    describe.set_defaults(command=_describe, parser=parser)
    score = commands.add_parser("evaluate", help="print GAP and top-1 of a submission as one JSON object")
    score.add_argument("submission", type=Path, help="csv: id,landmarks; gz too")
    score.add_argument("solution", type=Path, help="csv: id,landmarks; gz too; an empty cell = no landmark")
    score.set_defaults(command=_evaluate)
    return parser


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="YAML file; without it the defaults: the toy world")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting, over the YAML file's; may be repeated",
    )


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="wait for another run that is at work on the same outputs")


def _add_run_options(parser: argparse.ArgumentParser, *, with_range: bool, with_retry: bool = True) -> None:
    _add_config_options(parser)
    parser.add_argument("--force", action="store_true", help="run the chosen stages though they are up to date")
    parser.add_argument("--shard", metavar="I/N", help="only every n-th shard, from the i-th: one node's part")
    if with_retry:
        parser.add_argument(
            "--retry",
            metavar="STATUS,...",
            help="fetch again what failed in up-to-date shards: statuses (timeout), classes (http_5xx), or failed",
        )
    if with_range:
        parser.add_argument("--from", dest="first", metavar="STAGE", help="start with this stage")
        parser.add_argument("--to", dest="last", metavar="STAGE", help="end with this stage")
        parser.add_argument("--only", metavar="STAGE", help="this stage alone")


def _loaded(options: argparse.Namespace) -> tuple[Config, Any]:
    from landmark_spark.planning import choose

    config = load_config(options.config, options.overrides)
    choice = choose(
        first=options.first,
        last=options.last,
        only=options.only,
        force=options.force,
        shard=options.shard,
        retry=options.retry,
    )
    return config, choice


def _run(options: argparse.Namespace) -> int:
    config, choice = _loaded(options)
    return run_and_tell(options, config, choice, command=_command_line())


def _command_line() -> str:
    """Return what this run calls itself to others: options may hold passwords of URLs, and are left out."""
    words = [word for word in sys.argv[1:] if word in ("run", "--force") or word.startswith("jobs/")]
    return " ".join([Path(sys.argv[0]).name, *words])


def _plan(options: argparse.Namespace) -> int:
    from landmark_spark.runner import plan

    if is_estimate(options):
        return estimate(options, load_config(options.config, options.overrides), print, _print_table)
    config, choice = _loaded(options)
    plans = plan(config, choice)
    rows = [[each.stage.name, "run" if each.shards else "skip", len(each.shards), each.reason] for each in plans]
    _print_table(["stage", "would", "shards", "why"], rows)
    return 0


_SHOWN_HOSTS = 20


def _status(options: argparse.Namespace) -> int:
    from landmark_spark.status import take_status

    config = load_config(options.config, options.overrides)
    if options.failed:
        return _print_failed(config, as_json=options.json)
    status = take_status(config)
    if options.json:
        print(status.to_json())
        return 0
    _print_table(
        ["stage", "state", "shards", "rows", "made", "seconds", "why"],
        [
            [
                each.stage,
                each.state,
                f"{each.num_current_shards}/{each.num_shards}",
                each.num_rows,
                each.made,
                "" if each.seconds is None else f"{each.seconds:.1f}",
                f"{each.reason}{_listed_shards(each)}",
            ]
            for each in status.stages
        ],
    )
    for each in status.stages:
        if each.error:
            print(f"\n{each.stage} failed in its last run: {each.error}")
    for claim in status.holders:
        print(f"\na run is at work: {claim.holder}")
    if status.downloads.num_rows:
        _print_downloads(status.downloads)
    for note in status.in_work:
        print(
            f"\n{note.output} shard {note.shard} is being written by {note.host} (process {note.pid}): "
            f"{counted(note.num_rows, 'row')}, begun {note.started}, last heard of {note.updated}"
        )
    return 0


def _print_failed(config: Config, *, as_json: bool) -> int:
    from landmark_spark.failed_rows import read_failed

    rows = read_failed(config)
    if as_json:
        for each in rows:
            print(json.dumps(dataclasses.asdict(each)))
    else:
        _print_table(["photo", "status", "split", "id"], [list(dataclasses.astuple(each)) for each in rows])
        print(f"\n{counted(len(rows), 'row')} without a picture")
    return 0


def _listed_shards(state: StageState) -> str:
    """Say which shards are wanting, where some are there and the reason does not name them already."""
    if state.state in ("up to date", "stale", "not made") or not state.wanting or "(shards" in state.reason:
        return ""
    shown = ", ".join(str(each) for each in state.wanting[:8])
    return f" (shards {shown}{' ...' if len(state.wanting) > 8 else ''})"


def _print_downloads(downloads: Downloads) -> None:
    from landmark_spark.core.statuses import advice_of
    from landmark_spark.progress import count_failed

    total = downloads.num_rows
    print(f"\ndownloads: {total} of {downloads.num_records} rows\n")
    ordered = sorted(downloads.statuses.items(), key=lambda entry: -entry[1])
    _print_table(
        ["status", "rows", "share", "what to do"],
        [[status, count, f"{count / total:.1%}", advice_of(status)] for status, count in ordered],
    )
    failed = {host: count_failed(counts) for host, counts in downloads.hosts.items()}
    shown = sorted(failed, key=lambda host: (-failed[host], host))[:_SHOWN_HOSTS]
    print()
    _print_table(
        ["host", "rows", "failed", "of these"],
        [
            [host or "(none)", sum(counts.values()), failed[host], _failures(counts)]
            for host in shown
            for counts in [downloads.hosts[host]]
        ],
    )
    if len(failed) > len(shown):
        print(f"and {len(failed) - len(shown)} more hosts: --json lists all")


def _failures(counts: Mapping[str, int]) -> str:
    from landmark_spark.progress import listed_counts

    return listed_counts({status: count for status, count in counts.items() if status != "ok"})


def _describe(options: argparse.Namespace) -> int:
    from landmark_spark.descriptions import describe_stages, describe_statuses, describe_tables
    from landmark_spark.reference import describe_reference

    if options.markdown:
        print(describe_reference(options.parser))
        return 0
    print("\n\n".join([describe_stages(), describe_tables(), describe_statuses()]))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from landmark_spark.stages.input_files import input_lines

    submission, answers = str(options.submission), str(options.solution)
    predictions = parse_submission(input_lines("the submission", submission), source=submission)
    solution = parse_solution(input_lines("the solution", answers), source=answers)
    try:
        print(json.dumps(evaluate(predictions, solution)))
    except ValueError as error:
        raise FormatError(f"{options.solution}: {error}") from error
    return 0


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("\n".join(table_lines(heads, rows)))
