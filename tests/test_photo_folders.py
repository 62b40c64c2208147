import os
from pathlib import Path

import pytest

from landmark_spark.photo_folders import LeftOut, digest_photos, read_folder


def put(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read(root, **more):
    return read_folder(root, **{"served": root, "with_landmarks": True, **more})


def test_every_entry_is_a_photo_or_is_left_out_with_a_reason(tmp_path):
    put(tmp_path / "Tower" / "a.JPG")
    put(tmp_path / "Tower" / "1999" / "b.png")
    put(tmp_path / "Tower" / "notes.txt")
    put(tmp_path / "Tower" / ".DS_Store")
    put(tmp_path / ".git" / "c.jpg")
    put(tmp_path / "loose.jpg")
    (tmp_path / "Empty").mkdir()
    put(tmp_path / "Words" / "x.doc")
    os.mkfifo(tmp_path / "Tower" / "pipe.jpg")
    found = read(tmp_path)
    assert [(each.path, each.landmark, each.is_nested) for each in found.photos] == [
        ("Tower/1999/b.png", "Tower", True),
        ("Tower/a.JPG", "Tower", False),
    ]
    assert sorted((each.path, each.reason) for each in found.left_out) == [
        (".git", "hidden"),
        ("Empty", "no_photos"),
        ("Tower/.DS_Store", "hidden"),
        ("Tower/notes.txt", "no_picture"),
        ("Tower/pipe.jpg", "no_file"),
        ("Words", "no_photos"),
        ("Words/x.doc", "no_picture"),
        ("loose.jpg", "not_in_a_landmark"),
    ]


def test_without_landmarks_photos_may_lie_anywhere(tmp_path):
    put(tmp_path / "a.jpg")
    put(tmp_path / "deep" / "er" / "b.jpg")
    found = read(tmp_path, with_landmarks=False)
    assert [(each.path, each.landmark) for each in found.photos] == [("a.jpg", ""), ("deep/er/b.jpg", "")]
    assert found.left_out == []


def test_links_to_photos_are_followed_within_what_is_served_and_links_to_folders_are_not(tmp_path):
    root = tmp_path / "photos"
    put(root / "Tower" / "a.jpg")
    outside = put(tmp_path / "outside.jpg")
    (root / "Tower" / "within.jpg").symlink_to("a.jpg")
    (root / "Tower" / "outside.jpg").symlink_to(outside)
    (root / "Tower" / "broken.jpg").symlink_to("none.jpg")
    (root / "Tower" / "circle.jpg").symlink_to("circle.jpg")
    (root / "Tower" / "up").symlink_to(root)  # a walk that followed it would not end
    (root / "Linked").symlink_to(root / "Tower")
    found = read(root)
    assert [(each.path, each.is_linked) for each in found.photos] == [
        ("Tower/a.jpg", False),
        ("Tower/within.jpg", True),
    ]
    assert sorted((each.path, each.reason) for each in found.left_out) == [
        ("Linked", "linked_folder"),
        ("Tower/broken.jpg", "link_outside"),
        ("Tower/circle.jpg", "link_outside"),
        ("Tower/outside.jpg", "link_outside"),
        ("Tower/up", "linked_folder"),
    ]
    assert "Tower/outside.jpg" in [each.path for each in read(root, served=tmp_path).photos]


def test_names_that_are_no_utf8_keep_their_bytes(tmp_path):
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/T\xfcrme/a\xff.jpg")))
    (photo,) = read(tmp_path).photos
    assert os.fsencode(photo.path) == b"T\xfcrme/a\xff.jpg"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_said_so(tmp_path):
    put(tmp_path / "Tower" / "a.jpg").chmod(0)
    put(tmp_path / "Shut" / "b.jpg").parent.chmod(0)
    try:
        found = read(tmp_path)
    finally:
        (tmp_path / "Shut").chmod(0o700)
    assert {(each.path, each.reason) for each in found.left_out} >= {
        ("Tower/a.jpg", "not_readable"),
        ("Shut", "not_readable"),
    }


def test_a_folder_that_is_gone_raises(tmp_path):
    with pytest.raises(OSError, match="none"):
        read(tmp_path / "none")


def test_only_photos_of_equal_length_are_read_for_their_digests(tmp_path):
    put(tmp_path / "a.jpg", b"abc")
    put(tmp_path / "b.jpg", b"xyz")
    put(tmp_path / "long.jpg", b"longer")
    gone = put(tmp_path / "gone.jpg", b"123")
    found = read(tmp_path, with_landmarks=False)
    gone.unlink()
    digest_photos([found])
    # NIST's example: SHA-256 of "abc".
    assert found.photos[0].digest.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert [(each.path, bool(each.digest)) for each in found.photos] == [
        ("a.jpg", True),
        ("b.jpg", True),
        ("long.jpg", False),
    ]
    assert found.left_out == [LeftOut("gone.jpg", "not_readable")]
