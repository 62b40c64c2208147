import subprocess
import sys

from landmark_spark.caught_output import own_output

CODE = """
import os, subprocess, sys, time
from landmark_spark.caught_output import CaughtError

said = []
with CaughtError(said.append):
    print("of Python", file=sys.stderr)
    later = subprocess.Popen("echo of another >&2; read line; echo $line >&2", shell=True, stdin=subprocess.PIPE)
    while len(said) < 2:
        time.sleep(0.01)
    os.write(2, b"in two ")
    os.write(2, b"pieces\\r\\nwithout an end")
print(said)
print("of Python again", file=sys.stderr)
later.communicate(b"of the other again\\n")
time.sleep(0.5)
"""


def test_lines_are_given_while_the_block_lasts_and_go_their_old_way_after_it():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "['of Python', 'of another', 'in two pieces', 'without an end']\n"
    assert sorted(done.stderr.splitlines()) == ["of Python again", "of the other again"]


def test_many_lines_come_whole_and_in_their_order():
    code = """
import os
from landmark_spark.caught_output import CaughtError
said = []
with CaughtError(said.append):
    for number in range(20000):
        os.write(2, f"line {number}\\n".encode())
assert said == [f"line {number}" for number in range(20000)], len(said)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_a_say_that_fails_holds_nobody_up():
    code = """
import os
from landmark_spark.caught_output import CaughtError
with CaughtError(lambda line: 1 / 0):
    os.write(2, b"x" * 200000 + b"\\n" + b"y" * 200000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert done.stderr == b""


def test_standard_output_is_one_writers_alone_within_the_block():
    code = """
import subprocess
from landmark_spark.caught_output import own_output
print("before")
with own_output() as stream:
    stream.write("the log\\n")
    print("of Python")
    subprocess.run("echo of another", shell=True)
print("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["before", "the log", "after"]
    assert sorted(done.stderr.splitlines()) == ["of Python", "of another"]


def test_a_stream_in_memory_is_as_it_was(capsys):
    with own_output() as stream:
        stream.write("a line")
    assert capsys.readouterr().out == "a line"
