"""Every address of Drydock."""

from django.urls import include, path

urlpatterns = [
    path("account/", include("images.account_urls")),
    path("cleanup/", include("cleanup.urls")),
    path("", include("images.urls")),
]
