"""The pages of hosts: what they show, what the form takes, what nobody gets through it."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from images import addresses
from images.models import Host, HostCheck, HostGroup, HostState, Job, JobState, Role, User
from tests import factories
from tests.images.pages import text_of

pytestmark = pytest.mark.django_db

# Of a curve with 112 bits (`openssl ecparam -name secp112r1 -genkey -noout`), which cryptography does not know.
ODD_KEY = """-----BEGIN EC PRIVATE KEY-----
MD4CAQEEDm+y4nUW5h6tx/grVsWQoAcGBSuBBAAGoSADHgAEqrcIu76K05lqfzIC
xc8Ts/ThHl8WvJmK5sMtbQ==
-----END EC PRIVATE KEY-----
"""


def pems() -> tuple[str, str]:
    """A certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = timezone.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    return certificate.public_bytes(encoding).decode(), private.decode()


@pytest.fixture
def group_admin(client: Client, group: HostGroup) -> User:
    """Manages the hosts of one group only."""
    user = factories.make_user("ada")
    factories.grant(user, "admin", group)
    client.force_login(user)
    return user


class TestList:
    def test_fresh_install_asks_for_the_first_host(self, client: Client, admin: User) -> None:
        assert "Add your first host" in text_of(client, "/hosts/")

    def test_filters_leave_what_fits(self, client: Client, admin: User, group: HostGroup) -> None:
        factories.make_host("runner", groups=(group,), state=HostState.OFFLINE)
        factories.make_host("database")
        for query in ("?q=UNNER", "?state=offline", f"?group={group.pk}"):
            page = text_of(client, f"/hosts/{query}")
            assert "runner" in page
            assert "database" not in page
        assert "No host fits these filters" in text_of(client, "/hosts/?q=nothing")

    def test_only_hosts_and_groups_one_may_see(
        self, client: Client, group_admin: User, group: HostGroup
    ) -> None:
        other = HostGroup.objects.create(name="other-group")
        factories.make_host("runner", groups=(group, other))
        factories.make_host("database")
        page = text_of(client, "/hosts/")
        assert "runner" in page
        assert "database" not in page
        assert "other-group" not in page

    def test_host_that_is_down_is_shown_as_such(self, client: Client, admin: User) -> None:
        factories.make_host(state=HostState.OFFLINE, state_since=timezone.now() - timedelta(minutes=12))
        page = text_of(client, "/hosts/")
        assert "Offline" in page
        assert "12 min ago" in page

    def test_it_says_how_fresh_each_picture_is(self, client: Client, admin: User) -> None:
        factories.make_host("runner", synced_at=timezone.now() - timedelta(minutes=7))
        factories.make_host("never", synced_at=None)
        page = text_of(client, "/hosts/")
        assert "7 min ago" in page
        assert "not yet" in page

    def test_podman_is_named(self, client: Client, admin: User) -> None:
        factories.make_host(engine_kind="podman", engine_version="5.8.6")
        assert "Podman 5.8.6" in text_of(client, "/hosts/")

    def test_same_queries_for_many_hosts(
        self, client: Client, admin: User, group: HostGroup, django_assert_max_num_queries: object
    ) -> None:
        for _ in range(20):
            factories.make_host(groups=(group,))
        with django_assert_max_num_queries(5):  # type: ignore[operator]
            client.get("/hosts/")

    def test_live_update_gets_the_table_only(self, client: Client, admin: User) -> None:
        factories.make_host("runner")
        page = text_of(client, "/hosts/", **{"HX-Request": "true"})
        assert "runner" in page
        assert "<html" not in page


class TestAddress:
    @pytest.mark.parametrize(
        ("written", "kept"),
        [
            ("/run/docker.sock", "unix:///run/docker.sock"),
            (" unix:///run/docker.sock ", "unix:///run/docker.sock"),
        ],
    )
    def test_socket(self, written: str, kept: str) -> None:
        assert addresses.socket_address(written) == kept

    @pytest.mark.parametrize("written", ["", "docker.sock", "unix://run", "tcp://a:1", "/run/", "/a\0b"])
    def test_not_a_socket(self, written: str) -> None:
        with pytest.raises(ValueError):
            addresses.socket_address(written)

    @pytest.mark.parametrize(
        ("written", "use_tls", "kept"),
        [
            ("10.0.0.5", False, "tcp://10.0.0.5:2375"),
            ("10.0.0.5", True, "tcp://10.0.0.5:2376"),
            ("tcp://docker.example.org:99/", True, "tcp://docker.example.org:99"),
            ("https://docker_1.example.org:2376", True, "tcp://docker_1.example.org:2376"),
            ("[2001:db8::1]:2375", False, "tcp://[2001:db8::1]:2375"),
            ("[2001:db8::1]", True, "tcp://[2001:db8::1]:2376"),
        ],
    )
    def test_network(self, written: str, use_tls: bool, kept: str) -> None:
        assert addresses.network_address(written, use_tls=use_tls) == kept

    @pytest.mark.parametrize(
        "written",
        ["", "a b", "a:b", "a:0", "a:70000", "user@host", "a/b", "unix:///x", "2001:db8::1:x", "a:²"],
    )
    def test_not_a_network_address(self, written: str) -> None:
        with pytest.raises(ValueError):
            addresses.network_address(written, use_tls=False)


class TestAdding:
    def test_socket_is_the_default(self, client: Client, admin: User, group: HostGroup) -> None:
        values = {"name": "local", "kind": "unix", "address": "", "groups": [group.pk], "image_budget": "1.5"}
        values |= {"most_transfers": "7", "most_builds": ""}
        assert client.post("/hosts/add/", values).status_code == 302
        host = Host.objects.get()
        assert (host.address, host.image_budget_bytes) == (addresses.SOCKET, 1_500_000_000)
        assert (host.most_transfers, host.most_builds, host.most_removals) == (7, 1, 1)
        assert list(host.groups.all()) == [group]

    def test_pasted_and_uploaded_certificates_are_kept_and_the_key_encrypted(
        self, client: Client, admin: User
    ) -> None:
        certificate, key = pems()
        values = {
            "name": "far", "kind": "tls", "address": "10.0.0.5",
            "tls_ca": certificate, "tls_certificate": certificate,
            "tls_key_file": SimpleUploadedFile("key.pem", key.encode()),
        }  # fmt: skip
        assert client.post("/hosts/add/", values).status_code == 302
        host = Host.objects.get()
        assert host.use_tls
        assert host.tls_key.strip() == key.strip()
        with connection.cursor() as cursor:
            cursor.execute("SELECT tls_key FROM images_host")
            stored = str(cursor.fetchone()[0])
        assert len(stored) > len(key)
        assert "PRIVATE" not in stored

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"tls_certificate": "nonsense"}, "This is not a certificate in PEM form"),
            ({"tls_key": "nonsense"}, "This is not a private key in PEM form"),
            ({"tls_key": ODD_KEY}, "This kind of key is not supported."),
            ({"tls_key": ""}, "A client certificate and its key come together"),
            ({"tls_key": "other"}, "This key does not belong to the client certificate"),
            ({"tls_ca": "", "tls_certificate": "", "tls_key": ""}, "Paste the certificates"),
            ({"address": "not an address"}, "Write a name or an IP address"),
            ({"name": "TAKEN"}, "There is a host of this name already"),
        ],
    )
    def test_form_says_beside_the_field_what_is_wrong(
        self, client: Client, admin: User, change: dict[str, str], says: str
    ) -> None:
        factories.make_host("taken")
        certificate, key = pems()
        values = {
            "name": "far", "kind": "tls", "address": "10.0.0.5",
            "tls_ca": certificate, "tls_certificate": certificate,
            "tls_key": key,
        } | change  # fmt: skip
        if values["tls_key"] == "other":
            values["tls_key"] = pems()[1]
        assert says in client.post("/hosts/add/", values).content.decode()
        assert Host.objects.count() == 1

    def test_key_is_not_sent_back_with_an_error(self, client: Client, admin: User) -> None:
        certificate, key = pems()
        values = {
            "name": "",
            "kind": "tls",
            "address": "10.0.0.5",
            "tls_certificate": certificate,
            "tls_key": key,
        }
        page = client.post("/hosts/add/", values).content.decode()
        assert "PRIVATE KEY" not in page

    def test_admin_of_one_group_may_not_add_hosts(self, client: Client, group_admin: User) -> None:
        assert client.post("/hosts/add/", {"name": "x", "kind": "unix"}).status_code == 403


class TestEditing:
    def test_stored_key_is_not_shown_and_stays_when_left_empty(self, client: Client, admin: User) -> None:
        certificate, key = pems()
        host = factories.make_host(
            "far",
            address="tcp://10.0.0.5:2376",
            use_tls=True,
            tls_ca=certificate,
            tls_certificate=certificate,
            tls_key=key,
        )
        page = text_of(client, f"/hosts/{host.pk}/edit/")
        assert "A key is stored. Leave this empty to keep it." in page
        assert key.splitlines()[1] not in page
        values = {
            "name": "renamed", "kind": "tls", "address": "10.0.0.5:2376", "tls_ca": certificate,
            "tls_certificate": certificate,
        }  # fmt: skip
        assert client.post(f"/hosts/{host.pk}/edit/", values).status_code == 302
        host.refresh_from_db()
        assert (host.name, host.tls_key.strip()) == ("renamed", key.strip())

    def test_leaving_tls_forgets_the_key(self, client: Client, admin: User) -> None:
        certificate, key = pems()
        host = factories.make_host(
            address="tcp://10.0.0.5:2376", use_tls=True, tls_certificate=certificate, tls_key=key
        )
        client.post(f"/hosts/{host.pk}/edit/", {"name": "x", "kind": "tcp", "address": "10.0.0.5:2375"})
        host.refresh_from_db()
        assert (host.use_tls, host.tls_key, host.tls_certificate) == (False, "", "")

    def test_admin_of_one_group_does_not_point_a_host_elsewhere(
        self, client: Client, group_admin: User, group: HostGroup
    ) -> None:
        """Another address is another engine, such as the socket of Drydock's own machine."""
        host = factories.make_host("runner", groups=(group,), address="tcp://10.0.0.5:2375")
        values = {"name": "renamed", "kind": "unix", "address": "/var/run/docker.sock", "groups": [group.pk]}
        assert client.post(f"/hosts/{host.pk}/edit/", values).status_code == 302
        host.refresh_from_db()
        assert (host.name, host.address) == ("renamed", "tcp://10.0.0.5:2375")

    def test_admin_of_one_group_does_not_move_a_host_into_another(
        self, client: Client, group_admin: User, group: HostGroup
    ) -> None:
        other = HostGroup.objects.create(name="production")
        host = factories.make_host("runner", groups=(group,))
        values = {"name": "runner", "kind": "unix", "address": host.address, "groups": [group.pk, other.pk]}
        client.post(f"/hosts/{host.pk}/edit/", values)
        assert list(host.groups.all()) == [group]

    def test_groups_one_has_no_say_about_stay(
        self, client: Client, group_admin: User, group: HostGroup
    ) -> None:
        other = HostGroup.objects.create(name="production")
        host = factories.make_host("runner", groups=(group, other))
        values = {"name": "renamed", "kind": "unix", "address": host.address, "groups": [group.pk]}
        assert client.post(f"/hosts/{host.pk}/edit/", values).status_code == 302
        assert set(host.groups.all()) == {group, other}

    def test_nobody_gains_a_permission_by_moving_a_host(
        self, client: Client, group_admin: User, group: HostGroup
    ) -> None:
        lesser = HostGroup.objects.create(name="lesser")
        keeper = Role.objects.create(slug="keeper", name="Keeper", permissions=["view", "manage_host"])
        group_admin.teams.get().grants.create(role=keeper, group=lesser)
        host = factories.make_host("runner", groups=(lesser,))
        values = {"name": "runner", "kind": "unix", "address": host.address, "groups": [lesser.pk, group.pk]}
        page = client.post(f"/hosts/{host.pk}/edit/", values).content.decode()
        assert "You may not move this host" in page
        assert list(host.groups.all()) == [lesser]


class TestChecking:
    def test_check_before_saving_is_asked_of_a_worker_and_polled(self, client: Client, admin: User) -> None:
        page = client.post("/hosts/check/", {"kind": "tcp", "address": "10.0.0.5"}).content.decode()
        check = HostCheck.objects.get()
        assert check.address == "tcp://10.0.0.5:2375"
        assert f"/hosts/checks/{check.pk}/" in page

    def test_check_needs_no_name_but_a_sensible_address(self, client: Client, admin: User) -> None:
        page = client.post("/hosts/check/", {"kind": "tcp", "address": ""}).content.decode()
        assert "Write a name or an IP address" in page
        assert not HostCheck.objects.exists()

    def test_failed_check_says_what_is_wrong(self, client: Client, admin: User) -> None:
        check = HostCheck.objects.create(
            created_by=admin, address="tcp://a:1", state="failed", error_code="host_refused",
            error_values={"address": "tcp://a:1"}, error_raw="raw words",
        )  # fmt: skip
        page = text_of(client, f"/hosts/checks/{check.pk}/")
        assert "Nothing answers at tcp://a:1" in page
        assert "raw words" in page

    def test_reached_engine_is_named_and_its_twin_and_missing_tls_are_warned_of(
        self, client: Client, admin: User
    ) -> None:
        factories.make_host("the-twin", engine_id="SAME")
        result = {"engine_id": "SAME", "engine_kind": "docker", "engine_version": "28.5.2"}
        check = HostCheck.objects.create(
            created_by=admin, address="tcp://a:1", state="reached", result=result
        )
        page = text_of(client, f"/hosts/checks/{check.pk}/")
        assert "Docker 28.5.2 answers" in page
        assert "the-twin" in page
        assert "without TLS" in page

    def test_host_is_not_its_own_twin(self, client: Client, admin: User) -> None:
        host = factories.make_host("runner", engine_id="SAME")
        check = HostCheck.objects.create(
            created_by=admin, address=host.address, state="reached", result={"engine_id": "SAME"}
        )
        assert "registered already" not in text_of(client, f"/hosts/checks/{check.pk}/?host={host.pk}")

    def test_check_of_somebody_else_is_not_found(self, client: Client, admin: User) -> None:
        check = HostCheck.objects.create(created_by=factories.make_user(), address="tcp://a:1")
        assert client.get(f"/hosts/checks/{check.pk}/").status_code == 404

    def test_admin_of_one_group_checks_only_the_address_that_is_stored(
        self, client: Client, group_admin: User, group: HostGroup
    ) -> None:
        host = factories.make_host("runner", groups=(group,), address="tcp://10.0.0.5:2375")
        assert client.post("/hosts/check/", {"kind": "tcp", "address": "10.9.9.9"}).status_code == 403
        client.post(f"/hosts/check/?host={host.pk}", {"kind": "tcp", "address": "10.9.9.9"})
        assert HostCheck.objects.get().address == host.address

    def test_saved_host_is_checked(self, client: Client, admin: User) -> None:
        host = factories.make_host()
        client.post(f"/hosts/{host.pk}/check/")
        assert HostCheck.objects.get().address == host.address


class TestPage:
    def test_it_says_what_is_known_of_the_engine(self, client: Client, admin: User) -> None:
        host = factories.make_host(
            "runner", engine_version="28.5.2", api_version="1.51", storage_driver="overlay2", image_count=7,
            root_directory="/var/lib/docker", registry_mirrors=["https://mirror.example.org/"],
            shared_bytes=2_000_000, operating_system="Debian", total_bytes=3_000_000, unused_bytes=1_000_000,
        )  # fmt: skip
        page = text_of(client, f"/hosts/{host.pk}/")
        for part in ("Docker 28.5.2", "1.51", "overlay2", "/var/lib/docker", "https://mirror.example.org/",
                     "Debian", "3.00 MB", "2.00 MB", "1.00 MB", "graph driver"):  # fmt: skip
            assert part in page

    def test_host_that_is_down_says_since_when_and_why(self, client: Client, admin: User) -> None:
        host = factories.make_host(
            state=HostState.OFFLINE, state_since=timezone.now() - timedelta(hours=3),
            error_code="host_refused", error_values={"address": "tcp://a:1"}, error_raw="raw words",
        )  # fmt: skip
        page = text_of(client, f"/hosts/{host.pk}/")
        for part in ("This host went offline", "3 h ago", "Nothing answers at tcp://a:1", "raw words"):
            assert part in page

    def test_twin_and_missing_tls_are_warned_of(self, client: Client, admin: User) -> None:
        host = factories.make_host(address="tcp://a:1")
        factories.make_host("the-twin", address="tcp://a:1")
        page = text_of(client, f"/hosts/{host.pk}/")
        assert "the-twin" in page
        assert "without TLS" in page

    def test_viewer_has_no_buttons_to_change_it(self, client: Client, group: HostGroup) -> None:
        user = factories.make_user()
        factories.grant(user, "viewer", group)
        client.force_login(user)
        host = factories.make_host(groups=(group,))
        page = text_of(client, f"/hosts/{host.pk}/")
        assert f"/hosts/{host.pk}/edit/" not in page
        assert f"/hosts/{host.pk}/remove/" not in page

    def test_names_are_escaped(self, client: Client, admin: User) -> None:
        host = factories.make_host("<script>alert(1)</script>", operating_system="<b>os</b>")
        page = text_of(client, f"/hosts/{host.pk}/")
        assert "<script>alert" not in page
        assert "<b>os" not in page

    def test_few_queries(self, client: Client, admin: User, django_assert_max_num_queries: object) -> None:
        host = factories.make_host()
        with django_assert_max_num_queries(7):  # type: ignore[operator]
            client.get(f"/hosts/{host.pk}/")


class TestRemoving:
    def test_dialog_says_what_goes_and_that_the_machine_is_not_touched(
        self, client: Client, admin: User
    ) -> None:
        host = factories.make_host("runner")
        factories.make_copy(host, "redis:7")
        page = text_of(client, f"/hosts/{host.pk}/remove/", **{"HX-Request": "true"})
        assert "Nothing on that machine is touched" in page
        assert "what it knows of 1 image" in page
        assert "<dialog" in page

    def test_rows_go(self, client: Client, admin: User) -> None:
        host = factories.make_host("runner")
        factories.make_copy(host, "redis:7")
        response = client.post(f"/hosts/{host.pk}/remove/", headers={"HX-Request": "true"})
        assert response.headers["HX-Redirect"] == "/hosts/"
        assert not Host.objects.exists()


def test_page_shows_what_runs_before_what_waits_and_copies_made_from_the_host(client: Client) -> None:
    client.force_login(factories.make_admin())
    host, other = factories.make_host("from"), factories.make_host("onto")
    running = Job.objects.create(kind="pull", host=host, state=JobState.RUNNING)
    for _ in range(10):
        Job.objects.create(kind="pull", host=host, state=JobState.QUEUED)
    copied = Job.objects.create(kind="copy", host=other, source=host, state=JobState.QUEUED)
    page = client.get(f"/hosts/{host.pk}/")
    shown = [job.pk for job in page.context["jobs"]]
    assert (shown[:2], len(shown)) == ([running.pk, copied.pk], 8)
    assert "to onto" in page.text
    assert f"/jobs/{copied.pk}/" in client.get(f"/jobs/?host={host.pk}").text
