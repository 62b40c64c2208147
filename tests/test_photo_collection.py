import os

import pytest

from landmark_spark.photo_collection import (
    CollectionError,
    check_ids,
    choose_held_out,
    image_id,
    landmark_ids,
    photo_url,
    sort_out_copies,
)
from landmark_spark.photo_folders import LeftOut, Photo


def test_ids_are_hashes_of_role_and_path():
    # printf 'landmark/Tower/a.jpg' | sha256sum
    assert image_id("landmark", "Tower/a.jpg") == "6ed0293e792cb442"
    assert image_id("test", "a.jpg") == "a23a67bbba5fd958"


def test_landmarks_are_numbered_by_their_own_numbers_or_by_hash():
    # printf Tower | sha256sum begins with aeb11001d7, printf 007 | sha256sum with 629f4cf933.
    assert landmark_ids(["Tower", "17", "007"]) == {"17": 17, "007": 0x629F4CF933, "Tower": 0xAEB11001D7}
    assert list(landmark_ids(["9", "10"]).values()) == [9, 10]


def test_two_landmarks_of_one_id_are_refused():
    with pytest.raises(CollectionError, match="ids of their own: rename '750294925783' or 'Tower'"):
        landmark_ids(["Tower", str(0xAEB11001D7)])
    with pytest.raises(CollectionError, match="Received: a twice"):
        check_ids(["a", "b", "a"])


def test_urls_hold_what_urls_cannot_in_percent():
    assert photo_url("Schloß #1?/a b%.jpg") == "Schlo%C3%9F%20%231%3F/a%20b%25.jpg"
    assert photo_url(os.fsdecode(b"a\xff:b.jpg")) == "a%FF%3Ab.jpg"


def test_copies_are_left_out_within_a_landmark_and_kept_under_two():
    photos = [
        Photo("A/1.jpg", "A", digest=b"1"),
        Photo("A/2.jpg", "A", digest=b"1"),
        Photo("B/1.jpg", "B", digest=b"1"),
        Photo("B/2.jpg", "B", digest=b"2"),
        Photo("B/3.jpg", "B"),
        Photo("B/4.jpg", "B"),
    ]
    others = [Photo("o1.jpg", digest=b"2"), Photo("o2.jpg", digest=b"3"), Photo("o3.jpg", digest=b"3"), Photo("o4.jpg")]
    tests = [Photo("t1.jpg", digest=b"2"), Photo("t2.jpg", digest=b"3"), Photo("t3.jpg")]
    found = sort_out_copies(photos, others, tests)
    assert [each.path for each in found.landmark_photos] == ["A/1.jpg", "B/1.jpg", "B/2.jpg", "B/3.jpg", "B/4.jpg"]
    assert found.left_out == [LeftOut("A/2.jpg", "same_photo")]
    assert [each.path for each in found.non_landmark_photos] == ["o2.jpg", "o4.jpg"]
    assert found.non_landmark_left_out == [LeftOut("o1.jpg", "also_a_landmark"), LeftOut("o3.jpg", "same_photo")]
    assert found.shared == {b"1"}
    assert found.num_known_tests == 1


def test_a_share_of_each_landmark_is_held_out_but_never_all():
    ids = [f"a{k}" for k in range(10)] + ["b0", "b1", "b2"] + ["c0"]
    classes = [each[0] for each in ids]
    drawn = choose_held_out(ids, classes, 0.2, seed=0)
    # 10 * 0.2 = 2; 3 * 0.2 = 0.6, rounded 1; the only photo of c stays.
    assert sorted(each[0] for each in drawn) == ["a", "a", "b"]
    assert choose_held_out(ids[::-1], classes[::-1], 0.2, seed=0) == drawn
    assert choose_held_out(ids, classes, 0.2, seed=1) != drawn
    assert len(choose_held_out(ids, classes, 0.99, seed=0)) == 9 + 2
    assert choose_held_out(ids, classes, 0.0, seed=0) == frozenset()
