"""Reads the command line of scripts/bench and runs one benchmark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from scripts.benchmarks import download, scale
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

MIN_PAIRS = 5  # a median of fewer says little
NUM_IMAGES = 10_000  # 1,250 a shard, as conf/cluster.yaml has them


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark that the command line names; the exit code is 1 where a check failed, 2 for a bad option."""
    options = _parser().parse_args(arguments)
    if options.quick:
        say("quick: the benchmark tries itself; its figures mean nothing")
    with LineWriter() as write:
        try:
            options.run(options, write)
        except BenchmarkError as error:
            say(f"error: {error}")
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="{download,scale}")
    fetching = names.add_parser("download", help="the download stage against img2dataset")
    fetching.add_argument("--images", type=_at_least(40), help=f"URLs of one run (default {NUM_IMAGES:,}; quick: 240)")
    fetching.add_argument("--pairs", type=_at_least(1), help=f"runs of each side (default {MIN_PAIRS}; quick: 1)")
    fetching.add_argument("--only", choices=list(download.PARTS), help="one part of the benchmark")
    fetching.set_defaults(run=_run_download)
    scaling = names.add_parser("scale", help="the first two stages at the challenge's size")
    scaling.set_defaults(run=lambda options, write: scale.measure(write, quick=options.quick))
    for each in (fetching, scaling):
        each.add_argument("--quick", action="store_true", help="small, to see that the benchmark works")
    return parser


def _run_download(options: argparse.Namespace, write: LineWriter) -> None:
    pairs = options.pairs or (1 if options.quick else MIN_PAIRS)
    if pairs < MIN_PAIRS and not options.quick:
        say(f"{pairs} pairs: fewer than the {MIN_PAIRS} that a reported figure should have")
    images = options.images or (240 if options.quick else NUM_IMAGES)
    parts = [options.only] if options.only else list(download.PARTS)
    download.measure(parts, write, num_images=images, num_pairs=pairs, quick=options.quick)


def _at_least(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"should be at least {minimum}. Received: {number}")
        return number

    return parse


if __name__ == "__main__":
    sys.exit(main())
