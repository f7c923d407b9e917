"""The profile's addresses."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("", views.profile, name="profile"),
    path("picture/", views.picture, name="picture"),
    path("picture/remove/", views.remove, name="remove-picture"),
]
