"""Signing in and one's own account."""

from datetime import timedelta

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from images.forms.account import THEMES, OwnPasswordForm, PreferencesForm, SignInForm
from images.models import User
from images.people import sign_in, team
from images.views.requests import SignedInRequest

_COOKIE_AGE = int(timedelta(days=365).total_seconds())


@login_not_required
@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    target = _next(request)
    if request.user.is_authenticated:
        return HttpResponseRedirect(target)
    form = SignInForm(request, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = form.get_user()
        auth.login(request, user)
        response = HttpResponseRedirect(target)
        _remember(response, sign_in.DEVICE_COOKIE, sign_in.device_cookie(user))
        return response
    return render(
        request, "account/login.html", {"form": form, "next": target, "languages": settings.LANGUAGES}
    )


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: SignedInRequest) -> HttpResponse:
    user = request.user
    form = OwnPasswordForm(request, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        team.own_password_set(user=user, password=form.cleaned_data["new_password1"])
        auth.update_session_auth_hash(request, user)
        messages.success(request, _("Your password was changed. Your other sessions were signed out."))
        return redirect("account:preferences")
    return render(request, "account/password.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: SignedInRequest) -> HttpResponse:
    user = request.user
    initial = {"language": user.language, "theme": request.COOKIES.get("theme", "auto")}
    form = PreferencesForm(data=request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        return _preferences_saved(request, user, form)
    return render(request, "account/preferences.html", {"form": form})


def _preferences_saved(request: HttpRequest, user: User, form: PreferencesForm) -> HttpResponse:
    language = form.cleaned_data["language"]
    team.language_set(user=user, language=language)
    with override(language or settings.LANGUAGE_CODE):
        messages.success(request, _("Your preferences were saved."))
    response = redirect("account:preferences")
    _remember(response, "theme", form.cleaned_data["theme"])
    if language:
        _remember(response, settings.LANGUAGE_COOKIE_NAME, language)
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
    return response


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """The switch on the sign-in page, for who has no account to keep it in."""
    chosen = request.POST.get("language", "")
    response = HttpResponseRedirect(_next(request, default=settings.LOGIN_URL))
    if chosen in dict(settings.LANGUAGES):
        _remember(response, settings.LANGUAGE_COOKIE_NAME, chosen)
    theme = request.POST.get("theme", "")
    if theme in dict(THEMES):
        _remember(response, "theme", theme)
    return response


def _remember(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=_COOKIE_AGE, samesite="Lax", secure=settings.HTTPS, httponly=True
    )


def _next(request: HttpRequest, default: str = settings.LOGIN_REDIRECT_URL) -> str:
    """Where to go afterwards; an address of another site is not followed."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return resolve_url(default)
