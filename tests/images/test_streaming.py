"""Long answers under ASGI, as the site serves them: piece by piece."""

import asyncio
from collections.abc import Iterator

from django.core.handlers.asgi import ASGIRequest
from django.test import AsyncRequestFactory, RequestFactory

from images.views import streaming
from images.views.streaming import streamed


def test_pieces_are_read_only_as_far_as_they_are_sent() -> None:
    taken: list[int] = []

    def pieces() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield "x" * 1000

    async def first() -> bytes:
        request = AsyncRequestFactory().get("/")
        assert isinstance(request, ASGIRequest)
        response = streamed(request, pieces(), content_type="text/plain", headers={})
        async for piece in response:
            return bytes(piece)
        return b""

    before, streaming._CHARACTERS_AT_ONCE = streaming._CHARACTERS_AT_ONCE, 5000
    try:
        assert len(asyncio.run(first())) == 5000
    finally:
        streaming._CHARACTERS_AT_ONCE = before
    assert len(taken) == 5


def test_every_piece_arrives_in_order_both_ways() -> None:
    async def whole() -> str:
        request = AsyncRequestFactory().get("/")
        response = streamed(request, (f"{n}\n" for n in range(50_000)), content_type="text/plain", headers={})
        return b"".join([piece async for piece in response]).decode()

    expected = "".join(f"{n}\n" for n in range(50_000))
    assert asyncio.run(whole()) == expected
    plain = streamed(
        RequestFactory().get("/"), (f"{n}\n" for n in range(50_000)), content_type="text/plain", headers={}
    )
    assert b"".join(plain).decode() == expected
