"""Every address of the project: who may come in, and how. A new one has to be entered in the table below."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from cleanup.models import HostPlan, HostRun, Plan, Policy, Run
from images.models import (
    GitAccount,
    Grant,
    HostGroup,
    Job,
    Permission,
    Pin,
    Registry,
    Role,
    Team,
    Upload,
    User,
)
from tests import factories

pytestmark = pytest.mark.django_db

P = Permission
OPEN = "open"  # without signing in
OWN = "own"  # everybody who is signed in, about themselves
BATCH = "8f14e45f-ceea-467f-a8e2-0d5c6b9d1a11"
SECRET = "zebra-"  # in the name of everything a stranger must not see


@dataclass(frozen=True)
class Address:
    """What one address needs.

    `everywhere`: the permission has to hold on all hosts. `stranger`: what somebody without a grant gets,
    "not found", "forbidden", or "empty" (a page that names nothing they may not see). `data` goes along with
    every request; a word in it, as in `of`, stands for the id of that thing.
    """

    methods: str
    needs: Permission | str = P.VIEW
    suffices: tuple[Permission, ...] = ()  # another one that does as well
    of: str = ""
    stranger: str = ""
    everywhere: bool = False
    data: tuple[tuple[str, str], ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def for_stranger(self) -> str:
        return self.stranger or ("forbidden" if self.everywhere else "not found" if self.of else "empty")


def manage_team(of: str = "", methods: str = "GET POST") -> Address:
    return Address(methods, P.MANAGE_TEAM, of=of, everywhere=True)


TABLE: dict[str, Address] = {
    "account:login": Address("GET POST", OPEN),
    "account:language": Address("POST", OPEN),
    "account:logout": Address("POST", OWN),
    "account:password": Address("GET POST", OWN),
    "account:preferences": Address("GET POST", OWN),
    "images:health": Address("GET", OPEN),
    "images:overview": Address("GET"),
    "images:overview-figures": Address("GET"),
    "images:overview-jobs": Address("GET"),
    "images:overview-space": Address("GET"),
    "images:image-list": Address("GET"),
    "images:image-list-state": Address("GET"),
    "images:image-selection": Address("POST", data=(("copies", "copy"),)),
    "images:image-export": Address("GET", arguments=(("format", "csv"),)),
    "images:image-remove": Address("GET POST", P.REMOVE, data=(("copies", "copy"),), stranger="forbidden"),
    "images:reference-remove": Address(
        "GET POST", P.REMOVE, of="copy", data=(("reference", f"{SECRET}repo:7"), ("seen", f"{SECRET}repo:7"))
    ),
    "images:image-detail": Address("GET POST", of="image"),  # POST shows secrets: see test_image_page.py
    "images:image-inspect": Address("GET", of="image"),
    "images:image-history": Address("GET", of="image"),
    "images:image-newer": Address("GET POST", of="image"),  # POST asks registries: see test_remote_tags.py
    "images:command": Address("GET POST", P.PULL, stranger="forbidden", arguments=(("kind", "pull"),)),
    "images:build-new": Address("GET POST", P.BUILD, stranger="forbidden"),
    "images:build-lint": Address("POST", P.BUILD, stranger="forbidden"),
    "images:build-git-look": Address("POST", P.BUILD, stranger="forbidden"),
    "images:build-context": Address("GET", OWN, of="upload", stranger="not found"),
    "images:load": Address("GET POST", P.PULL, stranger="forbidden"),
    "images:pin-list": Address("GET"),
    "images:pin-add": Address("GET POST", P.REMOVE, of="image", arguments=(("image_pk", "image"),)),
    "images:pin-remove": Address("GET POST", P.REMOVE, of="pin"),
    "images:host-list": Address("GET"),
    "images:host-add": Address("GET POST", P.MANAGE_HOST, everywhere=True),
    "images:host-check-address": Address("POST", P.MANAGE_HOST, everywhere=True),
    "images:host-make-key": Address("POST", P.MANAGE_HOST, everywhere=True),
    "images:host-check-result": Address("GET", OWN, of="check", stranger="not found"),
    "images:host-detail": Address("GET", of="host"),
    "images:host-edit": Address("GET POST", P.MANAGE_HOST, of="host"),
    "images:host-check": Address("POST", P.MANAGE_HOST, of="host"),
    "images:host-switch": Address("POST", P.MANAGE_HOST, of="host"),
    "images:host-refresh": Address("POST", of="host"),
    "images:host-remove": Address("GET POST", P.MANAGE_HOST, of="host"),
    "images:registry-list": Address("GET", P.PULL, suffices=(P.PUSH, P.MANAGE_HOST), stranger="forbidden"),
    "images:registry-add": Address("GET POST", P.MANAGE_HOST, everywhere=True),
    "images:registry-edit": Address("GET POST", P.MANAGE_HOST, of="registry", everywhere=True),
    "images:registry-remove": Address("GET POST", P.MANAGE_HOST, of="registry", everywhere=True),
    "images:registry-try": Address("POST", P.MANAGE_HOST, of="registry", everywhere=True),
    "images:git-account-add": Address("GET POST", P.MANAGE_HOST, everywhere=True),
    "images:git-account-edit": Address("GET POST", P.MANAGE_HOST, of="git_account", everywhere=True),
    "images:git-account-remove": Address("GET POST", P.MANAGE_HOST, of="git_account", everywhere=True),
    "images:group-list": Address("GET"),
    "images:group-add": Address("GET POST", P.MANAGE_HOST, everywhere=True),
    "images:group-edit": Address(
        "GET POST", P.MANAGE_HOST, of="group", everywhere=True, stranger="not found"
    ),
    "images:group-remove": Address(
        "GET POST", P.MANAGE_HOST, of="group", everywhere=True, stranger="not found"
    ),
    "images:job-list": Address("GET"),
    "images:job-detail": Address("GET", of="job"),
    "images:job-cancel": Address("GET POST", P.REMOVE, of="job"),
    "images:job-retry": Address("GET POST", P.REMOVE, of="job"),
    "images:job-log": Address("GET", of="job"),
    "images:job-notices": Address("GET"),
    "images:batch-detail": Address("GET", arguments=(("key", BATCH),), stranger="not found"),
    "images:batch-cancel": Address("GET POST", P.REMOVE, arguments=(("key", BATCH),), stranger="not found"),
    "images:batch-retry": Address("GET POST", P.REMOVE, arguments=(("key", BATCH),), stranger="not found"),
    "images:team": manage_team(methods="GET"),
    "images:user-add": manage_team(),
    "images:user-detail": manage_team("person", "GET"),
    "images:user-active": manage_team("person"),
    "images:user-password": manage_team("person"),
    "images:user-teams": manage_team("person"),
    "images:team-add": manage_team(),
    "images:team-edit": manage_team("team"),
    "images:team-remove": manage_team("team"),
    "images:grant-add": manage_team("team"),
    "images:grant-remove": manage_team("grant"),
    "images:audit-list": Address("GET"),
    "cleanup:policy-list": Address("GET"),
    "cleanup:policy-add": Address("GET POST", P.EDIT_POLICIES, stranger="forbidden"),
    "cleanup:rule-form": Address(
        "GET", P.EDIT_POLICIES, stranger="forbidden", arguments=(("kind", "dangling"),)
    ),
    "cleanup:schedule-explain": Address("GET", P.EDIT_POLICIES, stranger="forbidden"),
    "cleanup:policy-detail": Address("GET", of="policy"),
    "cleanup:policy-edit": Address("GET POST", P.EDIT_POLICIES, of="policy"),
    "cleanup:policy-switch": Address("POST", P.EDIT_POLICIES, of="policy"),
    "cleanup:policy-remove": Address("GET POST", P.EDIT_POLICIES, of="policy"),
    "cleanup:plan-make": Address("POST", P.RUN_CLEANUP, suffices=(P.EDIT_POLICIES,), of="policy"),
    "cleanup:plan-detail": Address("GET", of="plan"),
    "cleanup:plan-part": Address(
        "GET", of="plan", arguments=(("pk", "plan"), ("host_pk", "host"), ("part", "removed"))
    ),
    "cleanup:plan-seen": Address("POST", P.RUN_CLEANUP, of="plan"),
    "cleanup:plan-run": Address("GET POST", P.RUN_CLEANUP, of="plan"),
    "cleanup:run-list": Address("GET"),
    "cleanup:run-detail": Address("GET", of="run"),
    "cleanup:run-host": Address("GET", of="run", arguments=(("pk", "run"), ("host_pk", "host"))),
    "cleanup:run-items": Address("GET", of="run", arguments=(("pk", "run"), ("host_pk", "host"))),
    "cleanup:run-cancel": Address("GET POST", P.RUN_CLEANUP, of="run"),
    "cleanup:run-approve": Address("GET POST", P.RUN_CLEANUP, of="run"),
    "cleanup:pause": Address("GET POST", P.RUN_CLEANUP, everywhere=True),
    "cleanup:host-runs": Address("GET", of="host"),
    "cleanup:host-prune": Address(
        "POST", P.RUN_CLEANUP, of="host", arguments=(("pk", "host"), ("kind", "unused"))
    ),
    "cleanup:overview-fragment": Address("GET"),
}
METHODS = ("get", "post", "put", "patch", "delete")


def names(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from names(entry, f"{prefix}{entry.namespace}:" if entry.namespace else prefix)
        elif isinstance(entry, URLPattern):
            yield f"{prefix}{entry.name}"


def test_every_address_is_in_the_table() -> None:
    found = list(names())
    assert len(found) == len(set(found)), "two addresses share a name"
    assert set(found) == set(TABLE)


class World:
    """One of everything, in a group of its own."""

    def __init__(self) -> None:
        self.group = HostGroup.objects.create(name=f"{SECRET}group")
        self.host = factories.make_host(f"{SECRET}host", groups=(self.group,))
        self.copy = factories.make_copy(self.host, f"{SECRET}repo:7")
        self.image = self.copy.image
        self.job = Job.objects.create(kind="remove", host=self.host, state="running", batch=BATCH)
        self.pin = Pin.objects.create(image=self.image, host=self.host, reason=f"{SECRET}reason")
        self.person = factories.make_user(f"{SECRET}person")
        self.grant = factories.grant(self.person, "viewer", self.group)
        self.team = self.grant.team
        self.policy = Policy.objects.create(name=f"{SECRET}policy")
        self.policy.groups.add(self.group)
        self.plan = Plan.objects.create(
            policy=self.policy, policy_revision=1, state="ready", made_at=timezone.now(),
            expires_at=timezone.now() + timedelta(hours=1),
        )  # fmt: skip
        self.run = Run.objects.create(policy=self.policy, plan=self.plan, state="running")
        HostRun.objects.create(
            run=self.run, host=self.host, host_plan=HostPlan.objects.create(plan=self.plan, host=self.host)
        )
        self.check = make_check(self.person)
        self.upload = Upload.objects.create(created_by=self.person, name=f"{SECRET}upload")
        self.registry = Registry.objects.create(name=f"{SECRET}registry", prefix="registry.example.com")
        self.git_account = GitAccount.objects.create(name=f"{SECRET}git", prefix="git.example.com")

    def url(self, name: str) -> str:
        address = TABLE[name]
        arguments: dict[str, Any] = {key: self.value(word) for key, word in address.arguments}
        if address.of and not any(key.endswith("pk") for key in arguments):
            arguments["pk"] = self.value(address.of)
        return reverse(name, kwargs=arguments)

    def value(self, word: str) -> Any:
        return getattr(self, word).pk if hasattr(self, word) else word

    def ask(self, client: Client, name: str, method: str) -> Any:
        data = {key: self.value(word) for key, word in TABLE[name].data}
        if method in ("get", "post"):
            return getattr(client, method)(self.url(name), data)
        return getattr(client, method)(self.url(name))


def make_check(person: User) -> Any:
    from images.models import HostCheck

    return HostCheck.objects.create(created_by=person, address="unix:///run/docker.sock")


@pytest.fixture
def world() -> World:
    return World()


def text_of(response: Any) -> str:
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode()


def signed_in(*roles: str, group: HostGroup | None = None) -> Client:
    user = factories.make_user()
    for slug in roles:
        factories.grant(user, slug, group)
    client = Client()
    client.force_login(user)
    return client


GUARDED = [name for name, address in TABLE.items() if address.needs != OPEN]
ALL = list(TABLE)


@pytest.mark.parametrize("name", GUARDED)
def test_logged_out_is_sent_to_sign_in(world: World, name: str) -> None:
    for method in TABLE[name].methods.lower().split():
        response = world.ask(Client(), name, method)
        assert response.status_code == 302, method
        assert response.headers["Location"].startswith("/account/login/?next="), method


@pytest.mark.parametrize("name", ALL)
def test_wrong_method_is_405(world: World, name: str) -> None:
    client = Client()
    client.force_login(factories.make_admin())
    allowed = TABLE[name].methods.lower().split()
    for method in METHODS:
        if method not in allowed:
            assert world.ask(client, name, method).status_code == 405, method


@pytest.mark.parametrize(
    "name", [name for name, address in TABLE.items() if address.needs not in (OPEN, OWN) or address.of]
)
def test_stranger_learns_nothing(world: World, name: str) -> None:
    client = signed_in()
    for method in TABLE[name].methods.lower().split():
        response = world.ask(client, name, method)
        expected = TABLE[name].for_stranger
        if expected == "empty":
            assert response.status_code == 200, method
            assert SECRET not in text_of(response), method
        else:
            assert response.status_code == {"not found": 404, "forbidden": 403}[expected], method
            assert SECRET not in text_of(response), method


@pytest.mark.parametrize("name", [n for n, a in TABLE.items() if a.needs not in (OPEN, OWN, P.VIEW)])
def test_who_may_only_view_is_forbidden(world: World, name: str) -> None:
    client = signed_in("viewer")
    for method in TABLE[name].methods.lower().split():
        assert world.ask(client, name, method).status_code == 403, method


@pytest.mark.parametrize("name", [n for n, a in TABLE.items() if a.needs not in (OPEN, OWN, P.VIEW)])
def test_every_other_permission_does_not_do(world: World, name: str) -> None:
    """Which permission an address asks for: whoever has all but that one is turned away."""
    enough = {TABLE[name].needs, *TABLE[name].suffices}
    others = [str(permission) for permission in P if permission not in enough]
    role = Role.objects.create(slug="all-but-one", name="All but one", permissions=others)
    user = factories.make_user()
    team = Team.objects.create(name="others")
    team.members.add(user)
    Grant.objects.create(team=team, role=role)
    client = Client()
    client.force_login(user)
    for method in TABLE[name].methods.lower().split():
        assert world.ask(client, name, method).status_code == 403, method


@pytest.mark.parametrize("name", [n for n, a in TABLE.items() if a.everywhere])
def test_admin_of_one_group_may_not_do_what_concerns_all_hosts(world: World, name: str) -> None:
    client = signed_in("admin", group=world.group)
    for method in TABLE[name].methods.lower().split():
        assert world.ask(client, name, method).status_code == 403, method


@pytest.mark.parametrize("name", [n for n, a in TABLE.items() if a.needs == P.VIEW and "GET" in a.methods])
def test_viewer_of_the_group_sees_it(world: World, name: str) -> None:
    assert world.ask(signed_in("viewer", group=world.group), name, "get").status_code == 200


@pytest.mark.parametrize(
    "name", [n for n, a in TABLE.items() if "GET" in a.methods and a.needs not in (OPEN, OWN)]
)
def test_admin_sees_every_page(world: World, name: str) -> None:
    assert world.ask(signed_in("admin"), name, "get").status_code == 200


@pytest.mark.parametrize("path", ["/account/login/", "/", "/images/", "/hosts/4711/", "/nowhere/"])
def test_every_answer_says_what_a_page_may_load(world: World, path: str) -> None:
    policy = signed_in("admin").get(path).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy or "default-src 'none'" in policy
    assert "unsafe" not in policy
