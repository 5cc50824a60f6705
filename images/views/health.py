"""Whether Drydock can serve."""

import logging

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """For load balancers and container engines: 200 when the database and Redis answer, else 503."""
    answers = {"database": _database_answers(), "redis": _redis_answers()}
    words = {name: "ok" if answer else "down" for name, answer in answers.items()}
    is_well = all(answers.values())
    return JsonResponse({"status": "ok" if is_well else "down"} | words, status=200 if is_well else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("The database does not answer: %s", type(error).__name__)
        return False
    return True


def _redis_answers() -> bool:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        client.ping()
    except redis.RedisError as error:
        logger.warning("Redis does not answer: %s", type(error).__name__)
        return False
    finally:
        client.close()
    return True
