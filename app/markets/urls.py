"""The markets' addresses."""

from django.urls import path

from markets import views

app_name = "markets"
urlpatterns = [
    path("", views.index, name="index"),
    path("orders/<int:order_id>/cancel/", views.cancel, name="cancel"),
    path("<slug:code>/", views.show, name="market"),
    path("<slug:code>/live/", views.live, name="live"),
    path("<slug:code>/chart/", views.chart, name="chart"),
    path("<slug:code>/own/", views.own, name="own"),
    path("<slug:code>/order/", views.order, name="order"),
    path("<slug:code>/estimate/", views.estimate, name="estimate"),
]
