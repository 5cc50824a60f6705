"""Everything that can go wrong, in words: what happened, the likely cause, what to do. Words only, by subject.

A code stands in one subject only. Other rooms register theirs with `add`, as cleanup does when it is loaded.
"""

from images.problems.builds import BUILDS
from images.problems.hosts import HOSTS
from images.problems.images import IMAGES
from images.problems.jobs import JOBS
from images.problems.people import PEOPLE
from images.problems.problem import Problem, Text
from images.problems.registries import REGISTRIES

PROBLEMS: dict[str, Problem] = {}


def add(problems: dict[str, Problem]) -> None:
    """Raises ValueError where a code has its words already."""
    if twice := PROBLEMS.keys() & problems.keys():
        raise ValueError(f"These problems have their words twice: {', '.join(sorted(twice))}")
    PROBLEMS.update(problems)


for subject in (HOSTS, PEOPLE, IMAGES, REGISTRIES, BUILDS, JOBS):
    add(subject)

__all__ = ["PROBLEMS", "Problem", "Text", "add"]
