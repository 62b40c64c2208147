import argparse
import dataclasses
import typing
from pathlib import Path

from landmark_spark.cli import command_parser, main
from landmark_spark.pipeline import STAGES
from landmark_spark.reference import describe_commands, describe_reference, describe_settings
from landmark_spark.schemas import Table
from landmark_spark.settings import Config

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"


def test_the_reference_is_what_the_code_declares(capsys):
    assert main(["describe", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert printed == describe_reference(command_parser()) + "\n"
    assert REFERENCE.read_text(encoding="utf-8") == printed, "docs/reference.md is old: run scripts/reference"


def test_every_setting_and_every_column_has_a_row():
    text = REFERENCE.read_text(encoding="utf-8")
    sections = [each for each in typing.get_type_hints(Config).values() if dataclasses.is_dataclass(each)]
    names = [each.name for kind in sections for each in dataclasses.fields(kind)]
    assert len(names) > 130
    for name in names:
        assert f"\n| `{name}` | " in text
    for table in [each for stage in STAGES for each in stage.outputs if isinstance(each, Table)]:
        for name in table.schema.names:
            assert f"\n| `{name}` | {table.schema.field(name).type} | " in text


def test_settings_show_default_range_and_whether_they_count_for_speed_alone():
    rows = describe_settings().splitlines()
    # As verification_settings.py and settings.py have them.
    assert (
        "| `min_inliers` | whole number | `35` | at least 3 |  | more inliers than this say: yes, this landmark |"
        in rows
    )
    (deadline,) = [each for each in rows if each.startswith("| `deadline` |")]
    assert deadline.startswith("| `deadline` | number | `30` | above 0.0, at most 86,400.0 | yes | seconds for one URL")
    (weights,) = [each for each in rows if each.startswith("| `weights` |")]
    assert r"imagenet \| random (tests only) \|" in weights  # else the row would have more cells
    assert {each.replace(r"\|", "").count("|") for each in rows if each.startswith("| `")} == {7}


def test_commands_show_their_options_and_defaults():
    parser = argparse.ArgumentParser(prog="tool")
    one = parser.add_subparsers().add_parser("one", help="does one thing")
    one.add_argument("place", metavar="PLACE", help="where | how")
    one.add_argument("--size", type=int, default=0, help="of it (%(default)s)")
    one.add_argument("--kind", choices=["a", "b"], required=True)
    two = one.add_subparsers().add_parser("two", help="more")
    two.add_argument("--yes", action="store_true", help="100%% sure")
    assert describe_commands(parser).splitlines() == [
        "### `tool one`",
        "",
        "Does one thing.",
        "",
        "| option | default | |",
        "|---|---|---|",
        "| `PLACE` | needed | where \\| how |",
        "| `--size SIZE` | `0` | of it (0) |",
        "| `--kind a or b` | needed |  |",
        "",
        "### `tool one two`",
        "",
        "More.",
        "",
        "| option | default | |",
        "|---|---|---|",
        "| `--yes` |  | 100% sure |",
    ]
