"""What docker's own buildx leaves out of a context for a .dockerignore, and what Drydock leaves out."""

import os
import subprocess
from pathlib import Path

import pytest

from config.demo.engines import PrivateEngine
from images.contexts.dockerignore import Ignore, PatternError
from images.engine import buildx

pytestmark = [pytest.mark.engine, pytest.mark.buildx]

NAMES = [
    "a.txt", "b.log", "README.md", "README-secret.md", "docs/README.md", "docs/x.md", "src/a.go", "src/deep/b.go",
    "src/deep/c.txt", "src/node_modules/p/i.js", "node_modules/q.js", ".git/HEAD", "dir/keep.txt", "dir/drop.txt",
    "dir/sub/keep.txt", "dir/sub/a/b.txt", "a b.txt", "#hash", "x[1].txt", "x1.txt", "x2.txt", "x!.txt", "x^.txt",
    "x/.txt", "^].txt", "*.txt", "build/out/app.jar", "build/tmp/x", "foo/bar/baz", "foo/baz", "mydir/x",
    "target/app.jar", "target/classes/A.class", ".env", ".env.local", "sub/.env", "Caps/File", "caps/file",
    "a^b", "!a", "[b]/c", "\\d", "7", "☺", "a.{md,txt}",
]  # fmt: skip

TEXTS = [
    # Exceptions
    "*\n!src/**", "*\n!**/*.go", "*\n!*/a.go", "*\n!**/keep.txt", "dir\n!dir/keep.txt", "dir/**\n!dir/keep.txt",
    "**/dir\n!dir/keep.txt", "dir/*\n!dir/sub", "*.md\n!README*.md\nREADME-secret.md", "**/*.md\n!docs/README.md",
    "target\n!target/*.jar", "build\n!build/*/app.jar", "d*\n!dir/keep.txt", "src\n!s*/deep/b.go", ".*\n!.env",
    "**\n!src", "*\n!./src\n! dir\n! /docs\n!target/", "dir\n!dir/*/**", "dir\n!dir/*/**\n!x*y",
    "dir\n!dir/sub\ndir/sub/a", "!a.txt\na.txt", "!!a\n*", "*\n!!a", "*\n!Caps", "**/keep.txt\n!dir/*/keep.txt",
    "*/*\n!src/deep\n!foo/b*", "node_modules\n!node_modules", "*\n!docs\ndocs\n!docs/x.md", "*/\n!src",
    # Lines and characters
    "\ufeff# comment\r\n  #hash\r\n\r\n  a b.txt  \r\n", "\\#hash\n#a.txt", "./a.txt\n/b.log\n//src/deep\nfoo/../dir",
    ".\n/\n..", "x[^2].txt", "x[!2].txt", "x\\[1\\].txt\n\\[b]", "x[[]1].txt", "[*].txt", "[[:digit:]]", "\\d",
    "a^b", "a^?", "^*", "**/*.{md,txt}", "caps", "?", "**dir", "**/dir", "a**", "**/**", "src/**/*.txt", "foo/*/baz",
    "**/sub/**", "dir/*/keep.txt", "[a-d]*", "\\a*", "\\!a", "/!a\n*",
]  # fmt: skip
REFUSED = ["!", "[ab", "[]a]", "[Local-Only]", "\\q", "a\\"]


class Builder:
    def __init__(self, engine: PrivateEngine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._context = folder / "context"
        for name in NAMES:
            path = self._context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")

    def arrived(self, text: str) -> set[str] | str:
        """The files that were sent, or the last words of a build that failed."""
        (self._context / ".dockerignore").write_bytes(text.encode())
        program, out = buildx.program(), self._folder / f"out{len(list(self._folder.iterdir()))}"
        assert program
        run = subprocess.run(
            [program, "build", "--progress", "plain", "-f", self._folder / "Dockerfile",
             "--output", f"type=local,dest={out}", self._context],
            env={"DOCKER_HOST": self._engine.address, "PATH": os.environ["PATH"], "HOME": str(self._folder)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if run.returncode:
            return run.stderr[-300:]
        files = (path for path in out.rglob("*") if path.is_file())
        return {path.relative_to(out).as_posix() for path in files} - {".dockerignore"}


@pytest.fixture
def builder(engine: PrivateEngine, tmp_path: Path) -> Builder:
    return Builder(engine, tmp_path)


def test_what_arrives_is_what_buildx_sends(builder: Builder) -> None:
    wrong = {}
    for text in TEXTS:
        ignore = Ignore(text)
        kept, arrived = {name for name in NAMES if not ignore.leaves_out(name)}, builder.arrived(text)
        if kept != arrived:
            wrong[text] = arrived if isinstance(arrived, str) else (kept - arrived, arrived - kept)
    assert not wrong


def test_pattern_that_is_refused_is_refused_by_buildx(builder: Builder) -> None:
    for text in REFUSED:
        with pytest.raises(PatternError):
            Ignore(text)
        # It may say no more than that the build was cancelled, where that is heard of first: so it is asked again.
        told = (str(builder.arrived(f"a.txt\n{text}")) for _ in range(5))
        assert any("pattern" in words for words in told)
