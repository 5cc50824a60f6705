"""What a .dockerignore leaves out; tests/engine/test_dockerignore_real.py compares it with docker's own buildx.

The tables of single patterns hold the cases of moby/patternmatcher's own tests.
"""

import pytest

from images.contexts.dockerignore import MOST_FOLDERS, Ignore, PatternError


@pytest.mark.parametrize(
    ("patterns", "out", "kept"),
    [
        ("node_modules", ["node_modules", "node_modules/a/b"], ["src/node_modules/a", "Node_modules"]),
        ("**/node_modules", ["node_modules/a", "src/deep/node_modules/x/y.js"], ["src/a"]),
        ("*.log", ["a.log"], ["src/a.log"]),
        ("**/*.log\n!keep.log", ["src/a.log"], ["keep.log"]),
        ("docs/*\n!docs/readme.md", ["docs/a"], ["docs/readme.md"]),
        ("/secret/", ["secret/key"], ["a/secret/key"]),
        ("*", ["a", "b/c"], ["Dockerfile", ".dockerignore"]),
        ("*\n!src", ["a"], ["src/x"]),
        # Exceptions
        ("**/secrets\n!secrets/keep", ["secrets", "secrets/key", "a/secrets/keep"], ["secrets/keep", "a/b"]),
        ("*\n!**/*.go", ["a.txt", "src/deep/b.txt"], ["a.go", "src/deep/b.go"]),
        ("*\n!*/a.go", ["a.go", "src/b.go", "src/deep/a.go"], ["src/a.go"]),
        ("build\n!build/*/app.jar", ["build/app.jar", "build/out/x"], ["build/out/app.jar"]),
        ("target\n!target/*.jar", ["target/classes/A.class", "target/sub/a.jar"], ["target/app.jar"]),
        ("dir\n!dir/keep\ndir/keep/not", ["dir/x", "dir/keep/not/a"], ["dir/keep/a"]),
        ("!a\na", ["a"], ["b"]),
        # Docker does not look into "a/b": it takes this exception for one of "a" alone. With a wildcard in any
        # other exception it looks everywhere.
        ("a\n!a/*/**", ["a/b/c"], []),
        ("a\n!a/*/**\n!x*y", ["a/b"], ["a/b/c"]),
        # The file
        ("\ufeff# comment\n\n  spaced  \n", ["spaced"], ["# comment"]),
        ("\ufeffa\r\nb\r\n", ["a", "b"], ["c"]),
        ("  #name\n#not", ["#name"], ["#not"]),
        ("\\#name", ["#name"], ["\\#name"]),
        ("a\x0bb\n\u2028c", ["a\x0bb", "c"], ["a", "b"]),
        ("./a\n/b\n//c\nd/../e\nf//g\nh/.", ["a", "b", "c", "e", "f/g", "h"], ["d", "f"]),
        ("*\n!./a\n! b\n! /c\n!d/", ["e"], ["a", "b", "c", "d/x"]),
        (".\n/\n..\n./\n", [], ["a", "b/c"]),
        ("!!a\n*", ["a", "!a"], []),
        ("*\n!!a", ["a"], ["!a"]),
        # Characters
        ("x[^2].txt", ["x1.txt", "x/.txt", "x^.txt"], ["x2.txt"]),
        ("x[!2].txt", ["x2.txt", "x!.txt"], ["x1.txt"]),
        ("x\\[1\\].txt", ["x[1].txt"], ["x1.txt"]),
        ("x[[]1].txt", ["x[1].txt"], ["x1].txt"]),
        ("[*].txt", ["^].txt", "/].txt"], ["*.txt"]),
        ("[[:digit:]]", ["1"], ["a", "٣"]),
        ("\\d", ["7"], ["d", "٣"]),
        ("a^b\na^?", ["a^b"], ["a^c"]),
        ("**/*.{md,txt}", ["a.{md,txt}"], ["a.md"]),
        ("caps", ["caps"], ["Caps"]),
        ("?", ["\udcff", "☺"], ["ab", "/"]),
    ],
)  # fmt: skip
def test_dockerignore_leaves_out_what_docker_would(patterns: str, out: list[str], kept: list[str]) -> None:
    ignore = Ignore(patterns, ["Dockerfile"])
    assert [name for name in out + kept if ignore.leaves_out(name)] == out


@pytest.mark.parametrize(
    ("pattern", "out", "kept"),
    [
        ("**", "file dir/file dir/sub/file", ""),
        ("**/", "file dir/file", ""),
        ("**/**", "file dir/file", ""),
        ("dir/**", "dir/file dir/dir2/file", "dir"),
        ("**/dir", "dir dir/file", "adir"),
        ("**/dir2/*", "dir/dir2/file dir2/file/x", "dir/dir2"),
        ("**/dir2/**", "dir/dir2/dir3/file", "dir/dir2"),
        ("**file", "file dir/file dir/dir/file myfile", "filed"),
        ("**/file", "file dir/file dir/dir/file", "dir/myfile"),
        ("**/file*", "dir/dir/file dir/dir/file.txt", "dir/myfile"),
        ("**/file*txt", "dir/dir/file.txt", "dir/dir/file.text"),
        ("**/file*.txt*", "dir/dir/file.txt", ""),
        ("**/**/*.txt", "file.txt dir/dir/file.txt", "dir/dir/file.txt2"),
        ("**/*.txt", "file.txt a/file.txt", "file.txtx"),
        ("a**/*.txt", "a/file.txt a/dir/file.txt a/dir/dir/file.txt", "b/file.txt"),
        ("a/*.txt", "a/file.txt", "a/dir/file.txt"),
        ("a/*.txt**", "a/file.txt", "a/file"),
        ("a[b-d]e", "ace", "ae aae"),
        ("a[^b-d]e", "aze", "ace"),
        (".*", ".foo", "foo"),
        ("abc.def", "abc.def", "abcdef abcZdef"),
        ("abc?def", "abcZdef", "abcdef"),
        ("**/foo/bar", "foo/bar dir/foo/bar dir/dir2/foo/bar", "foo"),
        ("abc/**", "abc/def abc/def/ghi", "abc"),
        ("**/.foo", ".foo", "bar.foo"),
        ("a(b)c/def", "a(b)c/def", "a(b)c/xyz"),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", "ab"),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", ""),
        ("a\\\\", "a\\", "a"),
        ("a\\*b", "a*b", "ab"),
        ("**\n!util/docker/web", "util/docker", "util/docker/web util/docker/web/foo"),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", "util/docker/web/bar"),
        ("**\n!dist/*.whl", "dist/a.tar", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"),
        ("docs/\n!docs/README.md", "docs/x", "docs/README.md"),
        ("*c", "abc", "ab"),
        ("a*", "a abc ab/c", "b"),
        ("a*/b", "abc/b", "a/c/b"),
        ("a*b*c*d*e*/f", "axbxcxdxe/f axbxcxdxexxx/f", "axbxcxdxe/xxx/f axbxcxdxexxx/fff"),
        ("a*b?c*x", "abxbbxdbxebxczzx", "abxbbxdbxebxczzy"),
        ("ab[^e-g]", "abc", "abe"),
        ("a[^a]b", "a☺b", "aab"),
        ("a???b", "axxxb", "a☺b"),
        ("[a-ζ]*", "α", ""),
        ("*[a-ζ]", "a", "A"),
        ("a?b", "a☺b", "a/b"),
        ("[\\]a]", "]", "b"),
        ("[x\\-]", "x -", "z"),
        ("[\\-x]", "x -", "a"),
    ],
)  # fmt: skip
def test_pattern_matches_what_mobys_would(pattern: str, out: str, kept: str) -> None:
    ignore = Ignore(pattern)
    assert {name: ignore.leaves_out(name) for name in f"{out} {kept}".split()} == {
        name: name in out.split() for name in f"{out} {kept}".split()
    }


@pytest.mark.parametrize(
    "pattern",
    [
        "!", "!/", "!a[", "[", "[^", "[^]", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[^-x]", "[a-b-c]",
        "[Local-Only]/", "[z-a]", "\\", "a\\", "\\q",
    ],
)  # fmt: skip
def test_pattern_that_docker_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError) as refused:
        Ignore(f"# comment\n\n{pattern}\n")
    assert refused.value.line == 3


def test_more_folders_than_are_remembered_make_no_difference() -> None:
    ignore = Ignore("a\n!a/b\n")
    names = [f"{top}/{part}/{number}/x" for number in range(MOST_FOLDERS) for top, part in ("ab", "ac", "bb")]
    assert [name[:3] for name in names if ignore.leaves_out(name)] == ["a/c"] * MOST_FOLDERS
