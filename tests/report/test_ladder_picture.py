import re
import sys
from functools import cache
from pathlib import Path
from subprocess import run
from xml.etree import ElementTree

import matplotlib
import pytest

import landmark_spark
from landmark_spark.report.ladder_picture import draw_ladder

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def texts(svg):
    """Every piece of text that the picture shows, as an XML parser reads it."""
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def label(svg):
    return ElementTree.fromstring(svg).attrib["aria-label"]


@cache
def picture():
    return draw_ladder([("classifier", 0.42126), ("fused", 0.5)])


def test_it_is_an_image_with_a_label_that_takes_the_colour_of_the_page():
    root = ElementTree.fromstring(picture())
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert label(picture()) == "GAP by step: classifier 0.4213, fused 0.5000"
    assert "currentColor" in picture()
    assert not re.search(r"#000000|#010203|#ffffff|rgb\(", picture())
    for needless in ("<style", "<metadata", "<script", "DejaVu", "<?xml", "<!DOCTYPE"):
        assert needless not in picture()


def test_every_text_has_a_fill_that_is_the_pages_ink():
    styles = [element.attrib["style"] for element in ElementTree.fromstring(picture()).iter(f"{SVG}text")]
    assert styles
    assert all("fill: currentColor" in style for style in styles)


def test_its_ids_begin_with_its_name_and_every_reference_has_its_id():
    ids = re.findall(r' id="([^"]*)"', picture())
    references = set(re.findall(r'(?:url\(|href=")#([^")]*)', picture()))
    assert len(ids) == len(set(ids)) > 0
    assert all(each.startswith("ladder-") for each in ids)
    assert references <= set(ids)


def test_the_same_values_give_the_same_bytes_whatever_the_users_matplotlib_is_set_to():
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        assert draw_ladder([("classifier", 0.42126), ("fused", 0.5)]) == picture()


def test_the_same_values_give_the_same_bytes_in_another_process():
    code = (
        "import sys; from landmark_spark.report.ladder_picture import draw_ladder;"
        "sys.stdout.write(draw_ladder([('classifier', 0.42126), ('fused', 0.5)]))"
    )
    root = Path(landmark_spark.__file__).parents[1]
    other = run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert other == picture()


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    draw_ladder([("classifier", 0.25)])
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_each_gap_is_printed_with_four_decimals():
    assert {"classifier", "fused", "0.4213", "0.5000"} <= set(texts(picture()))


def test_a_ladder_of_nothing_but_zeros_is_drawn():
    assert "0.0000" in texts(draw_ladder([("classifier", 0.0)]))


def test_bars_are_as_long_as_their_values():
    svg = draw_ladder([("classifier", 0.25), ("fused", 0.75)])
    bars = re.findall(r'd="M (\S+) \S+\s+L (\S+) [^"]*"[^>]*style="fill: #1a7fbf', svg)
    lengths = [float(right) - float(left) for left, right in bars]
    assert lengths[1] == pytest.approx(3 * lengths[0], rel=1e-4)


def test_text_in_a_picture_is_text_and_no_markup():
    svg = draw_ladder([(NASTY, 0.5), ("$x^{$", 0.2), ("a\nb\x00--", 0.1)])
    root = ElementTree.fromstring(svg)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "defs", "g", "path", "use", "text", "clipPath", "rect"}
    assert not any(name.lower().startswith("on") for element in root.iter() for name in element.attrib)
    assert any(text.startswith(NASTY[:29]) for text in texts(svg))


def test_a_picture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="should not be empty"):
        draw_ladder([])
