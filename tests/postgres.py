"""A PostgreSQL for one test run: its own folder, its own port, gone afterwards."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from config.redis_server import free_port


class PrivatePostgres:
    """Use as a context manager; `url` is what DATABASE_URL takes. The server refuses to run as root."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="drydock-pg-"))
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.user = "postgres" if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        return f"postgres://drydock:{self.password}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> "PrivatePostgres":
        data, password_file = self.directory / "data", self.directory / "password"
        password_file.write_text(self.password)
        if self.user:
            for path in (self.directory, password_file):
                shutil.chown(path, self.user)
        self._run(
            "initdb", "--pgdata", str(data), "--username", "drydock", "--auth", "scram-sha-256",
            "--pwfile", str(password_file), "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
        )  # fmt: skip
        log = str(self.directory / "log")
        self._run("pg_ctl", "start", "--wait", "--pgdata", str(data), "--log", log, "-o", self._options())
        return self

    def _options(self) -> str:
        """Durability costs time, and this data is thrown away."""
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": 100,
            "random_page_cost": 1.1,  # as docker-compose.yml sets it
        }  # fmt: skip
        return " ".join(f"-c {name}='{value}'" for name, value in settings.items())

    def __exit__(self, *details: object) -> None:
        self._run("pg_ctl", "stop", "--mode", "immediate", "--pgdata", str(self.directory / "data"))
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [tool(program), *arguments], user=self.user, cwd="/", check=False, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        if result.returncode:
            raise RuntimeError(f"{program} failed: {result.stderr}")


def tool(name: str) -> str:
    """The program of the newest PostgreSQL installed; Debian keeps them outside PATH."""
    found = list(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found.sort(key=lambda path: float(path.parent.parent.name))
    return str(found[-1]) if found else shutil.which(name) or ""


def why_not() -> str:
    """Why there can be none here; empty when there can."""
    return "" if tool("initdb") and tool("pg_ctl") else "PostgreSQL is not installed"
