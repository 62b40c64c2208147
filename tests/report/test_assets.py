import base64
import hashlib
import re
from distutils.core import run_setup
from pathlib import Path

import pytest

from landmark_spark.report import assets
from landmark_spark.report.assets import load_assets

REPORT = Path(assets.__file__).parent
ROOT = REPORT.parents[1]


def test_what_is_vendored_is_what_its_note_says_with_its_licences():
    noted = dict(re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", (REPORT / "vendor/README.md").read_text(), re.M))
    files = {path.name for path in (REPORT / "vendor").iterdir()}
    assert set(noted) == files - {"README.md"}
    assert noted == {name: hashlib.sha256((REPORT / "vendor" / name).read_bytes()).hexdigest() for name in noted}
    version = re.search(r"Chart\.js v([\d.]+)", (REPORT / "vendor/chart.umd.min.js").read_text())[1]
    assert f"Chart.js {version}," in (REPORT / "vendor/README.md").read_text()
    assert all("MIT License" in (REPORT / "vendor" / name).read_text() for name in noted if "LICENSE" in name)


def test_every_file_of_the_page_is_shipped_with_the_package(monkeypatch):
    monkeypatch.chdir(ROOT)
    patterns = run_setup("setup.py", stop_after="init").package_data["landmark_spark"]
    shipped = {path for pattern in patterns for path in (ROOT / "landmark_spark").glob(pattern)}
    wanted = {path for path in REPORT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert wanted
    assert wanted <= shipped


def test_the_policy_names_the_style_and_each_script_by_its_hash_and_allows_no_others():
    found = load_assets()

    def named(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    rules = dict(rule.strip().split(" ", 1) for rule in found.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [named(text) for text in found.scripts]
    assert rules["style-src"] == named(found.style)
    assert "unsafe" not in found.policy
    assert len(found.scripts) == 4


def test_the_scripts_name_no_other_file():
    found = load_assets()
    assert "sourceMappingURL" not in "".join(found.scripts)
    assert "Chart.js v" in found.scripts[0]
    addresses = set(re.findall(r"https?://[^\s*]+", "".join([found.style, *found.scripts])))
    assert addresses == {"https://www.chartjs.org", "https://github.com/kurkle/color#readme"}  # of their notices


def test_a_script_that_would_end_its_element_is_refused(monkeypatch, tmp_path):
    (tmp_path / "bad.js").write_text("var a = '</SCRIPT>';")
    monkeypatch.setattr(assets, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"bad.js should not hold what ends its element"):
        assets._read("bad.js")
