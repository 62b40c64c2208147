"""The commands that look behind a result: calibrate, matches and ladder."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.config import load_config
from landmark_spark.core.counted import counted
from landmark_spark.settings import ConfigError
from landmark_spark.text_tables import table_lines

if TYPE_CHECKING:
    from landmark_spark.calibrating import Calibration
    from landmark_spark.core.calibration import Rate

__all__ = ["add_evidence_commands"]

_NEXT_SETTING = re.compile(r",(?=\s*[a-z_]+(?:\.[a-z_]+)?=)")
"""A comma within a value is none between two."""

_SHOWN = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 35, 40, 50, 70, 100)


def add_evidence_commands(commands: Any, add_config_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands to the parser's."""
    calibrate = commands.add_parser("calibrate", help="measure how often verify.min_inliers accepts a wrong landmark")
    add_config_options(calibrate)
    calibrate.add_argument("--pairs", type=int, default=4000, metavar="N", help="pairs of each kind (default 4000)")
    calibrate.add_argument(
        "--images",
        type=int,
        default=1000,
        metavar="N",
        help="images compared with all references of another landmark (default 1000)",
    )
    calibrate.add_argument(
        "--landmarks", type=int, default=50, metavar="N", help="landmarks whose references are read (default 50)"
    )
    calibrate.add_argument(
        "--rates", type=_rates, default=(0.01, 0.001), metavar="R,...", help="rates wanted (default 0.01,0.001)"
    )
    calibrate.add_argument("--seed", type=int, default=0, help="of the draws")
    calibrate.add_argument("--json", action="store_true", help="for machines: every threshold, with intervals")
    calibrate.set_defaults(command=_calibrate)
    matches = commands.add_parser("matches", help="draw the matches of a test image and its best reference")
    matches.add_argument("test_id", metavar="TEST_ID", help="id of a test image")
    add_config_options(matches)
    matches.add_argument("--output", type=Path, metavar="FILE", help="png or jpg (default: TEST_ID_matches.png)")
    matches.add_argument("--landmark", type=int, metavar="ID", help="its references, instead of those predicted")
    matches.set_defaults(command=_matches)
    ladder = commands.add_parser("ladder", help="say what each technique brings, from the tables of a finished run")
    add_config_options(ladder)
    ladder.add_argument(
        "--with",
        dest="variants",
        action="append",
        default=[],
        metavar="NAME:SETTING[,SETTING]",
        help="also run the pipeline with these settings, in a copy of the store, and measure the gain: "
        "mirrored:descriptors.flip=true",
    )
    ladder.add_argument("--chart", type=Path, metavar="FILE", help="also draw it: svg")
    ladder.add_argument("--json", action="store_true", help="for machines")
    ladder.set_defaults(command=_ladder)


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"should be numbers with commas between. Received: {text!r}") from None


def _calibrate(options: argparse.Namespace) -> int:
    from landmark_spark.calibrating import calibrate
    from landmark_spark.calibration_pairs import Sampling

    sampling = Sampling(
        num_pairs=options.pairs,
        num_images=options.images,
        num_landmarks=options.landmarks,
        rates=options.rates,
        seed=options.seed,
    )
    found = calibrate(load_config(options.config, options.overrides), sampling, _say)
    print(found.to_json() if options.json else "\n".join(_calibration_lines(found)))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _calibration_lines(found: Calibration) -> list[str]:
    first = found.thresholds[0]
    current = found.verify["min_inliers"]
    shown = {current, *_SHOWN, *(each.measured for each in found.choices), *(each.shown for each in found.choices)}
    heads = ("min_inliers", "other images", "other pairs", "random matches", "same images", "same pairs")
    rows = [
        (
            f"{each.min_inliers}{' (set)' if each.min_inliers == current else ''}",
            *map(_percent, (each.other_images, each.other_pairs, each.random_pairs)),
            *map(_percent, (each.same_images, each.same_pairs)),
        )
        for each in found.thresholds
        if each.min_inliers in shown
    ]
    sizes = (first.other_images, first.other_pairs, first.random_pairs, first.same_images, first.same_pairs)
    return [
        f"{found.kind}: {counted(found.num_references, 'reference')} of {counted(found.num_landmarks, 'landmark')}; an "
        f"image of another landmark is compared with {found.mean_comparisons:.1f} references, a pair of them has "
        f"{counted(round(found.mean_matches), 'match', 'matches')}",
        "",
        *table_lines(heads, [("counted", *(f"{each.num_trials:,}" for each in sizes)), *rows]),
        "",
        "accepted: more than min_inliers inliers, of an image with its best reference; with the 95 % interval",
        "other: of different landmarks (false accepts); same: of one landmark (true accepts)",
        "",
        *map(_choice_line, found.choices),
        "",
        "the false pairs with the most inliers (are they mistakes, or do both show the same place?):",
        *(
            f"  {counted(each.num_inliers, 'inlier')}: {each.image_id} (landmark {each.landmark_id}) and "
            f"{each.reference_id} (landmark {each.reference_landmark_id})"
            for each in found.suspects
        ),
    ]


def _percent(rate: Rate) -> str:
    return f"{rate.share:.2%} ({rate.low:.2%} to {rate.high:.2%})"


def _choice_line(choice: Any) -> str:
    line = f"at most {choice.rate:.4g} of images falsely accepted: verify.min_inliers={choice.measured} as measured"
    if choice.shown is not None:
        return f"{line}, {choice.shown} with 95 % confidence"
    return f"{line}; to be confident of it would take {choice.images_needed:,} images (--images)"


def _matches(options: argparse.Namespace) -> int:
    from landmark_spark.match_pictures import draw_best_match

    output = options.output or Path(f"{options.test_id.replace('/', '_')}_matches.png")
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"--output should end with .png, .jpg or .jpeg. Received: {output}")
    if not output.parent.is_dir():
        raise ConfigError(f"--output should lie in a folder that is there. Received: {output}")
    config = load_config(options.config, options.overrides)
    drawn = draw_best_match(config, options.test_id, landmark_id=options.landmark)
    output.write_bytes(drawn.encode(output.suffix.lower()))
    print("\n".join(drawn.caption))
    print(f"picture: {output}")
    return 0


def _ladder(options: argparse.Namespace) -> int:
    from landmark_spark.ladder import Variant, measure_ladder

    if options.chart is not None and options.chart.suffix.lower() != ".svg":
        raise ConfigError(f"--chart should end with .svg. Received: {options.chart}")
    variants = []
    for text in options.variants:
        name, _, settings = text.partition(":")
        if not (name.strip() and settings):
            raise ConfigError(f"--with should be NAME:SECTION.KEY=VALUE,... Received: {text!r}")
        variants.append(
            Variant(name, load_config(options.config, [*options.overrides, *_NEXT_SETTING.split(settings)]))
        )
    config = load_config(options.config, options.overrides)
    found = measure_ladder(config, variants, lambda line: print(line, file=sys.stderr, flush=True))
    print(found.to_json() if options.json else found.to_markdown())
    if options.chart is not None:
        options.chart.write_text(found.to_svg(), encoding="utf-8")
    return 0
