"""Who is told that something went wrong is told what to do next."""

import pytest

from cleanup.problems import CLEANUP
from images.problems import PROBLEMS, Problem

ALL = PROBLEMS | CLEANUP
NOTHING_TO_DO = {
    "reference_gone": "a name was to be removed, and it is not there",
}


@pytest.mark.parametrize(("code", "problem"), ALL.items(), ids=ALL)
def test_problem_says_what_to_do(code: str, problem: Problem) -> None:
    assert str(problem.what)
    assert bool(str(problem.remedy)) is (code not in NOTHING_TO_DO)


def test_nothing_is_excused_that_is_not_there() -> None:
    assert NOTHING_TO_DO.keys() <= ALL.keys()
