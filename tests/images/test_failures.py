"""What an engine's words about a registry mean; most are produced for real in tests/engine."""

import pytest

from images.engine.failures import RETRIED, failure


@pytest.mark.parametrize(
    "words",
    [
        "dial tcp 192.0.2.1:3128: connect: connection refused", "dial tcp 192.0.2.1:3128: i/o timeout",
        "dial tcp: lookup proxy.example.com on 192.0.2.53:53: no such host", "EOF",
        "tls: first record does not look like a TLS handshake", "dial tcp 192.0.2.1:3128: connect: no route to host",
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_proxy_is_not_said_of_the_registry(words: str) -> None:
    error = failure(f'Get "https://registry.example.com/v2/": proxyconnect tcp: {words}', host="ci-1")
    assert (error.code, error.values["registry"]) == ("registry_proxy", "registry.example.com")


def test_proxy_that_wants_a_password_is_said() -> None:
    assert failure('Get "https://r.example.com/v2/": Proxy Authentication Required').code == "registry_proxy"


def test_registry_that_refuses_is_said_without_a_proxy() -> None:
    text = 'Get "https://r.example.com/v2/": dial tcp 192.0.2.1:443: connect: connection refused'
    assert failure(text).code == "registry_refused"


@pytest.mark.parametrize("words", ["use of closed network connection", "http: server closed idle connection"])
def test_line_that_was_cut_while_something_was_sent_is_tried_again(words: str) -> None:
    """As the containerd store tells it: `failed to do request: Put "https://...": readfrom tcp ...: write tcp ...`"""
    error = failure(
        f'failed to do request: Put "https://r.example.com/v2/shop/manifests/1": write tcp: {words}'
    )
    assert error.code in RETRIED
