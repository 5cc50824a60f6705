"""A folder of this process alone for what has to be a file: sockets, certificates, known host keys.

It goes with the process. A killed one leaves it behind; the next one that starts tidies up.
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

PREFIX = "drydock-engines-"
LONGEST = 70  # characters of the folder's own parent: the path of a socket has 107 bytes at most
_lock = threading.Lock()
_folder: tuple[int, Path] | None = None


def folder() -> Path:
    """This process's folder, which nobody else may enter; locked for as long as the process lives."""
    global _folder
    with _lock:
        if _folder is None or _folder[0] != os.getpid() or not _folder[1].exists():
            base = tempfile.gettempdir()
            base = base if len(base) < LONGEST else "/tmp"  # noqa: S108 - mkdtemp makes it private
            tidy(Path(base))
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
            atexit.register(_remove, os.getpid(), path)
            _folder = (os.getpid(), path)
        return _folder[1]


def _remove(pid: int, path: Path) -> None:
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)


def tidy(base: Path) -> None:
    """Removes the folders that no living process has locked; a new one may not be locked yet."""
    for path in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid != os.getuid() or time.time() - path.stat().st_mtime < 5:
                continue
            number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(number)
