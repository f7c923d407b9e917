"""Where each address leads."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from api.application import api
from operations.static import static_of_other_version

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="wallet:dashboard")),
    path("accounts/tokens/", include("api.urls")),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", api.urls),
    path("markets/", include("markets.urls")),
    path("profile/", include("accounts.urls")),
    path("wallet/", include("wallet.urls")),
    # What WhiteNoise, which comes first, doesn't have.
    path("static/<path:name>", static_of_other_version),
    path("admin/", admin.site.urls),
]

handler500 = "operations.errors.server_error"
