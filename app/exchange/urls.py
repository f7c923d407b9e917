"""Where each address leads."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="wallet:dashboard")),
    path("accounts/", include("allauth.urls")),
    path("wallet/", include("wallet.urls")),
    path("admin/", admin.site.urls),
]

handler500 = "operations.errors.server_error"
