"""Who may ask the sandbox to sign somebody in: the portal, and an app on the asker's own machine.

Sources: RFC 8252 §7.3 (loopback redirects with any port), OpenID Connect Core §9 (private_key_jwt).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from authlib.oauth2.rfc6749 import ClientMixin
from joserfc.jwk import ECKey

PORTAL: Final = "sandbox-portal"
APP: Final = "sandbox-app"
SCOPES: Final = ("openid", "profile")
CODE: Final = "authorization_code"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):
    """A registered client. With a `key` it is confidential; `redirect` matches a redirect URI as a whole.

    `after_logout` are the places to return to when somebody has signed out.
    """

    client_id: str
    redirect: re.Pattern[str]
    grants: frozenset[str]
    key: ECKey | None = None
    after_logout: frozenset[str] = frozenset()

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: a redirect URI is always named."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(each for each in (scope or "").split() if each in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return self.redirect.fullmatch(redirect_uri) is not None

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == ("none" if self.key is None else "private_key_jwt")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grants


def registered(portal_origin: str, portal_key: ECKey) -> Mapping[str, Client]:
    """The two clients by id. The portal is onestop itself, so its redirect URI is the API's own."""
    portal = re.compile(re.escape(f"{portal_origin}/session/callback"))
    app = re.compile(r"http://(?:127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?/callback")
    return {
        PORTAL: Client(PORTAL, portal, frozenset({CODE, EXCHANGE}), portal_key, frozenset({f"{portal_origin}/"})),
        APP: Client(APP, app, frozenset({CODE})),
    }
