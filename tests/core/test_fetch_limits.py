import pytest

from landmark_spark.core.fetching import FetchLimits, FetchPool


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", 0),
        ("deadline", float("nan")),
        ("deadline", float("inf")),
        ("connect_timeout", -1.0),
        ("read_timeout", 0.0),
        ("max_bytes", 0),
        ("max_attempts", 0),
        ("max_connections_per_host", 0),
        ("requests_per_second_per_host", -1.0),
        ("requests_per_second_per_host", float("nan")),
        ("user_agent", "two\r\nlines"),
        ("user_agent", ""),
        ("opt_out_directives", ("noai, noindex",)),
        ("trusted_origins", ("127.0.0.1:8080",)),
        ("trusted_origins", ("http://127.0.0.1/images/",)),
        ("trusted_origins", ("http://user:secret@127.0.0.1/",)),
    ],
)
def test_limits_out_of_range_say_what_was_wanted(name, value):
    with pytest.raises(ValueError, match=rf"{name} should be .*\. Received: ") as raised:
        FetchLimits(**{name: value})
    assert "secret" not in str(raised.value)


def test_an_origin_is_scheme_host_and_port():
    limits = FetchLimits(trusted_origins=("http://127.0.0.1:8080", "https://Photos.example/"))
    assert limits.origins() == {("http", "127.0.0.1", 8080), ("https", "photos.example", 443)}


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match=r"num_threads should be at least 1\. Received: 0"):
        FetchPool(FetchLimits(), num_threads=0, finish=print)


def test_root_certificates_that_are_not_there_are_refused_early(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with pytest.raises(ValueError, match="REQUESTS_CA_BUNDLE should name a file or folder. Received: /nowhere"):
        FetchPool(FetchLimits(), num_threads=1, finish=print)
