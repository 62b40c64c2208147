"""The report of a run over hostile names, ids, hosts and statuses: it shows them, and runs none of them."""

import json
import re
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import BROWSER
from hypothesis import given
from hypothesis import strategies as st
from untrusted import some_thousand

from landmark_spark.core.bootstrap import Interval
from landmark_spark.core.images import encode_jpeg
from landmark_spark.core.ladder import Rung
from landmark_spark.report import svg
from landmark_spark.report.assets import load_assets
from landmark_spark.report.data import KINDS, Confusion, Example, InlierSample, ReportData, ScoreSample
from landmark_spark.report.page import _galleries, render_page, write_report

MARK = "document.title='it_ran'"
HOSTILE = (
    f"<script>{MARK}</script>",
    f"</title><script>{MARK}</script>",
    f"</style><script>{MARK}</script>",
    f"<img src=x onerror={MARK}>",
    f'"><svg onload="{MARK}">',
    f"' onmouseover='{MARK}' autofocus onfocus='{MARK}",
    f"javascript:{MARK}",
    "data:text/html,<script>1</script>",
    f"<a href=javascript:{MARK}>x</a>",
    "<iframe srcdoc='<script>parent.document.title=1</script>'>",
    "<meta http-equiv=refresh content='0;url=javascript:1'>",
    "<base href=https://evil.example/>",
    "<!--",
    "]]>",
    "{{ 7 * 7 }}{% raw %}",
    "\x00<\x00script>",
    "\u202egpj.exe",
    "&lt;script&gt;&#60;script&#62;",
    "\ud800",
    "$\\frac{1}{0}$",
    "x" * 2000,
    "\N{FULLWIDTH LESS-THAN SIGN}script\N{FULLWIDTH GREATER-THAN SIGN}",
)
JPEG = encode_jpeg(np.full((40, 60, 3), 80, np.uint8), 80)
ASSETS = load_assets()


class Page(HTMLParser):
    """Collects tags and their attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts = [], []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))
        self._in_script = tag == "script"

    def handle_data(self, data):
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self._in_script = False


def example(text, kind):
    return Example(kind, text, 7, text, 0.5, 40, text, "right", JPEG)


def hostile_data(texts):
    """Return a report in which every text that comes from files is a hostile one."""
    texts = list(texts)
    first = texts[0]
    measured = {"gap": 0.5, "top1": 0.5, "num_predictions": 1, "num_positives": 1}
    return ReportData(
        title=first,
        created=first,
        submission_mode=first,
        metrics=dict.fromkeys(texts, measured),
        ladder=[Rung(text, Interval(0.5, 0.4, 0.6), Interval(0.1, 0.0, 0.2), 0.5, 0.5) for text in texts],
        precision_curves={text: np.ones(2) for text in texts},
        scores=ScoreSample(right=np.array([0.5])),
        inliers=InlierSample(35, right=np.array([40])),
        history={"loss": [1.0], **{text: [1.0] for text in texts}},
        confusions=[Confusion(text, text, 2) for text in texts],
        imagined=[(text, 2) for text in texts],
        downloads=dict.fromkeys(texts, 3),
        hosts=dict.fromkeys(texts, (2, 1)),
        rejects=dict.fromkeys(texts, 4),
        class_sizes=np.array([1, 2]),
        stage_times=[(text, 1, 1.0) for text in texts],
        several=[(text, [(text, 40), (text, 36)]) for text in texts],
        photos={text: text for text in texts[::2]},
        examples=[example(text, KINDS[number % len(KINDS)]) for number, text in enumerate(texts)],
    )


def check_scripts(page):
    """Besides the page's own there is data that no browser runs: whole JSON, without what would end its element."""
    kinds = [dict(attributes) for name, attributes in page.tags if name == "script"]
    assert kinds == [{"type": "application/json"}] * len(page.scripts)
    for each in page.scripts:
        json.loads(each)
        assert not set(each) & set("<>&'")


def check_page(text):
    """Hold a page against what may be in one, whatever the data."""
    for own in ASSETS.scripts:  # as they are, and not read again for each of some thousand pages
        assert text.count(f"<script>{own}</script>") == 1
        text = text.replace(f"<script>{own}</script>", "")
    page = Page(text)
    names = {name for name, _ in page.tags}
    assert not names & {"iframe", "object", "embed", "base", "form", "foreignobject", "animate", "set"}
    for _, attributes in page.tags:
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("srcdoc", "formaction")
            if name in ("href", "src", "xlink:href"):
                assert re.fullmatch(r"#[A-Za-z0-9_-]+|matches/[a-z_]+_[0-9]+\.jpg|data:,", value), value
    check_scripts(page)
    policies = [
        dict(each)["content"] for name, each in page.tags if dict(each).get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0] == ASSETS.policy
    assert not [each for name, each in page.tags if name == "meta" and dict(each).get("http-equiv") == "refresh"]
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(hostile_data(HOSTILE), folder)
    return folder


def test_a_report_of_hostile_texts_has_no_script_no_handler_and_no_foreign_address(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    check_page(text)
    assert "&lt;script&gt;" in text
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".html", ".jpg"}


PIECES = (*HOSTILE, "<", ">", '"', "'", "&", "=", " ", "\n", "\t", "\x0b", "/", "`", "\\", "--", "on", "style=", "é")


@some_thousand
@given(st.binary(min_size=1, max_size=9).map(lambda picks: "".join(PIECES[pick % len(PIECES)] for pick in picks)))
def test_no_text_of_an_example_becomes_markup(text):
    galleries = _galleries(["accepted_01.jpg"], [example(text, "accepted")])
    data = ReportData(
        title=text,
        created=text,
        submission_mode=text,
        rejects={text: 1},
        hosts={text: (1, 1)},
        confusions=[Confusion(text, text, 1)],
        stage_times=[(text, 1, 1.0)],
        several=[(text, [(text, 40)])],
        photos={text: text},
    )
    html = render_page(data, galleries)
    check_page(html.encode("utf-8", errors="replace").decode())


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_chart_becomes_markup(text):
    def draw(figure):
        figure.add_subplot().set_xlabel(svg.printable(text))

    drawn = Page(svg.render_svg(draw, name="x", label=text, height=1.0))
    allowed = {"svg", "g", "defs", "path", "use", "text", "clippath", "rect", "tspan", "title"}
    assert {name for name, _ in drawn.tags} <= allowed
    assert not [name for _, attributes in drawn.tags for name, _ in attributes if name.startswith("on")]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.timeout(120)
def test_a_browser_runs_nothing_of_it(folder, tmp_path):
    def title_after(page):
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--virtual-time-budget=3000",
            f"--user-data-dir={tmp_path}/p",
        ]
        command = [BROWSER, *options, "--dump-dom", page.as_uri()]
        dumped = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False).stdout
        return dumped

    proof = tmp_path / "proof.html"
    proof.write_text(f"<title>no</title><img src=x onerror={MARK}>")
    if "<title>it_ran" not in title_after(proof):
        pytest.skip("this browser runs no page here")  # then it proves nothing
    shown = title_after(folder / "index.html")
    assert "Skip to the content" in shown
    assert "<title>it_ran" not in shown
