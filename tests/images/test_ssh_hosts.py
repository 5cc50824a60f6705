"""Hosts over ssh without a network: addresses, keys, the form, what ssh's words mean, who may change what."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from images import addresses, ssh_keys
from images.engine.client import Connection
from images.engine.ssh_faults import not_started, way_refused
from images.errors import explain
from images.hosts import checks
from images.models import AuditEntry, Host, HostCheck, HostGroup, User
from images.models.fields import opened
from images.ssh_keys import HostKey, KeyProblem
from tests import factories

PEM, NONE = serialization.Encoding.PEM, serialization.NoEncryption()
ADDRESS = "ssh://drydock@10.0.0.5"


def host_key() -> str:
    return ssh_keys.public_line(ssh_keys.new_private_key())


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("drydock@10.0.0.5", "ssh://drydock@10.0.0.5"),
        (" ssh://drydock@docker.example.org:22/ ", "ssh://drydock@docker.example.org"),
        ("a.b_c-d@host:2222", "ssh://a.b_c-d@host:2222"),
        ("root@host/var/run/docker.sock", "ssh://root@host"),
        ("u@host:2222/run/user/1000/docker.sock", "ssh://u@host:2222/run/user/1000/docker.sock"),
        ("u@[2001:db8::1]", "ssh://u@[2001:db8::1]"),
        ("u@[2001:db8::1]:2222/x.sock", "ssh://u@[2001:db8::1]:2222/x.sock"),
    ],
)
def test_ssh_address(written: str, kept: str) -> None:
    assert addresses.ssh_address(written) == kept
    assert addresses.ssh_address(kept) == kept


@pytest.mark.parametrize(
    "written",
    [
        "", "host", "@host", "u@", "u:password@host", "-oProxyCommand=x@host", "u@-oProxyCommand=x", "u@a b", "u@h:0",
        "u@h:70000", "u@h:x", "u@h/run/", "u@h/a:b", "u@h/$HOME/x", "u@h/%h", "u@h/a'b", "u@h/a;b", "u@h\n/x", "tcp://u@h",
        "u@2001:db8::1", "u@[x]",
    ],
)  # fmt: skip
def test_not_an_ssh_address(written: str) -> None:
    with pytest.raises(ValueError):
        addresses.ssh_address(written)


class TestKeys:
    def test_every_usual_form_becomes_one_that_openssh_reads(self, tmp_path: Path) -> None:
        elliptic = ec.generate_private_key(ec.SECP256R1())
        long = rsa.generate_private_key(65537, 2048)
        old, new = serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8
        texts = [
            ssh_keys.new_private_key(),
            elliptic.private_bytes(PEM, old, NONE).decode(),
            long.private_bytes(PEM, old, NONE).decode(),
            long.private_bytes(PEM, new, NONE).decode().replace("\n", "\r\n").strip(),
        ]
        for text in texts:
            kept = ssh_keys.private_key(text)
            path = tmp_path / "key"
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(kept)
            told = subprocess.run(
                ["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True
            )
            assert told.stdout.split()[:2] == ssh_keys.public_line(kept).split()

    def test_what_can_not_be_used_is_named(self, tmp_path: Path) -> None:
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked"], check=True
        )
        key = ec.generate_private_key(ec.SECP256R1())
        locked = serialization.BestAvailableEncryption(b"x")
        form = serialization.PrivateFormat
        cases = {
            ssh_keys.public_line(ssh_keys.new_private_key()): "public",
            "PuTTY-User-Key-File-3: ssh-ed25519\n": "putty",
            key.private_bytes(PEM, form.PKCS8, locked).decode(): "passphrase",
            key.private_bytes(PEM, form.TraditionalOpenSSL, locked).decode(): "passphrase",
            (tmp_path / "locked").read_text(): "passphrase",
            dsa.generate_private_key(1024).private_bytes(PEM, form.PKCS8, NONE).decode(): "kind",
            "nonsense": "unreadable",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----": "unreadable",
        }
        for text, reason in cases.items():
            with pytest.raises(KeyProblem) as caught:
                ssh_keys.private_key(text)
            assert caught.value.reason == reason, text

    def test_fingerprint_is_that_of_ssh_keygen(self, tmp_path: Path) -> None:
        line = host_key()
        (tmp_path / "key.pub").write_text(line)
        told = subprocess.run(
            ["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True
        )
        key = HostKey.of(f"[10.0.0.5]:2222 {line}")
        assert told.stdout.split()[1] == key.fingerprint
        assert (key.name, key.line("engine")) == ("ED25519", f"engine {line}")

    @pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 AAAA", "x y z"])
    def test_not_a_host_key(self, line: str) -> None:
        with pytest.raises(ValueError):
            HostKey.of(line)

    def test_key_of_the_confirmed_type_is_compared_and_else_the_best_is_shown(self) -> None:
        modern, old = HostKey("ssh-ed25519", "A"), HostKey("ssh-rsa", "B")
        assert ssh_keys.best([old, modern]) == modern
        assert ssh_keys.best([old, modern], HostKey("ssh-rsa", "C")) == old


class TestWords:
    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("u@h: Permission denied (publickey).", "host_ssh_auth"),
            ("ssh: connect to host h port 22: Connection refused", "host_ssh_refused"),
            ("ssh: connect to host h port 22: Connection timed out", "host_ssh_timeout"),
            ("Connection timed out during banner exchange", "host_ssh_timeout"),
            ("ssh: Could not resolve hostname h: Name or service not known", "host_unknown_name"),
            ("No ED25519 host key is known for engine and you have requested strict checking.", "host_key_changed"),
            ("ssh: connect to host h port 22: No route to host", "host_ssh_failed"),
            ("kex_exchange_identification: Connection closed by remote host", "host_ssh_failed"),
            ("", "host_ssh_failed"),
        ],
    )  # fmt: skip
    def test_why_there_is_no_way(self, said: str, code: str) -> None:
        error = not_started(said, ADDRESS, host_key())
        assert error.code == code
        text = explain(error.code, error.values)
        assert "?" not in f"{text.what} {text.remedy}"

    @pytest.mark.parametrize("looked", ["missing", "denied", "usable", ""])
    def test_why_the_way_does_not_reach_the_engine(self, looked: str) -> None:
        error = way_refused("channel 1: open failed", f"{ADDRESS}:22/run/x.sock", looked)
        text = explain(error.code, error.values)
        assert "/run/x.sock" in text.what
        assert "?" not in f"{text.what} {text.cause} {text.remedy}"


# The form


@pytest.fixture
def key() -> str:
    return ssh_keys.new_private_key()


def values(key: str, **change: str) -> dict[str, str]:
    base = {"name": "far", "kind": "ssh", "address": "drydock@10.0.0.5", "ssh_key": key}
    return base | {"ssh_host_key": host_key()} | change


def is_same(one: str, other: str) -> bool:
    """OpenSSH's form holds a random number, so the same key is written differently each time."""
    return ssh_keys.public_line(one) == ssh_keys.public_line(other)


def posted(client: Client, url: str, data: object) -> str:
    return client.post(url, data).content.decode()


@pytest.mark.django_db
class TestForm:
    def test_host_is_added_with_its_key_encrypted(self, client: Client, admin: User, key: str) -> None:
        data = values(key)
        assert client.post("/hosts/add/", data).status_code == 302
        host = Host.objects.get()
        assert (host.address, host.ssh_host_key) == (ADDRESS, data["ssh_host_key"])
        assert is_same(host.ssh_key, key)
        with connection.cursor() as cursor:
            cursor.execute("SELECT ssh_key FROM images_host")
            assert "PRIVATE" not in str(cursor.fetchone()[0])
        entry = AuditEntry.objects.get(action="host.add")
        assert entry.detail["host_key"] == HostKey.of(data["ssh_host_key"]).fingerprint
        assert "PRIVATE" not in str(entry.detail)

    def test_key_may_be_uploaded(self, client: Client, admin: User, key: str) -> None:
        upload = SimpleUploadedFile("id_ed25519", key.encode())
        client.post("/hosts/add/", values("") | {"ssh_key_file": upload})
        assert is_same(Host.objects.get().ssh_key, key)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"ssh_host_key": ""}, "Check the connection first"),
            ({"ssh_host_key": "ssh-ed25519 nonsense"}, "This is not the host key"),
            ({"ssh_key": ""}, "Paste the private key"),
            ({"ssh_key": "ssh-ed25519 AAAAC3Nza"}, "This is the public half"),
            ({"ssh_key": "nonsense"}, "This is not a private key of OpenSSH"),
            ({"address": "10.0.0.5"}, "Write it as user@machine"),
            ({"ssh_key": "", "ssh_made_key": "forged"}, "Paste the private key"),
        ],
    )
    def test_form_says_what_is_wrong(
        self, client: Client, admin: User, key: str, change: dict[str, str], says: str
    ) -> None:
        page = posted(client, "/hosts/add/", values(key, **change))
        assert says in page
        assert "PRIVATE KEY-----\n" not in page
        assert key.splitlines()[2] not in page
        assert not Host.objects.exists()

    def test_confirmed_key_stays_confirmed_beside_another_error(
        self, client: Client, admin: User, key: str
    ) -> None:
        data = values(key, name="")
        page = posted(client, "/hosts/add/", data)
        assert HostKey.of(data["ssh_host_key"]).fingerprint in page
        assert " checked>" in page

    def test_stored_key_stays_when_left_empty_and_is_never_shown(
        self, client: Client, admin: User, key: str
    ) -> None:
        line = host_key()
        host = factories.make_host("far", address=ADDRESS, ssh_key=key, ssh_host_key=line)
        page = client.get(f"/hosts/{host.pk}/edit/").content.decode()
        assert key.splitlines()[2] not in page
        assert "A key is stored" in page
        data = values("", name="renamed", ssh_host_key=line)
        assert client.post(f"/hosts/{host.pk}/edit/", data).status_code == 302
        host.refresh_from_db()
        assert (host.name, host.ssh_key, host.ssh_host_key) == ("renamed", key, line)

    def test_new_host_key_is_accepted_on_the_edit_page(self, client: Client, admin: User, key: str) -> None:
        old, new = host_key(), host_key()
        host = factories.make_host("far", address=ADDRESS, ssh_key=key, ssh_host_key=old)
        data = values("") | {"ssh_host_key": [old, new]}
        assert client.post(f"/hosts/{host.pk}/edit/", data).status_code == 302
        host.refresh_from_db()
        assert host.ssh_host_key == new

    def test_host_key_of_one_machine_does_not_count_for_another(
        self, client: Client, admin: User, key: str
    ) -> None:
        line = host_key()
        host = factories.make_host("far", address=ADDRESS, ssh_key=key, ssh_host_key=line)
        data = values("", address="drydock@10.0.0.6", ssh_host_key=line)
        assert "Check the connection first" in posted(client, f"/hosts/{host.pk}/edit/", data)
        data["address"] = "root@10.0.0.5/run/other.sock"
        assert client.post(f"/hosts/{host.pk}/edit/", data).status_code == 302

    def test_leaving_ssh_forgets_both_keys(self, client: Client, admin: User, key: str) -> None:
        host = factories.make_host("far", address=ADDRESS, ssh_key=key, ssh_host_key=host_key())
        client.post(f"/hosts/{host.pk}/edit/", {"name": "far", "kind": "unix", "address": "/run/docker.sock"})
        host.refresh_from_db()
        assert (host.address, host.ssh_key, host.ssh_host_key) == ("unix:///run/docker.sock", "", "")

    def test_made_key_is_under_seal_and_used(self, client: Client, admin: User) -> None:
        page = posted(client, "/hosts/make-key/", {"address": "u@h/run/x.sock"})
        assert "[/run/x.sock]:*" in page
        assert "PRIVATE KEY" not in page
        token = page.partition('name="ssh_made_key" value="')[2].partition('"')[0]
        made = opened(token, 60)
        assert ssh_keys.public_line(made) in page
        assert client.post("/hosts/add/", values("", ssh_made_key=token)).status_code == 302
        assert Host.objects.get().ssh_key == made

    def test_admin_of_one_group_changes_neither_address_nor_keys(self, client: Client, key: str) -> None:
        group, line = HostGroup.objects.create(name="ci"), host_key()
        user = factories.make_user("ada")
        factories.grant(user, "admin", group)
        client.force_login(user)
        host = factories.make_host("far", address=ADDRESS, ssh_key=key, ssh_host_key=line, groups=(group,))
        other = values(ssh_keys.new_private_key(), name="renamed", address="root@10.9.9.9")
        data = other | {"groups": [group.pk]}
        assert client.post(f"/hosts/{host.pk}/edit/", data).status_code == 302
        host.refresh_from_db()
        assert (host.name, host.address, host.ssh_key, host.ssh_host_key) == ("renamed", ADDRESS, key, line)
        check = client.post(f"/hosts/check/?host={host.pk}", other)
        assert check.status_code == 200
        tried = HostCheck.objects.get()
        assert (tried.address, tried.ssh_key, tried.ssh_host_key) == (ADDRESS, key, line)
        assert client.post("/hosts/make-key/").status_code == 403


@pytest.mark.django_db
class TestPages:
    def test_check_needs_no_confirmed_key_and_its_result_asks_for_it(
        self, client: Client, admin: User, key: str
    ) -> None:
        page = posted(client, "/hosts/check/", values(key, ssh_host_key=""))
        check = HostCheck.objects.get()
        assert (check.address, check.ssh_host_key) == (ADDRESS, "")
        assert is_same(check.ssh_key, key)
        assert f"/hosts/checks/{check.pk}/?form=1" in page
        line = host_key()
        HostCheck.objects.update(state="reached", result={"ssh_host_key": line, "engine_kind": "docker"})
        page = client.get(f"/hosts/checks/{check.pk}/?form=1").content.decode()
        assert HostKey.of(line).fingerprint in page
        assert f'name="ssh_host_key" value="{line}"' in page

    def test_changed_key_is_shown_with_the_old_one_and_what_to_do(self, client: Client, admin: User) -> None:
        old, new = host_key(), host_key()
        host = factories.make_host("far", address=ADDRESS, ssh_key="x", ssh_host_key=old)
        was, now = HostKey.of(old).fingerprint, HostKey.of(new).fingerprint
        check = HostCheck.objects.create(
            created_by=admin, address=ADDRESS, ssh_host_key=old, state="failed", result={"ssh_host_key": new},
            error_code="host_key_changed",
            error_values={"address": ADDRESS, "expected": was, "found": now, "command": "c"},
        )  # fmt: skip
        page = client.get(f"/hosts/checks/{check.pk}/?host={host.pk}").content.decode()
        assert was in page
        assert now in page
        assert f"/hosts/{host.pk}/edit/" in page
        assert 'name="ssh_host_key"' not in page, "outside of the form a tick would do nothing"
        page = client.get(f"/hosts/checks/{check.pk}/?host={host.pk}&form=1").content.decode()
        assert f'name="ssh_host_key" value="{new}"' in page

    def test_page_of_a_host_names_its_key(self, client: Client, admin: User) -> None:
        line = host_key()
        host = factories.make_host("far", address=ADDRESS, ssh_key="x", ssh_host_key=line)
        page = client.get(f"/hosts/{host.pk}/").content.decode()
        assert "over ssh" in page
        assert HostKey.of(line).fingerprint in page

    def test_saved_host_is_checked_against_its_confirmed_key(
        self, client: Client, admin: User, key: str
    ) -> None:
        line = host_key()
        host = factories.make_host("far", address=ADDRESS, ssh_key=key, ssh_host_key=line)
        client.post(f"/hosts/{host.pk}/check/")
        check = HostCheck.objects.get()
        assert (check.ssh_key, check.ssh_host_key) == (key, line)

    def test_check_forgets_the_key(self, admin: User, key: str) -> None:
        wanted = Connection("ssh://u@no-such-name.invalid", ssh_key=key)
        check = checks.address_check_start(by=admin, connection=wanted)
        checks.address_check_carry_out(check.pk)
        check.refresh_from_db()
        assert (check.error_code, check.ssh_key) == ("host_unknown_name", "")
