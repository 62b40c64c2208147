import json
from html.parser import HTMLParser

import numpy as np
import pytest
from report_samples import example, full, picture

from landmark_spark.core.bootstrap import Interval
from landmark_spark.core.ladder import Rung
from landmark_spark.report.assets import load_assets
from landmark_spark.report.data import KINDS, VERDICTS, Confusion, InlierSample, ReportData, ScoreSample
from landmark_spark.report.page import write_report

VOID = {"meta", "link", "img", "br"}
NASTY = ["<script>alert(1)</script>\"'", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{ 7 * 7 }}"]


class Page(HTMLParser):
    """Collects tags, text and sections of a page, and fails where tags are not closed in their order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.scripts, self._open = [], [], [], []
        self.sections, self._section = {}, None
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        assert len(attributes) == len(dict(attributes)), f"{tag} has an attribute twice"
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = dict(attributes)["id"]

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "section":
            self._section = None

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
            return
        words = " ".join(data.split())
        if words and (not self._open or self._open[-1] not in ("style", "title")):
            self.texts.append(words)
            self.sections.setdefault(self._section, []).append(words)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(folder, data):
    write_report(data, folder)
    return Page((folder / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The full report, for the tests that only read it."""
    folder = tmp_path_factory.mktemp("report")
    write_report(full(), folder)
    return folder


@pytest.fixture(scope="module")
def full_page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def pictures(page):
    """The pictures of the galleries: the one of the dialog has no address before a script gives it one."""
    return [each for each in page.all("img") if "src" in each]


def charts(page):
    return [each["id"].removeprefix("chart-") for each in page.all("figure") if each.get("class") == "chart"]


def rows(page):
    return " | ".join(page.texts)


def test_the_page_is_whole_and_every_file_it_names_is_there_and_no_other(folder, full_page):
    page = full_page
    images = [each["src"] for each in pictures(page)]
    assert sorted(images) == [
        "matches/accepted_01.jpg",
        "matches/accepted_02.jpg",
        "matches/borderline_01.jpg",
        "matches/confident_wrong_01.jpg",
        "matches/rejected_01.jpg",
    ]
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["index.html", *sorted(images)]
    assert all((each["width"], each["height"]) == ("60", "40") and each["alt"] for each in pictures(page))
    assert (folder / images[0]).read_bytes() == picture()


def test_ids_are_unique_and_links_lead_somewhere_on_the_page_or_to_a_picture(folder, full_page):
    page = full_page
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [each["href"] for each in page.all("a")]
    assert {"#content", "#result", "#time"} <= set(links)
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert all((folder / link).is_file() for link in links if not link.startswith("#"))


def test_the_numbers_printed_are_those_given(full_page):
    page = full_page
    text = rows(page)
    assert "classifier | 0.4213 | 0.6512 | 1,900 | 1,640" in text
    assert "fused | 0.5894 | 0.6512 | 1,901 | 1,641" in text
    assert "GAP of the submission | 0.5894" in text
    assert "right | 3 | 2 | 66.7 %" in text  # 35 is not more than 35
    assert "wrong | 1 | 0 | 0.0 %" in text
    assert "loss | 1.2346 | 2.2500" in text
    assert "accuracy | 0.7500 | 0.6000" in text
    assert "images downloaded, of 11,546 | 11,234" in text
    assert "ok | 11,234 | http_404 | 312" in text
    assert "duplicate_id | 17" in text
    assert "3 landmarks with 3,006 training images: from 1 to 3,000 each." in text
    assert "index_images | 4.0 | 11,546 | 2,886.5 | download_images | 3,661.5 | 11,546 | 3.2" in text
    assert "classifier | 0.4213 | 0.4000 | 0.4500 | 0.6512 | fused | 0.5894 | 0.5000 | 0.6250 | 0.5625 | 0.6512" in text
    assert "gain of GAP | 95 % from | to | fused | 0.1682 | 0.1250 | 0.2500" in text
    assert "Old Mill → New Mill | 3" in text
    assert "Tower | 8" in text
    assert "a.example.org | 11,234 | 312 | 2.7 %" in text
    assert "time of all stages | 1 h 1 min" in text
    assert "1,234 inliers · confidence 0.876" in text or "1,234 inliers · confidence 0.877" in text


CHARTS = [
    *("ladder", "gains", "precision", "scores", "confusions", "imagined"),
    *("inliers", "training", "downloads", "hosts", "class-sizes", "times"),
]


def test_every_section_has_a_heading_and_every_chart_a_title_its_words_and_its_numbers(full_page):
    page = full_page
    names = ["result", "ranking", "mistakes", "verification", "matches", "training", "input", "time"]
    assert [each["id"] for each in page.all("section")] == names
    assert len(page.all("h1")) == 1
    assert len(page.all("h2")) == 8
    assert charts(page) == CHARTS
    assert page.all("svg") == []
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    figures = [each for each in page.all("figure") if each.get("class") == "chart"]
    plots = [each for each in page.all("div") if each.get("class") == "plot"]
    assert len(plots) == len(page.all("details")) == len(figures)
    assert {each["aria-labelledby"] for each in figures} | {each["aria-describedby"] for each in plots} <= ids
    assert all(each["tabindex"] == "0" and each["aria-label"] and "hidden" in each for each in plots)
    drawn = [json.loads(each) for each in page.scripts[: len(figures)]]
    assert [len(each["points"]) for each in drawn][:2] == [2, 1]
    assert page.all("html") == [{"lang": "en"}]
    assert all(each.get("tabindex") == "0" for each in page.all("div") if each.get("class") == "scroll")


def test_the_page_runs_its_own_scripts_alone_and_loads_nothing_from_elsewhere(full_page):
    page = full_page
    (policy,) = [each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == load_assets().policy
    assert policy.startswith("default-src 'none'; img-src 'self' data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert page.tags.index(("meta", {"http-equiv": "Content-Security-Policy", "content": policy})) < [
        name for name, _ in page.tags
    ].index("style")
    assert [each for each in page.scripts if each not in load_assets().scripts] == page.scripts[: len(CHARTS)]
    assert page.all("script") == [{"type": "application/json"}] * len(CHARTS) + [{}] * len(load_assets().scripts)
    assert not [attributes for _, attributes in page.tags if "style" in attributes]
    loaded = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert not [value for value in loaded if ":" in value and value != "data:,"]


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_in_the_data_becomes_markup(tmp_path, full_page, nasty):
    examples = [
        example(test_id=nasty, landmark_name=nasty, reference_id=nasty, kind=kind, verdict=verdict)
        for kind, verdict in zip(KINDS, VERDICTS, strict=True)
    ]
    data = full(
        title=nasty,
        created=nasty,
        submission_mode=nasty,
        metrics={nasty: full().metrics["fused"]},
        ladder=[Rung(nasty, Interval(0.5, 0.4, 0.6), None, 0.5, None), *full().ladder],
        confusions=[Confusion(nasty, nasty, 2)],
        imagined=[(nasty, 2)],
        hosts={nasty: (2, 1)},
        precision_curves={nasty: np.ones(3)},
        history={**full().history, nasty: [1.0]},
        downloads={nasty: 3},
        rejects={nasty: 4},
        stage_times=[(nasty, 1, 1.0)],
        photos={nasty: nasty},
        examples=examples,
    )
    page = written(tmp_path, data)
    assert {name for name, _ in page.tags} == {name for name, _ in full_page.tags}
    own = len(load_assets().scripts)
    assert page.all("script") == full_page.all("script")
    assert page.scripts[-own:] == full_page.scripts[-own:] == list(load_assets().scripts)
    assert [json.loads(each)["kind"] for each in page.scripts[:-own]]
    assert len(pictures(page)) == 4
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert page.texts.count(" ".join(nasty.split())) >= 10  # it is shown as it is written
    assert not [each for name in ("a", "img") for each in page.all(name) if "javascript" in str(each.get("href", ""))]
    assert "49" not in page.texts


def test_photos_are_called_by_their_files_where_that_says_more(tmp_path):
    several = [("test0", [("Mill", 40), ("Tower", 36)]), ("test1", [("Mill", 50), ("Tower", 37)])]
    data = full(examples=[example(0, num_inliers=1)], several=several, photos={"test0": "Old <Mill>.jpg"})
    page = written(tmp_path, data)
    text = rows(page)
    assert "test | Old <Mill>.jpg | ( | test0 | ) | reference | reference0 | · landmark 1000" in text
    assert "1 inlier · confidence" in text
    assert "Old <Mill>.jpg | ( | test0 | ) | Mill | (40), | Tower | (36) | test1 | Mill | (50)," in text
    assert [each["alt"] for each in pictures(page)] == [
        "Test image Old <Mill>.jpg beside reference reference0: 1 inlier"
    ]


def test_ids_never_become_file_names(tmp_path):
    folder = tmp_path / "report"
    written(folder, full(examples=[example(test_id="../../up", reference_id="a/b\\c", landmark_name="..")]))
    assert [path.name for path in (folder / "matches").iterdir()] == ["accepted_01.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_run_without_a_solution_says_so_and_shows_the_rest(tmp_path):
    data = full(
        metrics={},
        ladder=[],
        precision_curves={},
        confusions=[],
        imagined=[],
        scores=ScoreSample(all=np.array([0.5])),
        inliers=InlierSample(35, all=np.array([40, 3])),
        examples=[example(verdict="unknown")],
    )
    page = written(tmp_path, data)
    assert "No solution was given, so nothing here is scored." in " ".join(page.sections["result"])
    assert "There is no curve of precision by rank: it needs a solution." in page.sections["ranking"]
    assert "GAP of the submission" not in page.texts
    assert "all | 2 | 1 | 50.0 %" in rows(page)
    assert "not judged" in page.texts
    assert charts(page) == ["scores", "inliers", "training", "downloads", "hosts", "class-sizes", "times"]
    assert "No mistakes are known: that needs a solution." in page.sections["mistakes"]


def test_a_report_of_nothing_has_a_sentence_in_each_section(tmp_path):
    page = written(tmp_path, ReportData(title="A run", created="today", submission_mode="fused"))
    sentences = {
        "ranking": "There is no histogram of scores: nothing was predicted.",
        "mistakes": "No mistakes are known: that needs a solution.",
        "verification": "No prediction was verified.",
        "matches": "There are no match pictures: no example was chosen.",
        "training": "There is no training history.",
        "input": "No row of the csv files was refused.",
        "time": "No times were taken.",
    }
    for section, sentence in sentences.items():
        assert sentence in page.sections[section]
    assert charts(page) == page.all("img") == page.all("table") == page.all("dialog") == []


def test_a_training_without_held_out_images_is_shown(tmp_path):
    page = written(tmp_path, full(history={"loss": [1.0], "accuracy": [0.25]}))
    assert "loss | 1.0000 | none | accuracy | 0.2500 | none" in rows(page)


def test_the_history_of_fine_tuning_is_shown_where_there_is_one(tmp_path):
    assert "fine-tuned" not in written(tmp_path, full()).sections["training"]
    page = written(tmp_path, full(fine_tuning={"loss": [1.0], "val_gap": [0.125]}, delf_training={"loss": [0.75]}))
    assert "The fine-tuned model" in page.sections["training"]
    assert "loss | 1.0000 | none | GAP | none | 0.1250" in rows(page)
    assert "The attention of DELF" in page.sections["training"]
    assert "loss | 0.7500 | none" in rows(page)


def test_galleries_stand_in_order_and_an_unnamed_landmark_has_its_number(tmp_path):
    page = written(tmp_path, full(examples=[example(kind=kind, landmark_name="") for kind in reversed(KINDS)]))
    headings = ["Accepted", "Borderline", "Rejected", "Confident and wrong"]
    assert [text for text in page.sections["matches"] if text in headings] == headings
    assert page.texts.count("landmark 1000") == 4


def test_a_gallery_without_an_example_is_said_to_be_empty(tmp_path):
    page = written(tmp_path, full(examples=[example(kind="accepted"), example(kind="rejected")]))
    assert "There is no example for: Borderline, Confident and wrong." in page.sections["matches"]
    page = written(tmp_path, full(examples=[example(kind=kind) for kind in KINDS]))
    assert not [text for text in page.texts if text.startswith("There is no example for")]


def test_a_second_report_replaces_the_first_and_leaves_other_files_alone(tmp_path):
    written(tmp_path, full())
    (tmp_path / "matches" / "mine.jpg").write_bytes(b"mine")
    page = written(tmp_path, full(examples=[example()]))
    assert sorted(path.name for path in (tmp_path / "matches").iterdir()) == ["accepted_01.jpg", "mine.jpg"]
    assert len(pictures(page)) == 1


def test_the_same_data_gives_the_same_bytes(tmp_path, folder):
    write_report(full(), tmp_path)
    assert (tmp_path / "index.html").read_bytes() == (folder / "index.html").read_bytes()


def test_a_name_in_any_script_is_kept(tmp_path):
    page = written(tmp_path, full(examples=[example(landmark_name="Vịnh Hạ Long 下龙湾 \ud800")]))
    assert "Vịnh Hạ Long 下龙湾 ?" in page.texts


def test_a_page_of_a_challenge_is_as_short_as_that_of_few_images(tmp_path, folder):
    number = 200_000
    generator = np.random.default_rng(0)
    data = full(
        precision_curves={f"mode {place}": np.linspace(1, 0.1, number) for place in range(4)},
        scores=ScoreSample(right=generator.random(number), wrong=generator.random(number)),
        inliers=InlierSample(35, right=generator.integers(0, 500, number), wrong=generator.integers(0, 90, number)),
        downloads={"ok": number} | {f"http_{code}": code for code in range(300, 600)},
        hosts={f"host{place}.example.org": (place, 1) for place in range(5000)},
        history={"loss": list(generator.random(5000)), "val_loss": list(generator.random(5000))},
        class_sizes=generator.integers(1, 5000, 15_000),
    )
    write_report(data, tmp_path)
    size = (tmp_path / "index.html").stat().st_size
    assert (folder / "index.html").stat().st_size < size < 400_000
