from landmark_spark.core.counted import counted


def test_one_of_a_thing_is_no_plural():
    assert [counted(number, "photo") for number in (0, 1, 2, 1800)] == [
        "0 photos",
        "1 photo",
        "2 photos",
        "1,800 photos",
    ]
    assert counted(1, "match", "matches") == "1 match"
    assert counted(2, "match", "matches") == "2 matches"
