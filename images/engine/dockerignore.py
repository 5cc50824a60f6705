"""Which files of a context a .dockerignore leaves out, by docker-py's rules applied to the names in an archive."""

from collections.abc import Iterable
from typing import Any

from docker.utils.build import Pattern, PatternMatcher
from docker.utils.fnmatch import fnmatchcase


class _Pattern(Pattern):
    def match(self, filepath: str) -> bool:
        # docker-py's own compares without regard to case; engines and the docker CLI do not.
        return bool(fnmatchcase(filepath, self.cleaned_pattern))


class Ignore:
    """The patterns of one .dockerignore. `keep` are sent whatever it says: the builder needs them."""

    def __init__(self, text: str, keep: Iterable[str] = ()) -> None:
        lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        self._matcher: Any = PatternMatcher([])  # its annotations ask for paths, and it splits strings
        self._matcher.patterns = [
            pattern
            for pattern in map(_Pattern, [*patterns, "!.dockerignore", *(f"!{name}" for name in keep)])
            if pattern.dirs
        ]
        self._exceptions = [p.cleaned_pattern for p in self._matcher.patterns if p.exclusion]
        self._folders: dict[str, bool] = {"": False}

    def leaves_out(self, path: str) -> bool:
        """Whether this file or folder is not sent, by itself or with the folder it is in."""
        return self._is_passed_over(path.rpartition("/")[0]) or bool(self._matcher.matches(path))

    def _is_passed_over(self, folder: str) -> bool:
        """Whether docker would not even look into the folder."""
        known = self._folders.get(folder)
        if known is None:
            known = self._is_passed_over(folder.rpartition("/")[0]) or (
                bool(self._matcher.matches(folder))
                and not any(pattern.startswith(folder) for pattern in self._exceptions)
            )
            self._folders[folder] = known
        return known
