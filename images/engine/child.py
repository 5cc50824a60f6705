"""Becomes the program it is given, which then ends with the process that started it; run as a program itself.

A worker that is killed leaves no ssh and no build behind. The order is given here and not in the worker between
fork and exec: Python code there may wait for ever for a lock that another thread holds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def command(*words: str) -> list[str]:
    """The command line that starts `words` as a child of this process which does not outlive it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *words]


def main(parent: str, *words: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):  # else it died before the order was given
        os.execvp(words[0], words)  # noqa: S606 - the list is made in images/engine/


if __name__ == "__main__":
    main(*sys.argv[1:])
