"""The first page, its live parts, and the health check."""

from typing import Any, cast

import redis
import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from images.fleet import overview as figures
from images.jobs import queue
from images.models import User

log = structlog.get_logger()


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    user = cast("User", request.user)
    context = {
        "summary": figures.summary(user),
        "copies": figures.newest_copies(user),
    } | _jobs(user)
    return render(request, "images/overview.html", context)


@require_safe
def overview_figures(request: HttpRequest) -> HttpResponse:
    user = cast("User", request.user)
    return render(request, "images/overview.html#figures", {"summary": figures.summary(user)})


@require_safe
def overview_jobs(request: HttpRequest) -> HttpResponse:
    user = cast("User", request.user)
    return render(request, "images/overview.html#running", _jobs(user))


def _jobs(user: User) -> dict[str, Any]:
    jobs = figures.open_jobs(user)
    return {"jobs": jobs} | queue.waits(jobs, user)


@require_safe
def overview_space(request: HttpRequest) -> HttpResponse:
    """On its own, because it reads every copy: the page does not wait for it."""
    spaces = figures.space_by_repository(cast("User", request.user))
    context = {"spaces": spaces, "width": figures.MAP_WIDTH, "height": figures.MAP_HEIGHT}
    return render(request, "images/overview_space.html", context)


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
        log.warning("health_database", error=type(error).__name__)
        return False
    return True


def _redis_answers() -> bool:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        client.ping()
    except redis.RedisError as error:
        log.warning("health_redis", error=type(error).__name__)
        return False
    finally:
        client.close()
    return True
