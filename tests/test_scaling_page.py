"""docs/scaling.md shows what the command prints: to the letter."""

import re
import shlex
from pathlib import Path

import pytest

from landmark_spark.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scaling.md"
SHOWN = re.findall(r"```\n\$ landmark-spark (plan [^\n]+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_shows_the_challenge_on_three_machines_and_a_hundred_million_images():
    assert [re.search(r"--gpus (\d+)", command) is not None for command, _ in SHOWN] == [False, True, True, True]
    assert "--images-train 100000000" in SHOWN[-1][0]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=["laptop", "4 GPUs", "32 GPUs", "100 million"])
def test_the_page_shows_what_the_command_prints(command, output, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == output


def test_where_the_design_does_not_hold_the_page_says_so():
    warnings = {name: output.count("warning: ") for name, (_, output) in zip("abcd", SHOWN, strict=True)}
    assert warnings["b"] == warnings["c"] == 0
    assert "retrieve_neighbours needs 204.8 GB a task" in SHOWN[-1][1]
    assert "train_retrieval needs 614.4 GB a task" in SHOWN[-1][1]
