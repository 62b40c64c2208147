import io
import os
import re
import signal

import pytest
from terminal import Screen, Terminal

from landmark_spark.live_display import can_draw

BEGIN = """
import os, subprocess, sys, time
from landmark_spark.interrupts import Interrupts
from landmark_spark.run_command import _listening
from landmark_spark.run_events import Event

FIELDS = {"stage": "download_images", "shards_done": 2, "shards_total": 8, "rows": 3000, "rows_total": 12000,
          "rows_per_second": 50.0, "failures": 17, "eta_seconds": 180.0, "accelerator_busy": None}

def start(listener):
    listener.hear(Event("stage_start", "download_images: running 8 shards (images not made yet)",
                        {"stage": "download_images", "shards_total": 8, "reason": "images not made yet"}))

def progress(listener, **changed):
    listener.hear(Event("progress", "download_images: THE PLAIN LINE", FIELDS | changed))

def end(listener):
    listener.hear(Event("stage_end", "download_images: 12000 rows in 240.0 s", {}))
"""

STAGE = """
with _listening("auto") as listener:
    start(listener)
    progress(listener)
    input()
    listener("download_images: warning: a message of the stage")
    print("what Python prints")
    print("what Python says of errors", file=sys.stderr)
    subprocess.run("echo what another program says >&2", shell=True)
    progress(listener, shards_done=3, rows=4500)
    input()
    end(listener)
print("and then")
"""

LIVE = "download_images  2/8 shards  3,000/12,000 rows  50 rows/s  17 failed  3 min left  0:0"
START = "download_images: running 8 shards (images not made yet)"
END = "download_images: 12000 rows in 240.0 s"


def on_terminal(code, **settings):
    return Terminal(["-c", BEGIN + code], **settings)


def test_what_is_said_comes_above_the_live_line_and_stays_while_the_line_goes():
    terminal = on_terminal(STAGE)
    terminal.read_until(lambda screen: screen.lines[-1:] and "2/8" in screen.lines[-1])
    assert terminal.screen.lines[0] == START
    assert terminal.screen.lines[1].startswith(LIVE)
    assert len(terminal.screen.lines) == 2
    terminal.type("\n")
    terminal.read_until(lambda screen: "3/8" in screen.lines[-1])
    said = [
        "download_images: warning: a message of the stage",
        "what Python prints",
        "what Python says of errors",
        "what another program says",
    ]
    assert terminal.screen.lines[0] == START
    assert sorted(terminal.screen.lines[1:-1]) == sorted(said)  # what is printed past the listener may overtake
    terminal.type("\n")
    assert terminal.end() == 0
    assert terminal.screen.lines[-2:] == [END, "and then"]
    assert len(terminal.screen.lines) == 7
    assert terminal.screen.cursor_is_shown
    assert "THE PLAIN LINE" not in terminal.raw


def test_the_clock_goes_on_where_nothing_is_heard():
    terminal = on_terminal(STAGE)
    terminal.read_until(lambda screen: screen.lines[-1:] and screen.lines[-1].endswith("0:01"))
    terminal.read_until(lambda screen: screen.lines[-1].endswith("0:02"))
    assert len(terminal.screen.lines) == 2
    terminal.type("\n\n")
    assert terminal.end() == 0


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (60, "download_images  2/8 shards  17 failed  3 min left"),
        (36, "download_images  2/8 shards"),
        (10, "download_"),
    ],
)
def test_a_narrow_terminal_shows_what_matters_most_in_one_line(width, line):
    terminal = on_terminal(STAGE, width=width)
    terminal.read_until(lambda screen: screen.lines[-1:] and screen.lines[-1].startswith(line))
    heights = {len(terminal.screen.lines)}
    for _ in range(4):  # drawn anew some times
        before = terminal.raw.count("\x1b[2K")
        terminal.read_until(lambda screen, before=before: terminal.raw.count("\x1b[2K") > before)
        heights.add(len(terminal.screen.lines))
    assert len(heights) == 1
    terminal.type("\n\n")
    assert terminal.end() == 0
    assert "".join(terminal.screen.lines).startswith(START)  # folded by the terminal alone


def test_without_colour_where_none_is_wanted():
    colour = "\x1b[31m"
    plain, coloured = on_terminal(STAGE, NO_COLOR="1"), on_terminal(STAGE)
    for terminal in (plain, coloured):
        terminal.type("\n\n")
        assert terminal.end() == 0
    assert colour in coloured.raw
    assert colour not in plain.raw
    assert "17 failed" in plain.raw


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_the_plain_lines(kind):
    terminal = on_terminal(STAGE, TERM=kind)
    terminal.type("\n\n")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert terminal.screen.lines[:2] == [START, "download_images: THE PLAIN LINE"]


def test_plain_lines_can_be_asked_for_on_a_terminal_too():
    terminal = on_terminal(STAGE.replace('"auto"', '"plain"'))
    terminal.type("\n\n")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert terminal.screen.lines.count("download_images: THE PLAIN LINE") == 2


INTERRUPTED = """
with _listening("auto") as listener:
    try:
        with Interrupts(lambda line: listener.hear(Event("interrupt", line))):
            start(listener)
            progress(listener)
            while True:
                listener("message " + "x" * 60)
                time.sleep(0.001)
    except KeyboardInterrupt:
        time.sleep(0.6)
sys.exit(130)
"""


def test_ctrl_c_takes_the_line_away_and_says_whole_how_to_go_on():
    terminal = on_terminal(INTERRUPTED)
    terminal.read_until(lambda screen: len(screen.lines) > 20 and "2/8" in screen.lines[-1])
    terminal.type("\x03")
    assert terminal.end() == 130
    lines = terminal.screen.lines
    assert lines[-1] == "interrupted: what was committed stays; the same command goes on from there"
    assert set(lines[1:-1]) == {"message " + "x" * 60}
    assert terminal.screen.cursor_is_shown
    assert "Traceback" not in terminal.raw


def test_a_run_that_is_killed_leaves_the_cursor_to_be_seen():
    terminal = on_terminal(STAGE)
    terminal.read_until(lambda screen: screen.lines[-1:] and "2/8" in screen.lines[-1])
    os.kill(terminal.process.pid, signal.SIGKILL)
    assert terminal.end() == -signal.SIGKILL
    assert terminal.screen.cursor_is_shown


def test_text_is_not_read_as_markup_nor_folded():
    line = "warning: [bold]not[/bold] markup :smile: " + "y" * 100
    terminal = on_terminal(f'with _listening("auto") as listener:\n    start(listener)\n    listener({line!r})\n')
    assert terminal.end() == 0
    assert line + "\r\n" in terminal.raw


def test_a_pipe_is_nothing_to_draw_on():
    assert not can_draw(io.StringIO())


def test_the_screen_of_these_tests_shows_what_a_terminal_would():
    screen = Screen(5)
    screen.feed("abcdefg\r\nx\x1b[1A\r\x1b[2Kz\x1b[?25l\r\n\x1b[1mlast\x1b[0m")
    assert screen.lines == ["abcde", "z", "last"]
    assert not screen.cursor_is_shown


@pytest.mark.jvm
def test_a_run_on_a_terminal_that_is_interrupted(tiny_arguments, tmp_path):
    """What a person sees of a real run, with Java's own lines."""
    terminal = Terminal(["-m", "landmark_spark", *tiny_arguments("run", tmp_path / "store")], width=140)
    drawn = re.compile(r"extract_bottlenecks  .*0:0[1-9]")
    terminal.read_until(lambda screen: screen.lines[-1:] and drawn.search(screen.lines[-1]), seconds=240)
    terminal.type("\x03")
    assert terminal.end(seconds=60) == 130
    lines = terminal.screen.lines
    assert lines[-1] == "interrupted: what was committed stays; the same command goes on from there"
    said = [line for line in lines if line.startswith(("index_images: ", "download_images: ", "extract_bottlenecks: "))]
    assert [re.sub(r"in .* s", "in", line) for line in said] == [
        "index_images: running (records not made yet)",
        "index_images: 52 rows in",
        "download_images: running 3 shards (images not made yet)",
        "download_images: 51 ok, 1 http_404",
        "download_images: 52 rows in",
        "extract_bottlenecks: running 3 shards (bottlenecks not made yet)",
    ]
    assert not [line for line in lines if re.search(r"  \d+:\d\d", line)]  # no live line is left
    assert re.search(r"index_images  .*0:0[1-9]", terminal.raw)
    assert terminal.screen.cursor_is_shown
