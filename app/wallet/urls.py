"""The wallet's addresses."""

from django.urls import path

from wallet import views

app_name = "wallet"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("deposit/", views.deposit, name="deposit"),
    path("withdraw/", views.withdraw, name="withdraw"),
    path("history/", views.history, name="history"),
    path("history/<slug:what>.csv", views.export, name="export"),
    path("history/<slug:what>/", views.history, name="history"),
    path("transfers/<uuid:transfer_id>/<slug:decision>/", views.decide, name="decide"),
]
