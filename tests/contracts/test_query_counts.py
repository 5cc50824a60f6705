"""How many queries each page costs: a baseline that is changed on purpose or not at all.

Every page is asked for with one of everything and with eleven of everything. A page that asks more often then
has a query in a loop; one that asks more often than it says below has become dearer.
"""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cleanup.models import HostPlan, HostRun, Item, PolicyRule, RunState, Survivor
from images import audit
from images.models import (
    Container,
    GitAccount,
    Grant,
    Host,
    HostGroup,
    ImageLayer,
    Job,
    JobItem,
    JobLog,
    Pin,
    Reference,
    Registry,
    RemoteTag,
    Team,
    User,
)
from tests import factories
from tests.cleanup import rows
from tests.contracts.test_urls import BATCH, TABLE, Address

pytestmark = pytest.mark.django_db

MORE = 10
"""So many more of everything there are at the second look."""

# Queries of each page for who is admin of all hosts, and for the maintainer of one group (None: forbidden).
BASELINE: dict[str, tuple[int, int | None]] = {
    "images:overview": (8, 9),
    "images:overview-figures": (6, 7),
    "images:overview-jobs": (5, 6),
    "images:overview-space": (5, 6),
    "images:image-list": (15, 16),
    "images:image-list?behind=1": (15, 16),
    "images:image-list?by=image": (10, 11),
    "images:image-list?by=repository": (8, 9),
    "images:image-list?registry=docker.io&repository=acme/api": (17, 18),
    "images:image-list-state": (5, 6),
    "images:image-export?csv": (6, 7),
    "images:image-export?json": (6, 7),
    "images:image-export?txt": (5, 6),
    "images:image-remove?COPIES": (8, 9),
    "images:command": (7, 8),
    "images:load": (8, 9),
    "images:build-new": (7, 8),
    "images:image-detail": (15, 16),
    "images:image-newer": (10, 11),
    "images:image-inspect": (7, 8),
    "images:image-history": (5, 6),
    "images:pin-list": (7, 8),
    "images:pin-add": (7, 8),
    "images:host-list": (7, 8),
    "images:host-add": (5, None),
    "images:host-detail": (15, 16),
    "images:host-edit": (7, None),
    "images:host-remove": (8, None),
    "images:group-list": (7, 8),
    "images:group-add": (5, None),
    "images:group-edit": (8, None),
    "images:group-remove": (7, None),
    "images:job-list": (8, 9),
    "images:job-detail": (10, 11),
    "images:job-log": (6, 7),
    "images:job-notices": (5, 6),
    "images:batch-detail": (5, 6),
    "images:batch-cancel": (5, 6),
    "images:batch-retry": (5, 6),
    "images:team": (13, None),
    "images:user-detail": (17, None),
    "images:user-teams": (7, None),
    "images:team-edit": (8, None),
    "images:grant-add": (8, None),
    "images:registry-list": (6, 6),
    "images:audit-list": (7, 8),
    "cleanup:policy-list": (11, 12),
    "cleanup:policy-add": (7, 8),
    "cleanup:policy-detail": (11, 15),
    "cleanup:policy-edit": (11, 15),
    "cleanup:policy-remove": (6, 10),
    "cleanup:plan-detail": (26, 32),
    "cleanup:plan-part": (11, 12),
    "cleanup:plan-run": (7, 8),
    "cleanup:run-list": (9, 10),
    "cleanup:run-detail": (13, 16),
    "cleanup:run-host": (7, 8),
    "cleanup:run-items": (9, 10),
    "cleanup:run-cancel": (6, 7),
    "cleanup:run-approve": (6, 7),
    "cleanup:pause": (5, None),
    "cleanup:host-runs": (7, 8),
    "cleanup:overview-fragment": (11, 12),  # what was measured and what was not are summed apart
}

NOT_LISTED = {
    "account:login", "account:password", "account:preferences",  # about oneself
    "images:health",
    "images:host-check-result",  # one check
    "images:build-context",  # one upload
    "images:registry-add", "images:registry-edit", "images:registry-remove",
    "images:git-account-add", "images:git-account-edit", "images:git-account-remove",
    "images:user-active", "images:user-password", "images:team-remove", "images:grant-remove",  # one thing each
    "images:user-add", "images:team-add", "images:job-cancel", "images:job-retry", "images:pin-remove",
    "images:reference-remove",
    "cleanup:rule-form", "cleanup:schedule-explain",
}  # fmt: skip
"""Pages that list nothing."""


class World:
    """One of everything; `grow` adds another one, to each thing that can have several."""

    def __init__(self) -> None:
        self.group = HostGroup.objects.create(name="ci")
        self.host = self._host()
        self.base = factories.make_layer(1000)
        self.image = factories.make_image(
            self.base, config={"Env": ["A=1"]}, history=[{"created_by": "ADD", "bytes": 1, "comment": ""}]
        )
        self.copy = factories.make_copy(self.host, "acme/api:1.4", image=self.image, container_count=1)
        self.batch = UUID(BATCH)
        self.job = Job.objects.create(
            kind="remove", host=self.host, batch=self.batch, state="running", created_by=factories.make_user()
        )
        self.person = factories.make_user()
        self.team = factories.grant(self.person, "viewer", self.group).team
        self.registry = Registry.objects.create(name="Docker Hub", prefix="docker.io")
        self.git_account = GitAccount.objects.create(name="acme", prefix="git.example.com")
        self.policy = rows.make_policy(
            hosts=[self.host], groups=[self.group], schedule="0 3 * * *", next_run_at=timezone.now()
        )
        self.plan = rows.make_plan(self.policy, by=self.person)
        self.run = rows.make_run(self.plan, RunState.RUNNING, by=self.person)
        self._take_part(self.host)
        self.grow()

    def _host(self, **fields: Any) -> Host:
        # The same engine behind all of them: each is the other's twin.
        return factories.make_host(groups=(self.group,), engine_id="one engine", **fields)

    def grow(self) -> None:
        number = Host.objects.count()
        group = HostGroup.objects.create(name=f"group {number}")
        host, maker = self._host(state="offline"), factories.make_user()
        host.groups.add(group)
        self._grow_copies(host, maker, number)
        self._grow_jobs(host, maker, number)
        self._grow_people(group, maker, number)
        self._grow_cleanup(host, group, maker)
        Registry.objects.create(name=f"registry {number}", prefix=f"r{number}.example.com", username="robot")
        GitAccount.objects.create(name=f"git {number}", prefix=f"g{number}.example.com", username="robot")
        audit.record(by=maker, action="host.add", target=host, host=host)

    def _grow_copies(self, host: Host, maker: User, number: int) -> None:
        layer = factories.make_layer(10)
        ImageLayer.objects.create(image=self.image, layer=layer, position=number)
        name = f"acme/api:1.4.{number}"
        Reference.objects.create(
            copy=self.copy,
            host=self.host,
            name=name,
            registry="docker.io",
            repository="acme/api",
            tag=name[9:],
        )
        RemoteTag.objects.create(
            name=f"docker.io/{name}", digest=f"sha256:{number:064x}", checked_at=timezone.now()
        )
        Reference.objects.create(
            copy=self.copy,
            host=self.host,
            name=f"acme/api@sha256:{number + 10**6:064x}",
            registry="docker.io",
            repository="acme/api",
            digest=f"sha256:{number + 10**6:064x}",
        )
        for place in (self.host, host):
            other = factories.make_image(self.base, layer, factories.make_layer(7))
            copy = factories.make_copy(place, f"n{number}:1", f"n{number}:latest", image=other)
            factories.make_copy(place)
            Pin.objects.create(image=copy.image, host=place, reason="mine", created_by=maker)
            Pin.objects.create(image=copy.image, reason="everywhere", created_by=maker)
        again = factories.make_copy(host, "acme/api:1.4", image=self.image, container_count=1, is_behind=True)
        Pin.objects.create(image=self.image, host=host, reason="here", created_by=maker)
        for held in (again, self.copy):
            Container.objects.create(
                host=held.host, copy=held, image=self.image, container_id=f"{number:064x}", state="running"
            )

    def _grow_jobs(self, host: Host, maker: User, number: int) -> None:
        for place in (self.host, host):
            Job.objects.create(kind="sync", host=place, batch=self.batch, state="running", created_by=maker)
            Job.objects.create(kind="remove", host=place, state="succeeded", created_by=maker)
        JobItem.objects.create(job=self.job, position=number, copy=self.copy, name=f"item {number}")
        JobLog.objects.create(job=self.job, text="a line\n")

    def _grow_people(self, group: HostGroup, maker: User, number: int) -> None:
        team = Team.objects.create(name=f"team {number}")
        team.members.add(maker, self.person)
        self.team.members.add(maker)
        for holder, slug in ((team, "viewer"), (team, "operator"), (self.team, "operator")):
            Grant.objects.create(team=holder, role=factories.role(slug), group=group)

    def _grow_cleanup(self, host: Host, group: HostGroup, maker: User) -> None:
        PolicyRule.objects.create(
            policy=self.policy, effect="keep", kind="used_within", parameters={"days": 3}
        )
        self.policy.hosts.add(host)
        self._take_part(host)
        for policy in (self.policy, rows.make_policy(hosts=[self.host, host], groups=[self.group, group])):
            for state in (RunState.SUCCEEDED, RunState.WAITING, RunState.RUNNING):
                plan = rows.make_plan(policy, by=maker)
                rows.add_host(plan, self.host)
                rows.make_run(plan, state, by=maker, approved_by=maker)

    def _take_part(self, host: Host) -> None:
        """The host is part of the plan and its run; the first host has one more that failed and one that stays."""
        host_plan = rows.add_host(self.plan, host, removed=2, kept=2)
        job = Job.objects.create(kind="cleanup", host=host, state="running", started_at=timezone.now())
        HostRun.objects.create(run=self.run, host=host, host_plan=host_plan, job=job)
        first = HostPlan.objects.filter(plan=self.plan).order_by("pk")[0]
        place = Item.objects.filter(host_plan=first).count()
        row: dict[str, Any] = {"host_plan": first, "copy": self.copy, "name": "n", "engine_id": f"x{place}"}
        Item.objects.create(position=place, rule_kind="dangling", state="failed", **row)
        Survivor.objects.create(reason_code="not_selected", **row)

    def address(self, page: str) -> str:
        """The page's path, with the query it carries; of an export that is its format."""
        name, _, query = page.partition("?")
        wanted = dict(TABLE[name].arguments) or ({"pk": TABLE[name].of} if TABLE[name].of else {})
        if "format" in wanted:
            wanted, query = {"format": query}, ""
        query = query.replace("COPIES", "&".join(f"copy={pk}" for pk in self.copy_ids()))
        return reverse(name, kwargs={key: self._key(word) for key, word in wanted.items()}) + f"?{query}"

    def pages(self) -> set[str]:
        """Every page that this world has an address for."""
        return {page for page in {*BASELINE, *NOT_LISTED} if self._has_all_of(TABLE[page.partition("?")[0]])}

    def _has_all_of(self, address: Address) -> bool:
        keys = {word for name, word in address.arguments if name == "pk"} or {address.of}
        return all(not word or hasattr(self, word) for word in keys)

    def copy_ids(self) -> list[int]:
        return list(self.image.copies.values_list("pk", flat=True))

    def _key(self, word: str) -> Any:
        return getattr(self, word).pk if hasattr(self, word) else word


@pytest.fixture
def admin() -> User:
    user = factories.make_user("admin")
    factories.grant(user, "admin")
    return user


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def maintainer(world: World) -> User:
    user = factories.make_user("maintainer")
    factories.grant(user, "maintainer", world.group)
    return user


def counts(world: World, user: User) -> dict[str, int | None]:
    """The queries of each page; None where the person may not open it."""
    client, found = Client(), dict[str, int | None]()
    client.force_login(user)
    for page in BASELINE:
        with CaptureQueriesContext(connection) as captured:
            response: Any = client.get(world.address(page))
            b"".join(response.streaming_content if response.streaming else [])
        assert response.status_code in (200, 403), page
        found[page] = len(captured) if response.status_code == 200 else None
    return found


def test_pages_cost_what_they_did_however_much_they_list(world: World, admin: User, maintainer: User) -> None:
    everywhere = {page: count for page, (count, _) in BASELINE.items()}
    of_one_group = {page: count for page, (_, count) in BASELINE.items()}
    assert counts(world, admin) == everywhere
    assert counts(world, maintainer) == of_one_group
    for _ in range(MORE):
        world.grow()
    assert counts(world, admin) == everywhere, "with more of everything"
    assert counts(world, maintainer) == of_one_group, "with more of everything"


def test_every_page_has_a_baseline_or_lists_nothing() -> None:
    pages = {name for name, address in TABLE.items() if "GET" in address.methods}
    measured = {page.partition("?")[0] for page in BASELINE}
    assert measured | NOT_LISTED == pages, "enter it in BASELINE, or in NOT_LISTED if it lists nothing"
    assert not measured & NOT_LISTED


@pytest.mark.parametrize("query", ["q=acme", "q=n", "q=acme+1.4&by=image", "host=HOST&q=api", "group=GROUP"])
def test_filtered_list_costs_the_same_however_much_matches(world: World, admin: User, query: str) -> None:
    """Not in the baseline, because SQLite asks its search index once more than PostgreSQL does."""
    client = Client()
    client.force_login(admin)
    query = query.replace("HOST", str(world.host.pk)).replace("GROUP", str(world.group.pk))

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"{reverse('images:image-list')}?{query}").status_code == 200
        return len(captured)

    before = queries()
    world.grow()
    world.grow()
    assert queries() == before


def test_list_by_host_costs_the_same_for_many_hosts(admin: User) -> None:
    client = Client()
    client.force_login(admin)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("images:image-list"), {"sort": "host"})
        return len(captured)

    factories.make_copy(factories.make_host(), "acme/api:1")
    before = queries()
    for _ in range(MORE):
        factories.make_copy(factories.make_host(), "acme/api:1")
    assert queries() == before
