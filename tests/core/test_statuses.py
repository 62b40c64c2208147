import pytest

from landmark_spark.core.statuses import ADVICE, STATUSES, advice_of, check_status_words, matches_status


def test_every_status_has_a_meaning_and_advice():
    assert all(STATUSES.values()) and all(ADVICE.values())
    for status in STATUSES:
        assert advice_of(status) == ADVICE[status] if status != "http_<code>" else ADVICE["http_<code>"]
    assert {key for key in ADVICE if not key.startswith("http_")} == set(STATUSES) - {"http_<code>"}


@pytest.mark.parametrize(
    ("status", "key"),
    [
        ("http_404", "http_4xx"),
        ("http_410", "http_4xx"),
        ("http_429", "http_429"),
        ("http_403", "http_403"),
        ("http_503", "http_5xx"),
        ("http_304", "http_<code>"),
        ("http_999", "http_<code>"),
    ],
)
def test_a_code_has_its_own_advice_or_that_of_its_class(status, key):
    assert advice_of(status) == ADVICE[key]


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        ("timeout", ["timeout"], True),
        ("timeout", ["http_5xx"], False),
        ("http_503", ["http_503"], True),
        ("http_503", ["http_502"], False),
        ("http_503", ["timeout", "http_5xx"], True),
        ("http_404", ["http_5xx"], False),
        ("http_404", ["http_4xx"], True),
        ("http_404", ["failed"], True),
        ("host_unavailable", ["failed"], True),
        ("opted_out", ["failed"], False),
        ("opted_out", ["opted_out"], True),
        ("ok", ["failed", "ok", "http_2xx"], False),
        ("timeout", [], False),
    ],
)
def test_a_word_means_a_status_a_class_or_all_failures(status, words, expected):
    assert matches_status(status, words) is expected


def test_known_words_pass():
    check_status_words(["failed", "timeout", "http_404", "http_4xx", "http_5xx", "decoder_crash", "opted_out"])
    check_status_words([])


@pytest.mark.parametrize(
    "word", ["timeouts", "ok", "http_<code>", "http_40", "http_404 ", "", "OK", "http_4\u0664\u0664", "4xx", "http_0xx"]
)
def test_an_unknown_word_is_named_with_what_there_is(word):
    with pytest.raises(ValueError, match="should be failed, http_4xx.*connection_failed.*Received: ") as raised:
        check_status_words(["timeout", word])
    assert str(raised.value).endswith(f"Received: {word!r}")
