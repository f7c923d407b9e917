"""Addresses of the page on which customers make and revoke tokens."""

from django.urls import path

from api import views

app_name = "api"
urlpatterns = [
    path("", views.token_list, name="tokens"),
    path("new/", views.create_token, name="create-token"),
    path("<int:token_id>/revoke/", views.revoke_token, name="revoke-token"),
]
