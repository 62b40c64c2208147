"""What ``run`` and the jobs show: lines, a live line on a terminal or a JSON log, and what came of the run."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from landmark_spark import __version__
from landmark_spark.caught_output import own_output
from landmark_spark.core.counted import counted
from landmark_spark.json_log import LOG_FORMAT, JsonLog, json_line
from landmark_spark.live_display import LiveDisplay, can_draw
from landmark_spark.run_events import Event, Lines, Listener
from landmark_spark.run_outcomes import Outcome, Outcomes
from landmark_spark.settings import Config
from landmark_spark.text_tables import table_lines

if TYPE_CHECKING:
    from landmark_spark.planning import Choice

__all__ = ["LoggedParser", "add_log_option", "metrics_lines", "run_and_tell", "tell_failure"]

_HEADS = ("stage", "outcome", "shards", "rows", "seconds", "rows/s", "why")
_MODES = {
    "classifier": "classifier alone",
    "decision": "verified only",
    "fused": "fused with verification",
    "learned": "all evidence, learned",
}


class LoggedParser(argparse.ArgumentParser):
    """Says what is wrong with the options in the log too, where they ask for one in JSON."""

    def error(self, message: str) -> NoReturn:
        """Say it and exit with status 2."""
        words = sys.argv[1:]
        if "--log-format=json" in words or ("--log-format", "json") in itertools.pairwise(words):
            _say(json_line(Event("error", fields={"error": message, "exit_status": 2})))
        super().error(message)


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--log-format``."""
    parser.add_argument(
        "--log-format",
        choices=("auto", "plain", "json"),
        default="auto",
        help="auto: a live line on a terminal, else plain lines; json: one object a line (docs/progress.md)",
    )


def run_and_tell(options: argparse.Namespace, config: Config, choice: Choice, *, command: str) -> int:
    """Run the stages; say what happens, and in the end what came of it. Returns the exit status.

    command: what the run calls itself to others. Raises what ``runner.run`` raises.
    """
    from landmark_spark.runner import read_metrics, run

    chosen = [stage.name for stage in choice.stages]
    for_people = options.log_format != "json"
    with _table_of_failure(for_people) as shown, _listening(options.log_format) as listener:
        shown.append(outcomes := Outcomes(listener, chosen))
        listener.hear(Event("run_start", fields=_start_fields(config, chosen, command)))
        run(config, choice, outcomes, wait=options.wait, command=command)
        metrics = read_metrics(config) if "write_report" in chosen else None
        listener.hear(Event("run_end", fields=_end_fields(outcomes, metrics)))
    if for_people:
        idle = [] if outcomes.any_tried else ["", "Nothing to do: everything is up to date."]
        print("\n".join(["", *_table_lines(outcomes), *idle, *(metrics_lines(config, metrics) if metrics else [])]))
    return 0


@contextlib.contextmanager
def _table_of_failure(for_people: bool) -> Iterator[list[Outcomes]]:
    """Show how far a run came that fails in the block; not where nobody reads any more."""
    shown: list[Outcomes] = []
    try:
        yield shown
    except BrokenPipeError:
        raise
    except Exception:
        for each in shown:
            if for_people and each.any_tried:
                print("\n".join(["", *_table_lines(each), ""]), flush=True)
        raise


def tell_failure(options: argparse.Namespace, error: str, status: int, *, line: str | None = None) -> int:
    """Say why a command failed, in its log where that is JSON; return the exit status.

    line: for people, on standard error, where it is not the error itself; "" where they are told by other means.
    """
    if getattr(options, "log_format", "") == "json":
        _say(json_line(Event("error", fields={"error": error, "exit_status": status})))
    elif line is None:
        print(f"error: {error}", file=sys.stderr)
    elif line:
        print(line, file=sys.stderr)
    return status


@contextlib.contextmanager
def _listening(log_format: str) -> Iterator[Listener]:
    if log_format == "json":
        with own_output() as stream, JsonLog(stream) as log:
            yield log
    elif log_format == "auto" and can_draw(sys.stdout):
        with LiveDisplay(sys.stdout) as display:
            yield display
    else:
        yield Lines(_say)


def _say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # at once: another thread may say something too


def _start_fields(config: Config, chosen: Sequence[str], command: str) -> dict[str, Any]:
    return {
        "log_format": LOG_FORMAT,
        "release": __version__,
        "command": command,
        "store": config.store,
        "stages": list(chosen),
    }


def _end_fields(outcomes: Outcomes, metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    stages = [each.fields() for each in _of_all_stages(outcomes)]
    modes = metrics["modes"] if metrics else {}
    return {
        "exit_status": 0,
        "seconds": round(sum(each["seconds"] for each in stages), 3),
        "stages": stages,
        "results": {
            mode: {name: each[name] for name in ("gap", "top1", "num_predictions")} for mode, each in modes.items()
        },
    }


def _of_all_stages(outcomes: Outcomes) -> list[Outcome]:
    from landmark_spark.pipeline import STAGES

    return outcomes.of([stage.name for stage in STAGES])


def _table_lines(outcomes: Outcomes) -> list[str]:
    return table_lines(_HEADS, [each.cells() for each in _of_all_stages(outcomes)])


def metrics_lines(config: Config, metrics: Mapping[str, Any]) -> list[str]:
    """Return what a run says of its results, from what metrics.json holds."""
    counts = metrics["counts"]
    refused, failed = counted(counts["rejects"], "row"), counted(counts["failed_downloads"], "download")
    lines = ["", f"{refused} refused, {failed} failed (status --failed lists them)"]
    if metrics["modes"]:
        rows = [
            [_MODES.get(mode, mode), f"{each['gap']:.4f}", f"{each['top1']:.4f}", each["num_predictions"]]
            for mode, each in metrics["modes"].items()
        ]
        lines += ["", *table_lines(["result", "GAP", "top-1", "predictions"], rows)]
    return [
        *lines,
        "",
        f"submission: {config.store}/submission.csv ({metrics['submission_mode']})",
        f"metrics:    {config.store}/metrics.json",
        f"report:     {config.store}/report/index.html",
    ]
