import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

from landmark_spark.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_keyboard_interrupt_within_the_block_and_what_it_was_after_it(number):
    before = signal.getsignal(number)
    with Interrupts(print) as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interrupts.received
    assert signal.getsignal(number) is before


def test_how_to_go_on_is_told_at_once_and_a_tell_that_fails_changes_nothing(capsys):
    for tell in (print, lambda line: 1 / 0):
        with Interrupts(tell), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert capsys.readouterr().out == "interrupted: what was committed stays; the same command goes on from there\n"


def test_it_is_told_again_after_somebody_else_has_put_a_handler_there():
    with Interrupts(print) as interrupts:
        signal.signal(signal.SIGINT, lambda *_: None)
        interrupts.install()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def error_of(module):
    return type("Py4JNetworkError", (Exception,), {"__module__": module})("Answer from Java side is empty")


def test_an_error_before_any_interrupt_did_not_come_of_it():
    with Interrupts(print) as interrupts:
        assert not interrupts.came_with(ValueError("a plain one"))
        assert not interrupts.came_with(error_of("py4j.protocol"))  # Java was killed, and nobody interrupts


def test_an_error_of_java_that_an_interrupt_ended_first_came_of_it():
    later = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    with Interrupts(print) as interrupts:
        later.start()
        with pytest.raises(KeyboardInterrupt):
            interrupts.came_with(error_of("py4j.protocol"))
        assert interrupts.came_with(ValueError("what it broke"))


def test_a_second_signal_ends_the_process_at_once():
    code = """
import os, signal, time
from landmark_spark.interrupts import Interrupts
with Interrupts(print):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGTERM)  # as the Java of spark-submit sends it: the same interrupt
        time.sleep(2.1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == -signal.SIGINT


def test_the_stack_traces_that_py4j_logs_are_passed_over_and_nothing_else(caplog):
    broken = compile(
        """
for logger in (logging.getLogger(), logging.getLogger("py4j.clientserver"), logging.getLogger("py4j.java_gateway")):
    try:
        raise error
    except BaseException:
        logger.exception("while sending command")
""",
        "/lib/py4j-src.zip/py4j/clientserver.py",
        "exec",
    )
    with Interrupts(print):
        for error in (KeyboardInterrupt(), BrokenPipeError()):
            exec(broken, {"logging": logging, "error": error})
        logging.getLogger("py4j.clientserver").warning("a line")
        try:
            raise ValueError("ours")
        except ValueError:
            logging.getLogger().exception("somebody else's")
    assert [record.getMessage() for record in caplog.records] == ["a line", "somebody else's"]
    exec(broken, {"logging": logging, "error": BrokenPipeError()})
    assert len(caplog.records) == 5


def test_in_another_thread_it_changes_nothing():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def use():
        with Interrupts(print) as interrupts:
            seen.append((signal.getsignal(signal.SIGINT), interrupts.received))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
