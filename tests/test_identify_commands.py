"""The command prints one answer a photo; a photo that gives no picture stops no other."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from landmark_spark import identify as module
from landmark_spark.answers import UNKNOWN, Answer, Candidate, verdict_of
from landmark_spark.cli import main
from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.photo_intake import PhotoError

EVIDENCE = {"neighbours": 0.75, "closest": 0.5, "centroid": 0.25, "head": 0.125, "non_landmark": 0.0625}
BEST = Candidate(12, "Old Tower", 0.987654, EVIDENCE, 57, 2, 20, "r1", True)
NEXT = Candidate(3, "", 0.0123, EVIDENCE, 4, 20, 20, None, False)
NOTHING = np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float16)


def answer(verdict="verified", candidates=(BEST, NEXT)):
    return Answer(verdict, candidates, 640, 480, {"total": 0.5}, b"", LocalFeatures(*NOTHING, 640, 480))


class Played:
    """Answers by the photo's name."""

    def __call__(self, photo):
        if "bad" in photo:
            raise PhotoError("not_an_image", "not_an_image: no picture")
        return answer(UNKNOWN) if "nothing" in photo else answer()

    def draw(self, _):
        return np.zeros((8, 16, 3), np.uint8)


@pytest.fixture(autouse=True)
def played(monkeypatch):
    monkeypatch.setattr(module, "load_identifier", lambda _: Played())


def test_a_photo_is_answered_in_a_line_and_a_table(capsys):
    assert main(["identify", "a.jpg"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg: verified: Old Tower (landmark 12) (0.50 s)",
        "  landmark      score   inliers  verified  best reference  compared  neighbours  closest  centroid  head   "
        " non_landmark",
        "  12 Old Tower  0.9877  57       yes       r1              2 of 20   0.7500      0.5000   0.2500    0.1250 "
        " 0.0625",
        "  3             0.0123  4        no        -               20 of 20  0.7500      0.5000   0.2500    0.1250 "
        " 0.0625",
    ]
    assert main(["identify", "nothing.jpg", "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "nothing.jpg: no landmark that I know (0.50 s)"
    assert len(lines) == 3


def test_a_photo_that_gives_no_picture_stops_no_other(capsys):
    assert main(["identify", "bad.jpg", "https://me:secret@h/bad.jpg", "a.jpg"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("a.jpg: verified")
    assert printed.err.splitlines() == [
        "error: bad.jpg: not_an_image: no picture",
        "error: https://h/bad.jpg: not_an_image: no picture",
    ]


def test_for_machines_every_photo_is_one_object(capsys):
    assert main(["identify", "a.jpg", "bad.jpg", "--top", "1", "--json"]) == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["photo"], good["status"], good["verdict"], good["is_known"]) == ("a.jpg", "ok", "verified", True)
    (candidate,) = good["candidates"]
    assert candidate == {
        "landmark_id": 12,
        "name": "Old Tower",
        "score": 0.987654,
        "evidence": EVIDENCE,
        "num_inliers": 57,
        "num_comparisons": 2,
        "num_references": 20,
        "best_reference_id": "r1",
        "is_verified": True,
    }
    assert good["seconds"] == {"total": 0.5}
    assert bad == {"photo": "bad.jpg", "status": "not_an_image", "error": "not_an_image: no picture"}


def test_matches_are_drawn_into_a_file_or_a_folder(tmp_path, capsys):
    assert main(["identify", "a.jpg", "--match-picture", str(tmp_path / "one.jpg")]) == 0
    assert Image.open(io.BytesIO((tmp_path / "one.jpg").read_bytes())).format == "JPEG"
    assert f"  matches: {tmp_path / 'one.jpg'}" in capsys.readouterr().out
    photos = ["a.jpg", "b/c.png", "x/a.gif", "https://h/d.jpg?size=2", "bad.jpg"]
    assert main(["identify", *photos, "--match-picture", str(tmp_path / "many"), "--json"]) == 1
    names = ["a-1_matches.png", "a-3_matches.png", "c_matches.png", "d_matches.png"]
    assert sorted(each.name for each in (tmp_path / "many").iterdir()) == names
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["match_picture"] == str(tmp_path / "many" / "a-1_matches.png")


def test_no_match_picture_replaces_another(tmp_path):
    photos = ["b/a.jpg", "c/a.jpg", "c/a-1.jpg"]
    assert main(["identify", *photos, "--match-picture", str(tmp_path / "many")]) == 0
    names = ["a-1-1_matches.png", "a-1_matches.png", "a-2_matches.png"]
    assert sorted(each.name for each in (tmp_path / "many").iterdir()) == names


def test_match_pictures_of_urls_are_called_as_their_files_are(tmp_path, capsys):
    urls = ["https://h/Old%20Mill%20%23%C3%9F.jpg", "https://h/..%2F..%2Fx.jpg", "https://h/"]
    photos = [*urls, "https://h/" + "y" * 300 + ".jpg", "100%25.jpg"]
    assert main(["identify", *photos, "--match-picture", str(tmp_path / "many")]) == 0
    assert sorted(each.name for each in (tmp_path / "many").iterdir()) == [
        "100%25_matches.png",  # of a file, which is called so
        "Old Mill #ß_matches.png",
        "_.._x_matches.png",
        "photo_matches.png",
        "y" * 150 + "_matches.png",
    ]


def test_a_long_name_does_not_widen_the_table(monkeypatch, capsys):
    long = Candidate(12, "Saint-Pierre-le-Jeune Protestant Church", 0.5, {}, 1, 1, 1, "r1", False)
    monkeypatch.setattr(Played, "__call__", lambda self, photo: answer(candidates=(long,)))
    assert main(["identify", "a.jpg"]) == 0
    first, _, row = capsys.readouterr().out.splitlines()
    assert first == "a.jpg: verified: Saint-Pierre-le-Jeune Protestant Church (landmark 12) (0.50 s)"
    # 24 characters: 11 of the beginning, the dots, 12 of the end.
    assert row.startswith("  12 Saint-Pierr…stant Church  0.5000  1 ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.jpg", "--top", "0"], "--top should be at least 1. Received: 0"),
        (["a.jpg", "b.jpg", "--match-picture", "m.png"], "--match-picture should be a folder for several photos"),
        (["a.jpg", "--match-picture", "none/m.png"], "--match-picture should lie in a folder that is there"),
        (["a.jpg", "--match-picture", "m.gif"], "--match-picture should end with .png, .jpg or .jpeg, or be a folder"),
    ],
)
def test_mistakes_of_the_caller_are_one_line(capsys, words, message):
    assert main(["identify", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1


def test_the_verdict():
    def candidate(score, is_verified):
        return Candidate(1, "", score, {}, 50 if is_verified else 3, 1, 1, None, is_verified)

    def verdict(score, is_verified, is_probability=True):
        return verdict_of([candidate(score, is_verified)], is_probability=is_probability)

    assert verdict(0.1, True) == "verified"
    assert verdict(0.5, False) == "likely, not verified"
    assert verdict(0.49, False) == "no landmark that I know"
    assert verdict(0.99, False, is_probability=False) == "no landmark that I know"
    assert verdict(None, False) == "no landmark that I know"
    assert verdict_of([], is_probability=True) == "no landmark that I know"
