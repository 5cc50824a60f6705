"""What uvicorn serves: Django, and beside it live events and the bytes of archives."""

import os
import warnings
from typing import TYPE_CHECKING

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# WhiteNoise hands its files over as ordinary iterators; they are small. Long answers are streamed by
# images/views/streaming.py.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

_django = get_asgi_application()

# Only now: models can not be imported before Django is set up.
from config import memory  # noqa: E402
from images.live import streams  # noqa: E402
from images.transfers import archive_stream, upload_stream  # noqa: E402

if TYPE_CHECKING:
    from images.live.asgi import Message, Receive, Send


async def application(scope: "Message", receive: "Receive", send: "Send") -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and scope["path"] == "/events/":
        await streams.events(scope, receive, send)
    elif scope["type"] == "http" and scope["path"].startswith("/transfers/"):
        await archive_stream.transfers(scope, receive, send)
    elif scope["type"] == "http" and scope["path"] == upload_stream.PATH:
        await upload_stream.receive_upload(scope, receive, send)
    else:
        await _django(scope, receive, send)  # type: ignore[arg-type]


async def _lifespan(receive: "Receive", send: "Send") -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            memory.freeze()
        if message["type"] == "lifespan.shutdown":
            await streams.close()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
