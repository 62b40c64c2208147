import pytest

from landmark_spark.core.opt_out import has_opted_out, product_names

DIRECTIVES = frozenset({"noai", "noimageai", "noindex", "noimageindex"})


@pytest.mark.parametrize(
    ("user_agent", "names"),
    [
        ("landmark-spark (batch image download)", ("landmark-spark",)),
        ("Photo-Reader/1.0 (+https://photos.example/about)", ("photo-reader",)),
        ("Mozilla/5.0 (compatible; photo-reader/1.0)", ("mozilla", "photo-reader")),
    ],
)
def test_a_user_agent_answers_to_its_product_names(user_agent, names):
    assert product_names(user_agent) == names


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("noindex", True),
        ("NOAI", True),
        ("nofollow, noarchive", False),
        ("nofollow ,  noimageai ", True),
        ("none", True),
        ("all", False),
        ("", False),
        ("noindexes", False),
        ("landmark-spark: noai", True),
        ("LANDMARK-SPARK: nofollow, noai", True),
        ("spark: noindex", True),
        ("*: noindex", True),
        ("googlebot: noindex", False),
        ("googlebot: nofollow, noindex", False),
        ("googlebot: noindex, landmark-spark: noai", True),
        ("landmark-spark: nofollow, googlebot: noai", False),
        ("noai, googlebot: nofollow", True),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noindex", True),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST", False),
        ("max-image-preview: none", False),
    ],
)
def test_a_directive_counts_where_it_is_for_us(value, expected):
    names = product_names("landmark-spark (batch image download)")
    assert has_opted_out([value], [], directives=DIRECTIVES, names=names) is expected
    assert has_opted_out(["nofollow", value], [], directives=DIRECTIVES, names=names) is expected


def test_none_means_noindex_and_not_the_directives_of_others():
    assert not has_opted_out(["none"], [], directives=frozenset({"noai"}), names=("x",))


@pytest.mark.parametrize(("value", "expected"), [("1", True), (" 1 ", True), ("0", False), ("yes", False)])
def test_a_reservation_counts_as_a_directive(value, expected):
    assert has_opted_out([], [value], directives=DIRECTIVES, names=("x",)) is expected


def test_without_directives_nothing_counts():
    assert not has_opted_out(["noai", "none"], ["1"], directives=frozenset(), names=("x",))
