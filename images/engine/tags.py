"""Gives an image a further name."""

from docker.errors import APIError, NotFound

from images.engine.client import Engine
from images.engine.failures import refused
from images.errors import UserError


def tag(engine: Engine, engine_id: str, repository: str, name: str, *, host: str = "") -> None:
    """`repository:name` names this image from now on, whatever it named before.

    Raises UserError image_gone, or what the engine's text says.
    """
    try:
        engine.api.tag(engine_id, repository, name)
    except NotFound as error:
        raise UserError("image_gone", raw=str(error.explanation or error)) from error
    except APIError as error:
        raise refused(error, subject=f"{repository}:{name}", host=host) from error
