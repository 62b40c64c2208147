"""Reads the command line of scripts/bench and runs one benchmark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.benchmarks import download, features, gpu, inference, kinds, rates, retrieval, scale, train, verify
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

COMPARED = ("sift", "delf_vgg16")  # kinds of local features that need no file of others
MIN_PAIRS = 5  # a median of fewer says little
NUM_IMAGES = 10_000  # 1,250 a shard, as conf/cluster.yaml has them
NUM_TRAINED = 200_000  # a sixth of the challenge's, 3.3 GB of features
NUM_TRUE = 2_000
NUM_FALSE = 12_000  # at a rate of 0.1 % twelve of them may be accepted
NUM_COMPARED = 1_200  # pairs of photos: half show the same landmark
NUM_REFERENCES, NUM_QUERIES = 131_072, 1_024
NUM_EXTRACTED = 256  # images of one run of the network: some seconds on two cores


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
    names = parser.add_subparsers(
        required=True, metavar="{download,scale,inference,train,gpu,features,kinds,rates,retrieval,verify}"
    )
    fetching = names.add_parser("download", help="the download stage against img2dataset")
    fetching.add_argument("--images", type=_at_least(40), help=f"URLs of one run (default {NUM_IMAGES:,}; quick: 240)")
    fetching.add_argument("--pairs", type=_at_least(1), help=f"runs of each side (default {MIN_PAIRS}; quick: 1)")
    fetching.add_argument("--only", choices=list(download.PARTS), help="one part of the benchmark")
    fetching.set_defaults(run=_run_download)
    scaling = names.add_parser("scale", help="stages at the challenge's size: the driver's memory")
    scaling.add_argument("--only", choices=list(scale.PARTS), help="the first two stages, or the whole store")
    scaling.add_argument("--shards", type=_at_least(1), help="of the whole store (default 1,024; quick: 4)")
    scaling.set_defaults(
        run=lambda options, write: scale.measure(
            write,
            quick=options.quick,
            parts=[options.only] if options.only else scale.PARTS,
            num_shards=options.shards,
        )
    )
    inferring = names.add_parser("inference", help="the extraction against Spark's own ways and the bare network")
    inferring.add_argument("--images", type=_at_least(4), help=f"of one run (default {NUM_EXTRACTED}; quick: 8)")
    inferring.add_argument("--pairs", type=_at_least(1), help=f"runs of each side (default {MIN_PAIRS}; quick: 1)")
    inferring.set_defaults(run=_run_inference)
    training = names.add_parser("train", help="the feed against the top model, and an epoch with 15,000 classes")
    training.add_argument("--rows", type=_at_least(600), help=f"of the epoch (default {NUM_TRAINED:,}; quick: 600)")
    training.add_argument("--pairs", type=_at_least(1), help=f"runs of each side (default {MIN_PAIRS}; quick: 1)")
    training.set_defaults(run=_run_train)
    device = names.add_parser("gpu", help="how much of a GPU the extraction uses; needs no Spark and no Java")
    device.set_defaults(run=lambda options, write: gpu.measure(write, quick=options.quick))
    comparing = names.add_parser("features", help="which local features tell the real photos' landmarks apart best")
    comparing.add_argument("--kinds", nargs="+", choices=COMPARED, default=COMPARED, help="default: all")
    comparing.add_argument("--true", type=_at_least(1), help=f"pairs of one landmark (default {NUM_TRUE:,}; quick: 50)")
    comparing.add_argument("--false", type=_at_least(2), help=f"other pairs (default {NUM_FALSE:,}; quick: 100)")
    comparing.add_argument("--per-landmark", type=_at_least(2), help="photos of each landmark used (default: all)")
    comparing.add_argument("--of-none", type=_at_least(1), help="photos of no landmark used (default: all)")
    comparing.add_argument("--sweep", action="store_true", help="other sides, numbers of keypoints and distances too")
    comparing.set_defaults(run=_run_features)
    judging = names.add_parser("kinds", help="GAP of a configuration with each kind of local features")
    judging.add_argument("--config", type=Path, required=True, help="YAML file, with inputs.solution_csv")
    judging.add_argument(
        "--kinds",
        nargs="+",
        choices=["sift", "delf", "delf_vgg16"],
        default=COMPARED,
        help="of local features (default: all but delf, which needs --set local_features.delf_export=...)",
    )
    judging.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    judging.set_defaults(
        quick=False,
        run=lambda options, write: kinds.measure(
            write, config=options.config, kinds=options.kinds, overrides=options.overrides
        ),
    )
    rating = names.add_parser("rates", help="rates for plan --estimate from a small and a large finished run")
    rating.add_argument("--config", type=Path, action="append", required=True, help="YAML file of a run; twice for two")
    rating.add_argument("--store", action="append", default=[], help="where it ran, if not where its file says")
    rating.add_argument("--write", action="store_true", help="put them into landmark_spark/rates.json")
    rating.set_defaults(
        quick=False,
        run=lambda options, write: rates.measure(
            write, configs=rates.configs_of(options.config, options.store), into_file=options.write
        ),
    )
    seeking = names.add_parser("retrieval", help="the exact search for neighbours against the matrix product alone")
    seeking.add_argument(
        "--references", type=_at_least(100), help=f"training images (default {NUM_REFERENCES:,}; quick: 1,000)"
    )
    seeking.add_argument("--queries", type=_at_least(1), help=f"test images (default {NUM_QUERIES:,}; quick: 100)")
    seeking.set_defaults(run=_run_retrieval)
    verifying = names.add_parser("verify", help="verification against SciPy and scikit-image; skew on two workers")
    verifying.add_argument("--pairs", type=_at_least(4), help=f"of photos (default {NUM_COMPARED:,}; quick: 6)")
    verifying.add_argument("--rounds", type=_at_least(1), help=f"of each side (default {MIN_PAIRS}; quick: 1)")
    verifying.add_argument("--only", choices=list(verify.PARTS), help="one part of the benchmark")
    verifying.add_argument("--store", type=Path, help="a finished run, for mean comparisons (default runs/mini)")
    verifying.set_defaults(run=_run_verify)
    for each in (fetching, scaling, inferring, training, device, comparing, seeking, verifying):
        each.add_argument("--quick", action="store_true", help="small, to see that the benchmark works")
    return parser


def _run_inference(options: argparse.Namespace, write: LineWriter) -> None:
    images = options.images or (8 if options.quick else NUM_EXTRACTED)
    inference.measure(write, num_images=images, num_pairs=_pairs_of(options), quick=options.quick)


def _run_features(options: argparse.Namespace, write: LineWriter) -> None:
    num_true = options.true or (50 if options.quick else NUM_TRUE)
    num_false = options.false or (100 if options.quick else NUM_FALSE)
    sizes = features.Sizes(num_true, num_false, options.per_landmark, options.of_none)
    features.measure(write, kinds=options.kinds, sizes=sizes, sweep=options.sweep, quick=options.quick)


def _run_retrieval(options: argparse.Namespace, write: LineWriter) -> None:
    retrieval.measure(
        write,
        num_references=options.references or (1_000 if options.quick else NUM_REFERENCES),
        num_queries=options.queries or (100 if options.quick else NUM_QUERIES),
    )


def _run_verify(options: argparse.Namespace, write: LineWriter) -> None:
    verify.measure(
        [options.only] if options.only else list(verify.PARTS),
        write,
        num_rounds=options.rounds or (1 if options.quick else MIN_PAIRS),
        num_pairs=options.pairs or (6 if options.quick else NUM_COMPARED),
        store=options.store or (None if options.quick else verify.default_store()),
        quick=options.quick,
    )


def _run_train(options: argparse.Namespace, write: LineWriter) -> None:
    rows = options.rows or (600 if options.quick else NUM_TRAINED)
    train.measure(write, num_rows=rows, num_pairs=_pairs_of(options), quick=options.quick)


def _pairs_of(options: argparse.Namespace) -> int:
    pairs = int(options.pairs or (1 if options.quick else MIN_PAIRS))
    if pairs < MIN_PAIRS and not options.quick:
        say(f"{pairs} pairs: fewer than the {MIN_PAIRS} that a reported figure should have")
    return pairs


def _run_download(options: argparse.Namespace, write: LineWriter) -> None:
    pairs = _pairs_of(options)
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
