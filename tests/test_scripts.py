"""The scripts say what they are for before they install anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
SOURCED = {"environment", "usage"}


@pytest.mark.parametrize("name", sorted(path.name for path in SCRIPTS.iterdir() if path.is_file()))
def test_help_shows_the_comment_at_the_top_and_does_nothing_else(tmp_path, name):
    if name in SOURCED:
        pytest.skip("other scripts source it")
    for each in (name, "usage"):  # nothing that it could call lies beside it
        shutil.copy(SCRIPTS / each, tmp_path / each)
    shown = subprocess.run(["bash", tmp_path / name, "--help"], capture_output=True, text=True, check=True).stdout
    comment = (SCRIPTS / name).read_text().split("\nset -euo")[0].splitlines()[1:]
    assert shown.splitlines() == [line.removeprefix("#").removeprefix(" ") for line in comment]


def test_an_option_that_install_does_not_know_is_refused():
    done = subprocess.run(["bash", SCRIPTS / "install", "--fast"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "install: error: the option should be --runtime or none. Received: --fast\n"
