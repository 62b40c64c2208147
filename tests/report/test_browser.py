"""The report in a real browser: it draws, it fits, it can be read and used by keys alone, and asks for nothing else."""

import json

import numpy as np
import pytest
from browser import BROWSER, Browser, Tab
from report_samples import example, full, picture

from landmark_spark.core.bootstrap import Interval
from landmark_spark.core.ladder import Rung
from landmark_spark.report.data import KINDS, Confusion, InlierSample, ScoreSample
from landmark_spark.report.page import write_report

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.timeout(180),
]

LONG = "Saint-Pierre-le-Jeune Protestant Church of the Old Town </script><!-- 下龙湾"
CHARTS = 14


def everything():
    """A report with every chart, long names, and two pictures in each gallery."""
    generator = np.random.default_rng(0)
    some = np.arange(1, 31)
    gain = Interval(0.1, -0.05, 0.25)
    return full(
        ladder=[
            Rung(f"+ step {place}, with a name of some length", Interval(0.5 + place / 50, 0.4, 0.8), gain, 0.5, 0.6)
            for place in range(9)
        ],
        precision_curves={name: 1 / np.sqrt(np.arange(1, 888)) for name in ("classifier", "decision", "learned")},
        scores=ScoreSample(generator.random(200), generator.random(30), generator.random(600)),
        inliers=InlierSample(35, generator.poisson(60, 200), generator.poisson(9, 30), generator.poisson(7, 600)),
        history={name: list(1 / some) for name in ("loss", "val_loss", "accuracy", "val_accuracy", "val_gap")},
        fine_tuning={"loss": [1.0]},
        delf_training={"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]},
        confusions=[Confusion(LONG, LONG, 9 - place) for place in range(8)],
        imagined=[(f"{LONG} {place}", 30 - place) for place in range(15)],
        hosts={f"farm{place}.static.example.org": (300 - place, place) for place in range(30)},
        several=[(f"{place:016x}", [(LONG, 99), (LONG, 50 - place)]) for place in range(3)],
        photos={"test0": "an_overlong_name_withou…hout_end.jpg", f"{0:016x}": "an_overlong_name_withou…hout_end.jpg"},
        class_sizes=np.ceil(generator.pareto(1, 900) * 2 + 1).astype(int),
        examples=[
            example(2 * place + number, kind=kind, landmark_name=LONG, picture=picture(80 + number))
            for place, kind in enumerate(KINDS)
            for number in range(2)
        ],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(everything(), folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def open_page(browser, folder):
    def open_page(**words):
        tab = Tab(browser, **words).open(folder / "index.html")
        tabs.append(tab)
        return tab

    tabs = []
    yield open_page
    for tab in tabs:
        tab.close()


# Of each canvas: how many of its pixels have each of the colours asked for.
COUNT_PIXELS = """(names) => {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement("canvas").getContext("2d");
  const wanted = names.map((name) => {
    probe.fillStyle = style.getPropertyValue(`--${name}`).trim();
    return parseInt(probe.fillStyle.slice(1), 16);
  });
  return Array.from(document.querySelectorAll("figure.chart"), (figure) => {
    const canvas = figure.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const found = Object.fromEntries(names.map((name) => [name, 0]));
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] < 255) continue;
      const place = wanted.indexOf((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
      if (place >= 0) found[names[place]] += 1;
    }
    return found;
  });
}"""

COLORS = ("blue", "vermilion", "green", "purple", "grey", "ink", "line")


def pixels(tab):
    tab.settle()
    return tab.evaluate(f"({COUNT_PIXELS})({json.dumps(COLORS)})")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_chart_draws_in_its_colours_and_nothing_is_complained_of(open_page, width, dark):
    tab = open_page(width=width, dark=dark)
    drawn = pixels(tab)
    specs = tab.evaluate("Array.from(document.querySelectorAll('figure.chart > script'), (each) => each.textContent)")
    assert len(drawn) == len(specs) == CHARTS
    for found, spec in zip(drawn, map(json.loads, specs), strict=True):
        assert found["ink"] > 50, spec["title"]  # words
        shown = {each["color"] for each in spec["series"]}
        assert all(found[color] > 10 for color in shown), (spec["title"], found)
    assert tab.complaints() == []


def test_charts_are_drawn_anew_where_the_page_turns_dark(open_page):
    tab = open_page(dark=False)
    light = pixels(tab)
    tab.color_scheme(dark=True)
    dark = pixels(tab)  # counted in the colours of the dark page
    assert all(each["ink"] > 50 for each in (*light, *dark))
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_the_page_is_never_wider_than_the_window(open_page, width):
    tab = open_page(width=width)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tab.settle()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("Math.max(...Array.from(document.querySelectorAll('canvas'), (c) => c.offsetWidth))") <= width


# Tables of more than six columns, which people move sideways on a telephone.
WIDE = ["Table: GAP, step by step", "Table: The top model"]
OVERFLOWING = """Array.from(document.querySelectorAll('.scroll')).filter((each) => each.scrollWidth > each.clientWidth)
    .map((each) => each.getAttribute('aria-label'))"""


@pytest.mark.parametrize(("width", "wide"), [(360, WIDE), (768, []), (1280, [])])
def test_tables_fit_the_window_but_for_those_of_many_columns(open_page, width, wide):
    tab = open_page(width=width)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tab.settle()
    assert tab.evaluate("document.querySelectorAll('.scroll').length") == CHARTS + 7
    assert tab.evaluate(OVERFLOWING) == wide


def test_a_window_made_narrow_makes_the_charts_narrow(open_page):
    tab = open_page(width=1280)
    tab.resize(420)
    tab.settle()
    tab.settle()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 420


# Contrast by WCAG 2: of each text with what stands behind it.
CONTRASTS = """(() => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (color) => {
    probe.fillStyle = color;
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(probe.getImageData(0, 0, 1, 1).data.slice(0, 3), (value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return color === "rgba(0, 0, 0, 0)" && element.parentElement ? behind(element.parentElement) : color;
  };
  const page = getComputedStyle(document.body).backgroundColor;
  const style = getComputedStyle(document.documentElement);
  const found = {};
  const hasText = (element) => Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
  for (const element of document.querySelectorAll("body *:not(script):not(noscript)")) {
    if (!hasText(element)) continue;
    const name = `text of ${element.tagName} ${element.className}`;
    found[name] = Math.min(found[name] ?? 99, contrast(getComputedStyle(element).color, behind(element)));
  }
  for (const color of ["blue", "vermilion", "green", "purple", "grey"]) {
    found[`chart ${color}`] = contrast(style.getPropertyValue(`--${color}`), page);
  }
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_texts_have_a_contrast_of_at_least_four_and_a_half_and_charts_of_three(open_page, dark):
    found = open_page(dark=dark).evaluate(CONTRASTS)
    assert len(found) > 20
    assert {name: ratio for name, ratio in found.items() if ratio < (3 if name.startswith("chart") else 4.5)} == {}


def test_arrow_keys_read_the_points_of_a_chart_as_its_table_has_them(open_page):
    tab = open_page()
    tab.evaluate("document.querySelector('#chart-inliers .plot').focus()")
    style = "getComputedStyle(document.activeElement)"
    tab.press("ArrowRight")
    assert tab.evaluate(f"{style}.outlineStyle + {style}.outlineWidth") == "solid3px"
    reading = "document.querySelector('#chart-inliers .reading').textContent"
    row = """Array.from(document.querySelectorAll('#chart-inliers tbody tr')).map(
        (row) => Array.from(row.cells, (cell) => cell.textContent))"""
    rows = tab.evaluate(row)
    words = ("right: {1}", "wrong: {2}", "no landmark: {3}")
    said = [" · ".join([each[0], *(word.format(*each) for word in words)]) for each in rows]
    assert tab.evaluate(reading) == said[0]
    tab.press("ArrowRight", "ArrowDown")
    assert tab.evaluate(reading) == said[2]
    tab.press("ArrowLeft")
    assert tab.evaluate(reading) == said[1]
    tab.press("End")
    assert tab.evaluate(reading) == said[-1]
    tab.press("ArrowRight")
    assert tab.evaluate(reading) == said[-1]
    tab.press("Escape")
    assert tab.evaluate(reading) == ""
    assert tab.complaints() == []


def test_every_chart_can_be_read_by_keys_to_its_end(open_page):
    tab = open_page(width=360)
    for name in tab.evaluate("Array.from(document.querySelectorAll('figure.chart'), (each) => each.id)"):
        tab.evaluate(f"document.querySelector('#{name} .plot').focus()")
        tab.press("Home", "End")
        last = tab.evaluate(f"document.querySelector('#{name} tbody tr:last-child th').textContent")
        assert tab.evaluate(f"document.querySelector('#{name} .reading').textContent").startswith(f"{last} · ")
    assert tab.complaints() == []


def test_the_tab_key_reaches_every_chart_its_numbers_and_every_picture(open_page):
    tab = open_page()
    seen = []
    for _ in range(100):
        tab.press("Tab")
        seen.append(tab.evaluate("document.activeElement.className + ' ' + document.activeElement.tagName"))
        if len(seen) > 1 and seen[-1] == " BODY":
            break
    assert seen[0] == "skip A"
    assert seen.count("plot DIV") == seen.count(" SUMMARY") == CHARTS
    pictures = tab.evaluate("document.querySelectorAll('.gallery a').length")
    links = tab.evaluate("document.querySelectorAll('nav a').length")
    assert seen.count(" A") == pictures + links == 8 + links


def test_a_picture_is_enlarged_and_left_by_keys_alone(open_page):
    tab = open_page()
    tab.evaluate("document.querySelectorAll('.gallery a')[2].focus()")
    tab.press("Enter")
    viewer = "document.getElementById('viewer')"
    assert tab.evaluate(f"{viewer}.open")
    assert tab.evaluate(f"{viewer}.contains(document.activeElement)")
    assert tab.evaluate(f"{viewer}.querySelector('img').getAttribute('src')") == "matches/borderline_01.jpg"
    assert LONG in tab.evaluate(f"{viewer}.querySelector('.words').textContent")
    tab.press("ArrowRight")
    assert tab.evaluate(f"{viewer}.querySelector('.count').textContent") == "2 of 2"
    assert tab.evaluate(f"{viewer}.querySelector('img').getAttribute('src')") == "matches/borderline_02.jpg"
    tab.press("ArrowRight")  # from the last to the first
    assert tab.evaluate(f"{viewer}.querySelector('img').getAttribute('src')") == "matches/borderline_01.jpg"
    tab.press("ArrowLeft")
    tab.evaluate(f"{viewer}.querySelector('img').decode()")  # its file is there
    alternative = tab.evaluate(f"{viewer}.querySelector('img').alt")
    assert alternative == "Test image test3 beside reference reference3: 1,234 inliers"
    tab.press("Escape")
    tab.settle()  # the dialog tells of its end later
    assert not tab.evaluate(f"{viewer}.open")
    assert tab.evaluate("document.activeElement.getAttribute('href')") == "matches/borderline_02.jpg"
    assert tab.complaints() == []


def test_the_dialogs_buttons_are_reached_by_tab_and_close_it(open_page):
    tab = open_page(width=360)
    tab.evaluate("document.querySelector('.gallery a').focus()")
    tab.press("Enter")
    tab.evaluate("document.querySelector('#viewer .close').focus()")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.press("Enter")
    tab.settle()
    assert not tab.evaluate("document.getElementById('viewer').open")
    assert tab.evaluate("document.activeElement.getAttribute('href')") == "matches/accepted_01.jpg"


def test_no_request_leaves_the_folder(open_page, folder):
    tab = open_page()
    tab.evaluate("document.querySelectorAll('img').forEach((each) => each.scrollIntoView())")
    tab.evaluate("document.querySelector('.gallery a').click()")
    asked = {each for each in tab.requests() if not each.startswith("data:")}
    assert len(asked) > 1
    assert all(each.startswith(folder.as_uri() + "/") for each in asked)


def test_without_scripts_the_tables_and_pictures_are_there_and_no_empty_chart(open_page):
    tab = open_page(scripts=False)
    tree = tab.ask("DOM.getDocument", depth=-1)["root"]["nodeId"]
    plots = tab.ask("DOM.querySelectorAll", nodeId=tree, selector=".plot:not([hidden]), canvas")["nodeIds"]
    tables = tab.ask("DOM.querySelectorAll", nodeId=tree, selector="figure.chart details table")["nodeIds"]
    assert plots == []
    assert len(tables) == CHARTS
    words = tab.ask("DOM.querySelector", nodeId=tree, selector="noscript p")["nodeId"]
    assert "Without JavaScript the charts are tables" in tab.ask("DOM.getOuterHTML", nodeId=words)["outerHTML"]


def test_what_stands_in_the_data_as_a_script_is_not_run(browser, tmp_path):
    nasty = "</script><script>document.title = 'it ran'</script><img src=x onerror=\"document.title = 'it ran'\">"
    write_report(full(confusions=[Confusion(nasty, nasty, 3)], hosts={nasty: (2, 1)}, downloads={nasty: 2}), tmp_path)
    tab = Tab(browser).open(tmp_path / "index.html")
    tab.settle()
    assert tab.evaluate("document.title") == "A run · report of a run"
    tab.evaluate("document.querySelector('#chart-hosts .plot').focus()")
    tab.press("ArrowDown")
    assert tab.evaluate("document.querySelector('#chart-hosts .reading').textContent").startswith(nasty)
    assert tab.complaints() == []
    # The policy holds though markup were let through.
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 1\">')")
    added = "(() => { const s = document.createElement('script'); s.textContent = 'document.title = 1';"
    tab.evaluate(f"{added} document.body.append(s); }})()")
    tab.settle()
    assert tab.evaluate("document.title") == "A run · report of a run"
    assert any("Content Security Policy" in each for each in tab.complaints())
    tab.close()


def test_it_prints_in_the_colours_of_paper(open_page):
    tab = open_page(dark=True)
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    paper = pixels(tab)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 248)"
    assert all(each["ink"] > 50 for each in paper)
    widths = "Array.from(document.querySelectorAll('canvas'), (canvas) => canvas.offsetWidth)"
    assert max(tab.evaluate(widths)) <= 38 * 16  # of a page of A4
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert len(tab.ask("Page.printToPDF")["data"]) > 10_000
