"""The dialogs of tagging and pushing: what they offer, to whom, and what they ask before a name changes hands."""

import pytest
from django.test import Client

from images.models import Copy, Host, HostGroup, Job, Registry, User
from tests import factories
from tests.images.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def copy(host: Host) -> Copy:
    return factories.make_copy(host, "shop/api:1", "registry.example.com/shop/api:1")


@pytest.fixture
def operator(client: Client, group: HostGroup) -> User:
    user = factories.make_user("ada")
    factories.grant(user, "operator", group)
    client.force_login(user)
    return user


@pytest.mark.parametrize("kind", ["tag", "push"])
class TestWho:
    def test_copy_that_one_does_not_see_is_not_there(
        self, kind: str, client: Client, operator: User, copy: Copy
    ) -> None:
        hidden = factories.make_copy(factories.make_host(), "secret/api:1")
        assert client.get(f"/commands/{kind}/?copy={hidden.pk}").status_code == 404
        data = {"copy": hidden.pk, "reference": "secret/api:1", "hosts": hidden.host_id}
        assert client.post(f"/commands/{kind}/", data).status_code == 404

    def test_who_may_only_look_there_is_refused(self, kind: str, client: Client, operator: User) -> None:
        other = HostGroup.objects.create(name="other")
        factories.grant(operator, "viewer", other)
        seen = factories.make_copy(factories.make_host(groups=(other,)), "seen/api:1")
        assert client.get(f"/commands/{kind}/?copy={seen.pk}").status_code == 403

    def test_only_hosts_that_hold_it_and_where_one_may_are_offered(
        self, kind: str, client: Client, operator: User, copy: Copy, group: HostGroup
    ) -> None:
        factories.make_copy(factories.make_host("holder", groups=(group,)), "shop/api:1", image=copy.image)
        factories.make_copy(factories.make_host("zebra-foreign"), "shop/api:1", image=copy.image)
        factories.make_host("zebra-without", groups=(group,))
        text = text_of(client, f"/commands/{kind}/?copy={copy.pk}")
        assert "ci-1" in text
        assert "holder" in text
        assert "zebra-" not in text

    @pytest.mark.parametrize("asked", ["", "?copy=", "?copy=x", "?copy=99999999999999999999", "?copy=-1"])
    def test_without_a_copy_there_is_nothing(
        self, kind: str, client: Client, operator: User, copy: Copy, asked: str
    ) -> None:
        assert client.get(f"/commands/{kind}/{asked}").status_code == 404


class TestTag:
    def post(self, client: Client, copy: Copy, **fields: object) -> str:
        data = {"copy": copy.pk, "hosts": copy.host_id, **fields}
        response = client.post(f"/commands/tag/?copy={copy.pk}", data)
        return "started" if response.status_code == 302 else response.content.decode()

    def test_host_that_was_switched_off_meanwhile_is_said_in_words(
        self, client: Client, operator: User, copy: Copy
    ) -> None:
        Host.objects.update(is_enabled=False)
        page = self.post(client, copy, reference="shop/api:2")
        assert "was removed or switched off meanwhile" in page
        assert "not one of the available choices" not in page
        assert not Job.objects.exists()

    def test_known_registries_are_suggested(self, client: Client, operator: User, copy: Copy) -> None:
        Registry.objects.create(name="a", prefix="registry.example.com")
        Registry.objects.create(name="b", prefix="ghcr.io/acme")
        text = text_of(client, f"/commands/tag/?copy={copy.pk}")
        assert '<option value="registry.example.com/shop/api:1">' not in text, "it has that name"
        assert '<option value="ghcr.io/acme/api:1">' in text

    def test_job_is_started_for_this_image(self, client: Client, operator: User, copy: Copy) -> None:
        assert self.post(client, copy, reference="shop/api:stable") == "started"
        job = Job.objects.get()
        assert (job.kind, job.subject) == ("tag", "shop/api:stable")
        assert job.parameters["engine_id"] == copy.engine_id
        assert job.parameters["take_from"] == []

    def test_digest_is_no_name(self, client: Client, operator: User, copy: Copy) -> None:
        text = self.post(client, copy, reference="shop/api@sha256:" + "a" * 64)
        assert "A digest can not be given" in text

    def test_name_of_another_image_is_taken_only_after_a_question(
        self, client: Client, operator: User, copy: Copy
    ) -> None:
        other = factories.make_copy(copy.host, "shop/api:2")
        text = self.post(client, copy, reference="shop/api:2")
        assert f"ci-1: {other.short_id}" in text
        value = f"shop/api:2 {other.pk}"
        assert f'value="{value}"' in text
        assert not Job.objects.exists()
        assert self.post(client, copy, reference="shop/api:2", take_over=value) == "started"
        assert Job.objects.get().parameters["take_from"] == [other.engine_id]

    def test_answer_to_one_question_is_none_to_another(
        self, client: Client, operator: User, copy: Copy
    ) -> None:
        for tag in ("2", "3"):
            factories.make_copy(copy.host, f"shop/api:{tag}")
        other = Copy.objects.get(tag="2")
        text = self.post(client, copy, reference="shop/api:3", take_over=f"shop/api:2 {other.pk}")
        assert "belongs to another image" in text
        assert " checked" not in text.split("id_command_take_over")[0].rsplit("<input", 1)[1]
        assert not Job.objects.exists()

    @pytest.mark.parametrize("written", ["docker.io/library/redis:7", "redis:7", "docker.io/redis:7"])
    def test_name_is_known_however_it_is_written(
        self, client: Client, operator: User, copy: Copy, written: str
    ) -> None:
        factories.make_copy(copy.host, "redis:7")
        assert "belongs to another image" in self.post(client, copy, reference=written)

    def test_own_name_needs_no_question(self, client: Client, operator: User, copy: Copy) -> None:
        assert self.post(client, copy, reference="shop/api:1") == "started"


class TestPush:
    def test_names_are_offered_with_their_account(self, client: Client, operator: User, copy: Copy) -> None:
        Registry.objects.create(name="Ours", prefix="registry.example.com", username="robot", password="x")
        text = text_of(client, f"/commands/push/?copy={copy.pk}")
        assert "registry.example.com/shop/api:1, with the account Ours" in text
        assert "shop/api:1, without an account" in text
        chosen = text.split("checked")[0].rsplit("<input", 1)[1]
        assert 'value="registry.example.com/shop/api:1"' in chosen

    def test_job_is_started(self, client: Client, operator: User, copy: Copy) -> None:
        data = {"copy": copy.pk, "hosts": copy.host_id, "reference": "registry.example.com/shop/api:1"}
        assert client.post(f"/commands/push/?copy={copy.pk}", data).status_code == 302
        job = Job.objects.get()
        assert (job.kind, job.subject) == ("push", "registry.example.com/shop/api:1")
        assert "password" not in str(job.parameters)

    def test_host_without_that_name_is_refused(
        self, client: Client, operator: User, copy: Copy, group: HostGroup
    ) -> None:
        other = factories.make_host("other", groups=(group,))
        factories.make_copy(other, "renamed:1", image=copy.image)
        data = {"copy": copy.pk, "hosts": [copy.host_id, other.pk], "reference": "shop/api:1"}
        text = client.post(f"/commands/push/?copy={copy.pk}", data).content.decode()
        assert "There it does not have this name: other." in text

    def test_name_that_it_does_not_have_is_refused(self, client: Client, operator: User, copy: Copy) -> None:
        data = {"copy": copy.pk, "hosts": copy.host_id, "reference": "other/api:1"}
        assert client.post(f"/commands/push/?copy={copy.pk}", data).status_code == 200
        assert not Job.objects.exists()


class TestButtons:
    def test_menu_offers_what_one_may(self, client: Client, operator: User, copy: Copy) -> None:
        text = text_of(client, f"/images/{copy.image_id}/")
        for kind in ("tag", "push"):
            assert f"/commands/{kind}/?copy={copy.pk}" in text
        assert "/commands/pull/?reference=" in text

    def test_menu_is_not_for_who_may_only_look(self, client: Client, copy: Copy, group: HostGroup) -> None:
        user = factories.make_user()
        factories.grant(user, "viewer", group)
        client.force_login(user)
        for url in (f"/images/{copy.image_id}/", "/images/", f"/hosts/{copy.host_id}/"):
            assert "/commands/" not in text_of(client, url)

    def test_pull_is_offered_on_the_list_and_on_a_host(
        self, client: Client, operator: User, copy: Copy
    ) -> None:
        assert "/commands/pull/" in text_of(client, "/images/")
        assert f"/commands/pull/?host={copy.host_id}" in text_of(client, f"/hosts/{copy.host_id}/")

    def test_result_is_on_the_jobs_page(self, client: Client, operator: User, copy: Copy) -> None:
        result = {
            "image": copy.image_id, "digest": "sha256:" + "a" * 64, "account": "", "references": ["shop/api:1"],
            "replaced": "sha256:" + "b" * 64, "was_here": False,
        }  # fmt: skip
        job = Job.objects.create(
            kind="pull", host=copy.host, state="succeeded", subject="shop/api:1", result=result
        )
        text = text_of(client, f"/jobs/{job.pk}/")
        assert "sha256:" + "a" * 64 in text
        assert "without signing in" in text
        assert f"belonged to {'b' * 12} before" in text
        assert f"/images/{copy.image_id}/" in text
        Job.objects.update(
            result={"moved": {"shop/api:3": "sha256:" + "c" * 64}, "accounts": {"shop/base:1": "Ours"}}
        )
        text = text_of(client, f"/jobs/{job.pk}/")
        assert f"shop/api:3 belonged to {'c' * 12} before" in text
        assert "shop/base:1</span>: Ours" in text
