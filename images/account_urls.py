"""Signing in and one's own account."""

from django.urls import path

from images.views import account

app_name = "account"
urlpatterns = [
    path("login/", account.login, name="login"),
    path("logout/", account.logout, name="logout"),
    path("password/", account.password, name="password"),
    path("language/", account.language, name="language"),
    path("preferences/", account.preferences, name="preferences"),
]
