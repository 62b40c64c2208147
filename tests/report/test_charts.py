import re
import sys
from functools import cache
from pathlib import Path
from subprocess import run
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

import landmark_spark
from landmark_spark.report.charts import (
    class_size_chart,
    download_chart,
    inlier_chart,
    ladder_chart,
    precision_chart,
    score_chart,
    training_chart,
)
from landmark_spark.report.data import InlierSample, ScoreSample

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def texts(svg):
    """Every piece of text that the chart shows, as an XML parser reads it."""
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def label(svg):
    return ElementTree.fromstring(svg).attrib["aria-label"]


def draw_all():
    some = np.arange(1, 51)
    return {
        "ladder": ladder_chart([("classifier", 0.4213), ("fused", 0.5894)]),
        "precision": precision_chart({"classifier": 1 / some, "fused": np.ones(50)}),
        "scores": score_chart(ScoreSample(right=some / 50, wrong=some / 100, no_landmark=some / 200)),
        "inliers": inlier_chart(InlierSample(35, right=some * 4, wrong=some)),
        "training": training_chart({"loss": [2.0, 1.0], "accuracy": [0.3, 0.6], "val_loss": [2.1, 1.4]}),
        "downloads": download_chart({"ok": 90, "http_404": 10}),
        "class_sizes": class_size_chart(some),
    }


@cache
def all_charts():
    return draw_all()


NAMES = ("ladder", "precision", "scores", "inliers", "training", "downloads", "class_sizes")


@pytest.mark.parametrize("name", NAMES)
def test_each_chart_is_an_image_with_a_label_that_takes_the_colour_of_the_page(name):
    svg = all_charts()[name]
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert re.search(r"\d", root.attrib["aria-label"])
    assert "currentColor" in svg
    assert not re.search(r"#000000|#010203|#ffffff|rgb\(", svg)
    for needless in ("<style", "<metadata", "<script", "DejaVu", "<?xml", "<!DOCTYPE"):
        assert needless not in svg


def test_every_text_of_a_chart_has_a_fill_that_is_the_pages_ink():
    for svg in all_charts().values():
        styles = [element.attrib["style"] for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]
        assert styles
        assert all("fill: currentColor" in style for style in styles)


def test_ids_of_the_charts_of_one_page_differ_and_every_reference_has_its_id():
    charts = list(all_charts().values())
    ids = [name for svg in charts for name in re.findall(r' id="([^"]*)"', svg)]
    references = {name for svg in charts for name in re.findall(r'(?:url\(|href=")#([^")]*)', svg)}
    assert len(ids) == len(set(ids)) > 0
    assert references <= set(ids)


def test_the_same_values_give_the_same_bytes_whatever_the_users_matplotlib_is_set_to():
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        assert draw_all() == all_charts()


def test_the_same_values_give_the_same_bytes_in_another_process():
    code = (
        "import sys; from landmark_spark.report.charts import download_chart;"
        "sys.stdout.write(download_chart({'ok': 90, 'http_404': 10}))"
    )
    root = Path(landmark_spark.__file__).parents[1]
    other = run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert other == all_charts()["downloads"]


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    draw_all()
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_ladder_prints_each_gap_with_four_decimals():
    svg = ladder_chart([("classifier", 0.42126), ("fused", 0.5)])
    assert {"classifier", "fused", "0.4213", "0.5000"} <= set(texts(svg))
    assert label(svg) == "GAP by step: classifier 0.4213, fused 0.5000"


def test_ladder_of_nothing_but_zeros_is_drawn():
    assert "0.0000" in texts(ladder_chart([("classifier", 0.0)]))


def test_bars_are_as_long_as_their_values():
    svg = download_chart({"ok": 300, "timeout": 100})
    bars = re.findall(r'd="M (\S+) \S+\s+L (\S+) [^"]*"[^>]*style="fill: #(1a7fbf|d55e00)"', svg)
    lengths = {color: float(right) - float(left) for left, right, color in bars}
    assert lengths["1a7fbf"] == pytest.approx(3 * lengths["d55e00"], rel=1e-4)


def test_precision_label_gives_the_last_value_and_a_long_curve_stays_small():
    svg = precision_chart({"fused": np.linspace(1, 0.25, 100_000), "empty": np.zeros(0)})
    assert label(svg) == "Precision over all ranks: fused 0.250"
    assert len(svg) < 60_000
    assert "100,000" in texts(svg)


def test_score_label_gives_median_and_number_of_each_group():
    svg = score_chart(ScoreSample(right=np.array([0.5, 0.9, 0.7]), wrong=np.array([0.25])))
    assert label(svg) == "Median confidence (images): right 0.70 (3), wrong 0.25 (1)"
    assert {"right: 3", "wrong: 1"} <= set(texts(svg))


def test_inlier_label_counts_what_is_strictly_above_the_threshold():
    svg = inlier_chart(InlierSample(35, right=np.array([35, 36, 500]), no_landmark=np.array([0])))
    assert label(svg) == "Images with more than 35 inliers: right 2 of 3, no landmark 0 of 1"
    assert "threshold: more than 35" in texts(svg)
    assert "inliers (the last bar: 152 and more)" in texts(svg)  # bars of 4 up to 35 + 30 * 4 = 155


@pytest.mark.parametrize("threshold", [0, 3, 30, 35, 44])
def test_an_image_at_the_threshold_and_one_above_it_are_on_two_sides_of_the_line(threshold):
    svg = inlier_chart(InlierSample(threshold, all=np.array([threshold, threshold + 1])))
    (line,) = re.findall(r'd="M (\S+) \S+\s+L \1 [^"]*"[^>]*stroke-dasharray', svg)
    (bars,) = re.findall(r'd="([^"]*)"[^>]*style="fill: #1a7fbf', svg)
    points = [tuple(map(float, point.split())) for point in re.findall(r"[ML] (\S+ \S+)", bars)]
    floor = max(y for _, y in points)
    raised = [x for x, y in points if y < floor]
    middles = (min(raised) + float(line)) / 2, (max(raised) + float(line)) / 2
    assert middles[0] < float(line) < middles[1]
    assert any(abs(x - float(line)) < 1e-3 for x, _ in points)


def test_training_draws_what_there_is_and_says_where_it_ended():
    svg = training_chart({"loss": [2.0, 1.5], "accuracy": [0.3, 0.625], "learning_rate": [1.0, 1.0]})
    assert label(svg) == "Training, after 2 epochs: loss 1.500, accuracy 0.625"
    assert "held out" not in texts(svg)
    assert "held out" in texts(training_chart({"loss": [2.0], "val_loss": [float("nan")]}))


def test_a_measure_of_held_out_images_alone_is_drawn_too():
    svg = training_chart({"loss": [2.0], "val_accuracy": [0.5], "val_gap": [0.25]}, name="fine-tuning")
    assert label(svg) == "Fine-tuning, after 1 epochs: loss 2.000, val_accuracy 0.500, val_gap 0.250"
    assert {"loss", "accuracy", "GAP", "training", "held out"} <= set(texts(svg))


def test_downloads_put_rare_statuses_into_one_bar():
    svg = download_chart({"ok": 1000} | {f"http_{400 + place}": 20 - place for place in range(14)})
    shown = texts(svg)
    assert "http_409" in shown
    assert "http_410" not in shown
    assert "4 other statuses" in shown
    assert str(10 + 9 + 8 + 7) in shown


def test_class_sizes_are_counted_in_bins_that_double():
    svg = class_size_chart(np.array([1, 2, 3, 4, 7, 8, 1023, 1024]))
    shown = [text.replace("\N{EN DASH}", " to ") for text in texts(svg)]
    first = shown.index("2 to 3") - 1
    bins = ["1", *(f"{2**power:,} to {2 ** (power + 1) - 1:,}" for power in range(1, 11))]
    assert shown[first : first + 12] == [*bins, "training images (log scale)"]
    assert shown[-11:] == ["1", "2", "2", "1", "0", "0", "0", "0", "0", "1", "1"]
    assert label(svg) == "8 landmarks; half have 5.5 training images or fewer"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ladder_chart([(NASTY, 0.5), ("$x^{$", 0.2), ("a\nb\x00--", 0.1)]),
        lambda: precision_chart({NASTY: np.ones(3)}),
        lambda: download_chart({NASTY: 3, "ok": 1}),
    ],
)
def test_text_in_a_chart_is_text_and_no_markup(draw):
    svg = draw()
    root = ElementTree.fromstring(svg)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "defs", "g", "path", "use", "text", "clipPath", "rect"}
    assert not any(name.lower().startswith("on") for element in root.iter() for name in element.attrib)
    assert any(text.startswith(NASTY[:29]) for text in texts(svg))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ladder_chart([]),
        lambda: precision_chart({"fused": np.zeros(0)}),
        lambda: score_chart(ScoreSample()),
        lambda: inlier_chart(InlierSample(35)),
        lambda: training_chart({"learning_rate": [0.1]}),
        lambda: download_chart({}),
        lambda: class_size_chart(np.zeros(0, int)),
    ],
)
def test_a_chart_of_nothing_is_refused(draw):
    with pytest.raises(ValueError, match="should not be empty"):
        draw()


def test_a_landmark_without_training_images_is_refused():
    with pytest.raises(ValueError, match="class_sizes should be at least 1. Received: 0"):
        class_size_chart(np.array([3, 0]))
