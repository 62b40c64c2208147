"""A pseudo-terminal: runs a program on it, and says what a person would see there."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

_OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
_CONTROL = re.compile(r"\x1b\[(?P<numbers>[?\d;]*)(?P<letter>[A-Za-z])")


class Screen:
    """What a terminal shows, with all that was scrolled out of it; refuses escape sequences that it does not know."""

    def __init__(self, width):
        self.width = width
        self.rows = [""]
        self.row = self.column = 0
        self.cursor_is_shown = True

    def feed(self, text):
        place = 0
        while place < len(text):
            found = _CONTROL.match(text, place)
            if found:
                self._control(found["numbers"], found["letter"])
                place = found.end()
                continue
            self._take(text[place])
            place += 1

    def _take(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._go_down()
        else:
            assert character.isprintable(), repr(character)
            if self.column == self.width:
                self.column = 0
                self._go_down()
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1

    def _go_down(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def _control(self, numbers, letter):
        if letter in "hl" and numbers == "?25":
            self.cursor_is_shown = letter == "h"
        elif letter == "K" and numbers == "2":
            self.rows[self.row] = ""
        elif letter == "A":
            self.row = max(self.row - int(numbers or 1), 0)
        else:
            assert letter == "m", (numbers, letter)

    @property
    def lines(self):
        """The rows down to the last that is not empty, without spaces at their ends."""
        lines = [row.rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines


class Terminal:
    """A program on a terminal of its own, 24 rows high: what is typed there is not echoed, Ctrl-C is a signal."""

    def __init__(self, arguments, *, width=100, **environment):
        self.raw = ""
        self.screen = Screen(width)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        modes = termios.tcgetattr(slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OWN_TERMINAL, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=kept | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text):
        os.write(self._master, text.encode())

    def read_until(self, wanted, seconds=30.0):
        """Read on until ``wanted(screen)``."""
        deadline = time.monotonic() + seconds
        while not wanted(self.screen):
            assert self._read(deadline), f"the screen should have got there. Received: {self.screen.lines}"

    def end(self, seconds=30.0):
        """Read to the end; return the exit status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        status = self.process.wait(max(deadline - time.monotonic(), 0.1))
        os.close(self._master)
        return status

    def _read(self, deadline):
        assert time.monotonic() < deadline, f"the program should have ended. Received: {self.screen.lines}"
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        data = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            data = os.read(self._master, 65536)
        self.raw += data.decode()
        self.screen.feed(data.decode())
        return bool(data)
