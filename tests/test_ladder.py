"""The command that says what each technique brings, on a finished run of the tiny world."""

import json
from xml.etree import ElementTree

import pytest

from landmark_spark.cli import main


@pytest.mark.jvm
def test_the_ladder_of_a_finished_run_and_of_another_setting(finished, tiny_arguments, tmp_path, capsys):
    words = tiny_arguments("ladder", finished)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("|")[1].strip() for line in lines[2:]]
    assert names[:3] == ["2018: classifier alone", "2018: verified only", "2018: fused with verification"]
    assert names[3] == "nearest neighbours" and names[-1] == "+ geometric verification"
    before = {path: path.read_bytes() for path in (finished / "_commits").rglob("*.json")}
    assert main([*words, "--json", "--with", "mirrored:descriptors.flip=true"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == [*names, "with mirrored"]
    assert found[-1]["gain"]["low"] <= found[-1]["gain"]["value"] <= found[-1]["gain"]["high"]
    seconds = found[-1]["seconds"]
    assert seconds > 0
    assert before == {path: path.read_bytes() for path in (finished / "_commits").rglob("*.json")}
    # A second time the copy is up to date, and its stages took what they took.
    chart = tmp_path / "ladder.svg"
    assert main([*words, "--json", "--with", "mirrored:descriptors.flip=true", "--chart", str(chart)]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["seconds"] == seconds
    drawn = ElementTree.fromstring(chart.read_text(encoding="utf-8"))
    assert "with mirrored" in drawn.attrib["aria-label"]
    metrics = json.loads((finished / "metrics.json").read_text())
    assert [each["name"] for each in metrics["ladder"]] == names
    assert metrics["ladder"][-1]["gap"]["value"] == pytest.approx(metrics["modes"]["learned"]["gap"])


@pytest.mark.parametrize("text", ["mirrored", ":descriptors.flip=true", "mirrored:"])
def test_a_variant_without_name_or_settings_is_refused(tmp_path, text, capsys):
    assert main(["ladder", "--set", f"store={tmp_path}", "--with", text]) == 2
    assert "error: --with should be NAME:SECTION.KEY=VALUE,..." in capsys.readouterr().err


def test_a_chart_is_an_svg(tmp_path, capsys):
    assert main(["ladder", "--set", f"store={tmp_path}", "--chart", "ladder.png"]) == 2
    assert "error: --chart should end with .svg. Received: ladder.png" in capsys.readouterr().err


def test_a_comma_within_a_value_does_not_end_it(capsys):
    assert main(["ladder", "--with", "other:download.user_agent=robots, not people,train.epochs=many"]) == 2
    assert "error: train.epochs should be of type int. Received: 'many'" in capsys.readouterr().err


def test_without_a_solution_or_a_finished_run_it_says_so(tmp_path, capsys):
    (tmp_path / "train.csv").write_text("id,url,landmark_id\n")
    inputs = [f"inputs.{name}_csv={tmp_path / 'train.csv'}" for name in ("train", "test")]
    words = [word for each in (f"store={tmp_path}", *inputs) for word in ("--set", each)]
    assert main(["ladder", *words]) == 2
    assert "inputs.solution_csv should be given: without it there is no GAP" in capsys.readouterr().err
    (tmp_path / "solution.csv").write_text("id,landmarks\na,1\n")
    assert main(["ladder", *words, "--set", f"inputs.solution_csv={tmp_path / 'solution.csv'}"]) == 1
    assert "error: predictions should" in capsys.readouterr().err
