"""Runs a command without root's right to pass over permissions: without_override.py COMMAND ..."""

import ctypes
import os
import sys

_DROP_CAPABILITY, _OVERRIDE, _READ_SEARCH = 24, 1, 2  # prctl(2), capabilities(7)

if __name__ == "__main__":
    for capability in (_OVERRIDE, _READ_SEARCH):  # for others than root there is none to drop
        ctypes.CDLL(None).prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
    os.execvp(sys.argv[1], sys.argv[1:])
