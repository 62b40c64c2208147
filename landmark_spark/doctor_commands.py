"""The command doctor: would a run find what it needs?"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from landmark_spark.config import load_config
from landmark_spark.core.printable import printable
from landmark_spark.setting_text import shown
from landmark_spark.settings import ConfigError
from landmark_spark.spark_masters import MASTERS, is_master

if TYPE_CHECKING:
    from landmark_spark.doctor.checks import Check

__all__ = ["add_doctor_commands", "doctor_parser"]


def add_doctor_commands(commands: Any, add_config_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command to the parser's."""
    doctor = commands.add_parser("doctor", help="check Java, Spark, executors, store, weights, network, disk")
    add_config_options(doctor)
    doctor_parser(doctor)


def doctor_parser(parser: argparse.ArgumentParser) -> None:
    """Add what doctor takes besides the configuration."""
    parser.add_argument("--master", help="in place of spark.master; under spark-submit its own counts")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(command=_examine)


def _examine(options: argparse.Namespace) -> int:
    from landmark_spark.doctor.examination import examine

    config = load_config(options.config, options.overrides)
    if options.master is not None:
        if not is_master(options.master):
            raise ConfigError(f"--master should be {MASTERS}. Received: {shown(options.master)}")
        config = dataclasses.replace(config, spark=dataclasses.replace(config.spark, master=options.master))
    checks = examine(config, _say)
    if options.json:
        print(json.dumps([dataclasses.asdict(each) for each in checks], indent=1))
    else:
        _print_checks(checks)
    return 1 if any(each.state == "failed" for each in checks) else 0


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _print_checks(checks: Sequence[Check]) -> None:
    width = max(len(each.name) for each in checks)
    for each in checks:
        print(printable(f"{each.state:7}  {each.name:{width}}  {each.found}"))
        if each.advice:
            print(printable(f"{'':7}  {'':{width}}  what to do: {each.advice}"))
