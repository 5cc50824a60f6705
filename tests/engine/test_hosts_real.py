"""What is said of an address that does not work, on real sockets; TLS on a real engine."""

import datetime
import http.server
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.demo.engines import PrivateEngine
from images.engine import read
from images.engine.client import Connection, EngineCut, open_engine
from images.errors import UserError
from images.hosts import checks
from images.models import CheckState
from tests import factories
from tests.conftest import free_port

pytestmark = [pytest.mark.engine, pytest.mark.django_db]


def problem(connection: Connection) -> str:
    with pytest.raises(UserError) as caught, open_engine(connection, reach_seconds=1):
        pass
    assert str(caught.value)
    return caught.value.code


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """Something that speaks HTTP and answers everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_what_is_wrong_is_said_in_words(tmp_path: Path, hung_port: int) -> None:
    assert problem(Connection("unix:///nowhere/docker.sock")) == "host_no_socket"
    assert problem(Connection(f"tcp://127.0.0.1:{free_port()}")) == "host_refused"
    assert problem(Connection("tcp://no-such-name.invalid:2375")) == "host_unknown_name"
    assert problem(Connection(f"tcp://127.0.0.1:{hung_port}")) == "host_timeout"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    assert problem(Connection(f"unix://{tmp_path}/dead.sock")) == "host_refused"


def test_socket_of_somebody_else_is_said(engine: PrivateEngine) -> None:
    """Drydock's own processes are in no group that may use it, as in a container without the right group."""
    os.seteuid(65534)
    try:
        assert problem(Connection(engine.address)) == "host_permission"
    finally:
        os.seteuid(0)
    with open_engine(Connection(engine.address)) as reached:
        assert reached.version


def test_what_is_no_engine_is_said() -> None:
    for body, status in ((b"<html>hello", 200), (b"[]", 200), (b"{}", 200), (b"gone", 404)):
        with answering(body, status) as address:
            assert problem(Connection(address)) == "host_not_engine"


def test_an_engine_too_old_is_said() -> None:
    with answering(b'{"ApiVersion": "1.38", "Version": "18.06"}') as address:
        assert problem(Connection(address)) == "host_api_too_old"


def test_an_engine_that_dropped_old_versions_is_asked_in_one_it_speaks() -> None:
    with (
        answering(b'{"ApiVersion": "1.70", "MinAPIVersion": "1.60", "Version": "40"}') as address,
        open_engine(Connection(address)) as engine,
    ):
        assert engine.api._version == "1.60"


def test_tls_against_a_plain_port_is_said(make_engine: Callable[..., PrivateEngine]) -> None:
    engine = make_engine("plain", tcp_port=0)
    assert problem(Connection(engine.tcp_address, use_tls=True)) == "host_not_tls"
    with open_engine(Connection(engine.tcp_address)) as connected:
        assert read.info(connected).engine_kind == "docker"


def test_tls_with_client_certificates(make_engine: Callable[..., PrivateEngine], tmp_path: Path) -> None:
    ca, other = authority("ca"), authority("other")
    server, client = issued(ca, "127.0.0.1"), issued(ca, "client")
    for name, text in (("ca", ca["certificate"]), ("cert", server["certificate"]), ("key", server["key"])):
        (tmp_path / f"{name}.pem").write_text(text)
    port = free_port()
    files = (
        f"--tlscacert={tmp_path}/ca.pem",
        f"--tlscert={tmp_path}/cert.pem",
        f"--tlskey={tmp_path}/key.pem",
    )
    make_engine("tls", arguments=("-H", f"tcp://127.0.0.1:{port}", "--tlsverify", *files))
    good = Connection(
        f"tcp://127.0.0.1:{port}", True, ca["certificate"], client["certificate"], client["key"]
    )

    check = checks.address_check_start(by=factories.make_admin(), connection=good)
    checks.address_check_carry_out(check.pk)
    check.refresh_from_db()
    assert check.state == CheckState.REACHED, check.error_raw
    assert check.result["engine_kind"] == "docker"
    stranger = issued(other, "client")
    wrong = replace(good, certificate=stranger["certificate"], key=stranger["key"])
    assert problem(wrong) == "host_certificate"
    assert problem(replace(good, ca=other["certificate"])) == "host_certificate"
    assert problem(replace(good, certificate="", key="")) == "host_certificate"
    assert problem(Connection(good.address)) == "host_needs_tls"


def test_a_cut_connection_ends_a_read_in_another_thread(engine: PrivateEngine) -> None:
    def read_until_cut() -> None:
        with open_engine(Connection(engine.address)) as connected:
            engine.pause()
            threading.Timer(0.3, connected.cut).start()
            read.list_images(connected)

    with pytest.raises(EngineCut):
        read_until_cut()
    engine.cont()


def test_no_secret_file_outlives_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    signed = issued(authority("ca"), "x")
    connection = Connection(f"tcp://127.0.0.1:{free_port()}", True, "", signed["certificate"], signed["key"])
    assert problem(connection) == "host_refused"
    assert list(tmp_path.iterdir()) == []


def authority(name: str) -> dict[str, str]:
    return issued(None, name)


def issued(issuer: dict[str, str] | None, name: str) -> dict[str, str]:
    """A certificate and key in PEM form; signed by itself where there is no issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    signer, signer_name = key, subject
    if issuer:
        signer = serialization.load_pem_private_key(issuer["key"].encode(), None)  # type: ignore[assignment]
        signer_name = x509.load_pem_x509_certificate(issuer["certificate"].encode()).subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "certificate": builder.sign(signer, hashes.SHA256()).public_bytes(pem).decode(),
        "key": secret.decode(),
    }
