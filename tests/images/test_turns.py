"""Whose turn it is: fair between people, and within what the hosts take."""

from datetime import UTC, datetime, timedelta

from images.jobs.turns import Line, Load, Person, Waiting, for_worker, heads, in_turn, lines

LINE: Line = (1, "most_transfers", 0)
OTHER: Line = (2, "most_transfers", 0)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA: Person = 1
BO: Person = 2
CY: Person = 3


def waiting(*people: int | None, line: Line = LINE, first: int = 1) -> list[Waiting]:
    return [Waiting(first + n, line, person) for n, person in enumerate(people)]


def order(jobs: list[Waiting], load: Load) -> list[int]:
    return [job.pk for job in in_turn(jobs, load)]


def test_one_persons_jobs_are_taken_by_age() -> None:
    assert order(list(reversed(waiting(ADA, ADA, ADA))), Load({ADA: 2})) == [1, 2, 3]


def test_one_pull_does_not_wait_for_a_hundred_of_somebody_else() -> None:
    jobs = waiting(*[ADA] * 100, BO)
    assert order(jobs, Load({ADA: 2}))[0] == 101
    assert order(jobs, Load())[:3] == [1, 101, 2]


def test_people_alternate() -> None:
    jobs = waiting(ADA, ADA, ADA, BO, BO, BO)
    assert order(jobs, Load()) == [1, 4, 2, 5, 3, 6]


def test_who_was_served_longest_ago_comes_first() -> None:
    served = {ADA: NOON, BO: NOON - timedelta(hours=1)}
    assert order(waiting(ADA, BO), Load({}, served)) == [2, 1]
    assert order(waiting(ADA, BO, CY), Load({}, served)) == [3, 2, 1]


def test_who_gets_a_turn_on_the_way_counts_as_served_last() -> None:
    served = {ADA: NOON - timedelta(hours=1), BO: NOON}
    # Ada has none running, Bo one: she comes first, and then it is his turn before her second.
    assert order(waiting(ADA, ADA, BO), Load({BO: 1}, served)) == [1, 3, 2]


def test_drydock_itself_is_one_person_among_the_others() -> None:
    assert order(waiting(None, None, ADA), Load()) == [1, 3, 2]


def test_a_line_gives_no_more_than_its_host_takes() -> None:
    ordered = lines([*waiting(ADA, ADA, ADA), *waiting(BO, BO, line=OTHER, first=10)], {})
    assert [job.pk for job in heads(ordered, {LINE: 2, OTHER: -1})] == [1, 2]
    assert [job.pk for job in heads(ordered, {OTHER: 0})] == [1, 2, 3]


def test_jobs_of_hosts_that_do_not_answer_let_all_others_go_first() -> None:
    silent = [Waiting(n, (n, "", n), ADA, is_silent=True) for n in range(1, 4)]
    busy = [Waiting(n, (n, "", n), BO) for n in (4, 5)]
    assert for_worker([*silent, *busy], Load({BO: 7}), (1, "", 1)) == [4, 5, 1, 2, 3]


def test_worker_takes_the_job_it_was_woken_for_when_nobody_has_less() -> None:
    ready = [*waiting(ADA), *waiting(BO, line=OTHER, first=10)]
    assert for_worker(ready, Load(), OTHER) == [10, 1]
    assert for_worker(ready, Load({BO: 1}), OTHER) == [1, 10]


def test_hundred_hosts_of_one_person_do_not_keep_every_worker() -> None:
    lines_of_ada = [Waiting(n, (n, "most_transfers", 0), ADA) for n in range(1, 101)]
    job = Waiting(101, (101, "most_transfers", 0), BO)
    assert for_worker([*lines_of_ada, job], Load({ADA: 4}), (5, "most_transfers", 0))[0] == 101
