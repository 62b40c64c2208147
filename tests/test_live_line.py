import pytest

from landmark_spark.live_line import GAP, live_parts

FIELDS = {
    "stage": "extract_bottlenecks",
    "shards_done": 3,
    "shards_total": 8,
    "rows": 1240,
    "rows_total": 2000,
    "rows_per_second": 118.4,
    "failures": None,
    "eta_seconds": 6.4,
    "accelerator_busy": 0.834,
}
WHOLE = "extract_bottlenecks  3/8 shards  1,240/2,000 rows  118 rows/s  GPU 83%  6 s left  1:01"


def line(fields, seconds, width):
    return GAP.join(live_parts(fields, seconds, width).values())


def test_all_that_is_known_of_a_stage_is_in_its_line():
    assert line(FIELDS, 61.9, 200) == WHOLE
    assert line(FIELDS, 61.9, len(WHOLE)) == WHOLE


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (len(WHOLE) - 1, "extract_bottlenecks  3/8 shards  1,240/2,000 rows  118 rows/s  GPU 83%  6 s left"),
        (64, "extract_bottlenecks  3/8 shards  118 rows/s  GPU 83%  6 s left"),  # 62 characters; 80 with the rows
        (61, "extract_bottlenecks  3/8 shards  118 rows/s  6 s left"),
        (31, "extract_bottlenecks  3/8 shards"),
        (30, "extract_bottlenecks"),
        (7, "extract"),
    ],
)
def test_the_least_important_goes_first_where_there_is_no_room(width, text):
    assert line(FIELDS, 61.9, width) == text


def test_what_is_made_whole_shows_its_time_and_the_accelerator():
    fields = {"stage": "fine_tune", "shards_done": 0, "shards_total": 1, "rows": 0, "accelerator_busy": 1.0}
    assert line(fields, 3725, 80) == "fine_tune  GPU 100%  1:02:05"


def test_a_stage_that_has_just_begun_has_no_rate_yet():
    assert line({"stage": "download_images", "shards_total": 8, "reason": "forced"}, 0.2, 80) == (
        "download_images  0/8 shards  0:00"
    )


def test_no_failure_is_said_too_where_rows_have_a_status():
    fields = FIELDS | {"failures": 0, "accelerator_busy": None}
    assert "  118 rows/s  0 failed  6 s left" in line(fields, 1.0, 120)
