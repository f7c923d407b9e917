"""The form that makes a token."""

from django import forms

from api.models import ApiToken


class TokenForm(forms.Form):
    """What a new token is called, and what it is good for."""

    name = forms.CharField(
        max_length=50,
        help_text="What will use it, such as the name of a program.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(label="It may", choices=ApiToken.Scope.choices, initial=ApiToken.Scope.TRADE)
