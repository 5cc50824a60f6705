"""Git accounts: the server, who signs in there, and with what."""

import re
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.accounts.git_accounts import place_of
from images.forms.accounts import AccountForm, address_field, ca_field, username_field

_PREFIX = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:\d{1,5})?(/[^\x00-\x1f\x7f]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # git takes a name and a password as one line each


class GitAccountForm(AccountForm):
    """An account by which private repositories are fetched; a token needs no user name."""

    NOT_A_PREFIX = _(
        "Write the server's name, maybe with a port and the beginning of a path: git.example.com, "
        "git.example.com:8443 or git.example.com/acme. Only https is spoken."
    )

    address = address_field(
        _("Server"),
        "git.example.com",
        _(
            "Such as git.example.com, git.example.com:8443 or git.example.com/acme. It is used for repositories whose "
            "address begins so; with a path, two accounts on one server can stand side by side."
        ),
    )
    username = username_field(
        _(
            "Empty: x-access-token, a name that GitHub, GitLab, Gitea and Forgejo take along with a token. Bitbucket "
            "wants x-token-auth."
        )
    )
    ca = ca_field(_("Only for a server with a CA of your own."))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].required = self.account is None

    @staticmethod
    def normal_prefix(text: str) -> str:
        """ "https://Git.example.com/acme/" -> "git.example.com/acme"."""
        prefix = place_of("https://" + re.sub(r"^https://", "", text.strip(), flags=re.IGNORECASE))
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("not the name of a server")
        return prefix

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        for name in ("username", "password"):
            if _CONTROL.search(data.get(name, "")):
                self.add_error(name, _("It can not have several lines."))
        self.keep_password(data, _("Enter the password or token."))
        return data
