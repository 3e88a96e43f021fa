"""What the sign-in hands out, and for what: Authlib's grants over our personas.

Sources: RFC 6749 §4.1 (codes), RFC 7636 (PKCE), RFC 7523 (private_key_jwt), RFC 8693 (token exchange), RFC 9207 (`iss`
in the answer), RFC 9449 §5 (tokens bound to a key), RFC 9470 and OpenID Connect Core §3.1.2.1 (`acr_values`,
`max_age`), RFC 8707 (`resource`).

Nobody stays signed in here: every request asks who it is, so a sign-in is never older than its code and any `max_age`
is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote

from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    AuthorizationServer,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Request,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from starlette.responses import JSONResponse, Response

from sandbox.issuer import Issuer
from sandbox.personas import PERSONAS, PersonaRecord
from sandbox.proof import ProofError, Proofs
from sandbox.signin.clients import EXCHANGE, SCOPES, Client

LEVELS: Final[Mapping[str, Literal[1, 2, 3]]] = {
    "urn:onestop:loa:1": 1,
    "urn:onestop:loa:2": 2,
    "urn:onestop:loa:3": 3,
}
CODE_LASTS: Final = timedelta(seconds=60)
CITIZEN_BESIDE: Final = timedelta(minutes=15)
"""Who signed in longer ago is not taken to stand at the counter still."""
TOKEN_LASTS: Final = timedelta(hours=1)
ID_TOKEN_LASTS: Final = timedelta(minutes=5)
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no token
OFFICIALS: Final = frozenset({"OFFICIAL", "PRIVACY_OFFICER", "AUDITOR"})


class UnmetAuthenticationError(OAuth2Error):
    """None of the wanted assurances is one that there is (RFC 9470 §5)."""

    error = "unmet_authentication_requirements"


class InvalidProofError(OAuth2Error):
    """The proof of possession is none for this request (RFC 9449 §5)."""

    error = "invalid_dpop_proof"


class InvalidTargetError(OAuth2Error):
    """The token is wanted for somebody else than onestop (RFC 8707 §2)."""

    error = "invalid_target"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A persona who chose a button."""

    persona: PersonaRecord
    acr: Literal[1, 2, 3]
    at: datetime


@dataclass(frozen=True, slots=True)
class Code(AuthorizationCodeMixin):
    """What a code stands for."""

    client_id: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    signed_in: SignedIn
    until: datetime
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.signed_in.at.timestamp())

    def get_acr(self) -> str:
        return f"urn:onestop:loa:{self.signed_in.acr}"

    def get_amr(self) -> None:
        """Nothing: choosing a button is no method of authentication."""


class Asked(OAuth2Request):
    """A request as Authlib reads one; what it carries is the same in a query and in a form."""

    def __init__(self, method: str, uri: str, given: Mapping[str, str], dpop: str | None = None) -> None:
        super().__init__(method, uri)
        self.payload = BasicOAuth2Payload(given)
        self.dpop = dpop
        self.jkt: str | None = None
        self._given = given

    @property
    def form(self) -> Mapping[str, str]:
        return self._given

    @property
    def args(self) -> Mapping[str, str]:
        return self._given


class Server(AuthorizationServer):
    """The sign-in's rules. Codes and used assertions are kept in memory: they live for a minute."""

    def __init__(
        self, issuer: Issuer, clients: Mapping[str, Client], audience: str, now: Callable[[], datetime]
    ) -> None:
        super().__init__(scopes_supported=SCOPES)
        self.issuer = issuer
        self.clients = clients
        self.audience = audience
        self.now = now
        self.codes: dict[str, Code] = {}
        self.proofs = Proofs()
        self.redeemed: dict[str, tuple[str, datetime]] = {}
        """Codes and the ids of the tokens that they were good for, until these end."""
        self._revoked: set[str] = set()
        self.register_client_auth_method("private_key_jwt", _PrivateKeyJwt(self))
        self.register_grant(_CodeGrant, [_S256(required=True), _IdToken(self)])
        self.register_grant(_ExchangeGrant)

    def query_client(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    def create_oauth2_request(self, request: Asked) -> Asked:
        return request

    def send_signal(self, *_: Any, **__: Any) -> None:
        """Nobody listens."""

    def save_token(self, token: Any, request: Any) -> None:
        """Tokens carry all that is in them."""

    def own(self, token: str) -> dict[str, Any]:
        """Claims of an access token of ours that is good now; raises JoseError or ValueError."""
        read = jwt.decode(token, self.issuer.key, algorithms=["ES256"])
        wanted: Any = {
            "iss": {"essential": True, "value": self.issuer.issuer_url},
            "aud": {"essential": True, "value": self.audience},
            "exp": {"essential": True},
        }
        jwt.JWTClaimsRegistry(now=int(self.now().timestamp()), **wanted).validate(read.claims)
        if read.header.get("typ") != "at+jwt" or read.claims["jti"] in self._revoked:
            raise ValueError("no access token, or a revoked one")
        return dict(read.claims)

    def revoke_what_came_of(self, code: str) -> None:
        """Somebody brought a code again: one of the two stole it, so nobody keeps the token (RFC 6749 §4.1.2)."""
        if code in self.redeemed:
            self._revoked.add(self.redeemed[code][0])

    def note_redeemed(self, code: str, token: str) -> None:
        """Remember what came of a code for as long as it is good."""
        now = self.now()
        over = {each: jti for each, (jti, until) in self.redeemed.items() if until <= now}
        for each, jti in over.items():
            del self.redeemed[each]
            self._revoked.discard(jti)
        self.redeemed[code] = self.own(token)["jti"], now + TOKEN_LASTS

    def generate_token(
        self, *, client: Client, user: SignedIn, scope: str, jkt: str | None, **_: Any
    ) -> dict[str, Any]:
        """An access token (RFC 9068) for who has signed in, bound to the key with this thumbprint."""
        token = self.issuer.token(
            user.persona,
            audience=self.audience,
            client_id=client.client_id,
            acr=user.acr,
            ttl=TOKEN_LASTS,
            now=self.now(),
            auth_time=user.at,
            jkt=jkt,
            scope=scope,
        )
        return {
            "access_token": token,
            "token_type": "DPoP" if jkt else "Bearer",
            "expires_in": int(TOKEN_LASTS.total_seconds()),
            "scope": scope,
        }

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        """Answers by redirect say whose they are (RFC 9207)."""
        sent = dict(headers)
        if location := sent.get("Location"):
            joined = "&" if "?" in location else "?"
            sent["Location"] = f"{location}{joined}iss={quote(self.issuer.issuer_url, safe='')}"
            return Response(status_code=303, headers={**sent, "Cache-Control": "no-store"})
        return JSONResponse(body, status, headers=sent)


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("private_key_jwt", "none")

    def save_authorization_code(self, code: str, request: Asked) -> None:
        given, now, codes = request.payload.data, self.server.now(), self.server.codes
        for old in [each for each, kept in codes.items() if kept.until <= now]:
            del codes[old]
        codes[code] = Code(
            client_id=request.client.client_id,
            redirect_uri=given["redirect_uri"],
            scope=request.scope,
            nonce=given.get("nonce"),
            code_challenge=given["code_challenge"],
            signed_in=request.user,
            until=now + CODE_LASTS,
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """What the code stands for. It is spent whoever brings it, and whatever else is wrong with the request."""
        found: Code | None = self.server.codes.pop(code, None)
        if found is None:
            self.server.revoke_what_came_of(code)
        is_good = found and found.client_id == client.client_id and self.server.now() < found.until
        return found if is_good else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It is gone already."""

    def authenticate_user(self, authorization_code: Code) -> SignedIn:
        return authorization_code.signed_in

    def validate_token_request(self) -> None:
        """As Authlib does, after the proof of the key that the token is wanted for."""
        asked, server = self.request, self.server
        if asked.dpop is not None:
            url = f"{server.issuer.issuer_url}/token"
            try:
                asked.jkt = server.proofs.thumbprint(asked.dpop, method="POST", url=url, now=server.now())
            except ProofError as wrong:
                raise InvalidProofError(str(wrong)) from wrong
        super().validate_token_request()

    def generate_token(self, user: SignedIn, scope: str, **_: Any) -> dict[str, Any]:
        asked, server = self.request, self.server
        token: dict[str, Any] = server.generate_token(client=asked.client, user=user, scope=scope, jkt=asked.jkt)
        server.note_redeemed(asked.form["code"], token["access_token"])
        return token


class _S256(CodeChallenge):
    """PKCE for every client, and with S256 only."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        given = grant.request.payload.data
        if not given.get("code_challenge") or not given.get("code_challenge_method"):
            raise InvalidRequestError("Send 'code_challenge' with 'code_challenge_method=S256'.")
        super().validate_code_challenge(grant, redirect_uri)
        check_wishes(given, grant.server.audience)


def check_wishes(given: Mapping[str, str], audience: str) -> None:
    """Refuse what cannot be: unknown assurances, an age that is none, another audience."""
    if (wanted := given.get("acr_values", "").split()) and not LEVELS.keys() & set(wanted):
        raise UnmetAuthenticationError("There is no such assurance.")
    age = given.get("max_age")
    if age is not None and not (age.isascii() and age.isdecimal() and len(age) < 10):
        raise InvalidRequestError("'max_age' is a number of seconds.")
    if given.get("resource", audience) != audience:
        raise InvalidTargetError("Tokens are for onestop only.")


class _IdToken(OpenIDCode):
    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def exists_nonce(self, nonce: str, request: Any) -> bool:  # noqa: ARG002 - its signature
        """Nonces are the client's to compare; a code is used once anyway."""
        return False

    def resolve_client_private_key(self, client: Client) -> ECKey:  # noqa: ARG002 - its signature
        return self._server.issuer.key

    def get_client_algorithm(self, client: Client) -> str:  # noqa: ARG002 - its signature
        return "ES256"

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": self.get_client_algorithm(client), "kid": self._server.issuer.key.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        now = self._server.now()
        return {
            "iss": self._server.issuer.issuer_url,
            "aud": client.client_id,
            "iat": int(now.timestamp()),
            "exp": int((now + ID_TOKEN_LASTS).timestamp()),
        }

    def generate_user_info(self, user: SignedIn, scope: str) -> dict[str, Any]:
        named = {"name": called(user.persona)} if "profile" in scope.split() else {}
        return {"sub": user.persona.subject, **named}


def called(persona: PersonaRecord) -> str:
    """The persona's name, without who that is in the family."""
    return persona.title.partition(",")[0]


class _PrivateKeyJwt(JWTBearerClientAssertion):
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: Server) -> None:
        super().__init__(leeway=10)
        self._server = server
        self._used: dict[tuple[str, str], int] = {}

    def process_assertion_claims(self, assertion: str, resolve_key: ECKey) -> Mapping[str, Any]:
        """As Authlib does, with our clock and one algorithm."""
        now = int(self._server.now().timestamp())
        issuer_url = self._server.issuer.issuer_url
        wanted: Any = {
            "iss": {"essential": True},
            "sub": {"essential": True},
            "aud": {"essential": True, "values": [issuer_url, f"{issuer_url}/token"]},
            "exp": {"essential": True},
            "jti": {"essential": True},
        }
        try:
            claims = jwt.decode(assertion, resolve_key, algorithms=["ES256"]).claims
            jwt.JWTClaimsRegistry(now=now, leeway=self.leeway, **wanted).validate(claims)
        except JoseError as wrong:
            raise InvalidClientError("The client assertion does not hold.") from wrong
        used = (claims["sub"], str(claims["jti"]))
        self._used = {each: until for each, until in self._used.items() if until > now}
        if claims["iss"] != claims["sub"] or used in self._used:
            raise InvalidClientError("The client assertion does not hold.")
        self._used[used] = claims["exp"] + self.leeway
        return claims

    def resolve_client_public_key(self, client: Client) -> ECKey:
        if client.key is None:
            raise InvalidClientError("This client has no key.")
        return client.key


class _ExchangeGrant(BaseGrant, TokenEndpointMixin):
    """An official's token for acting for a citizen, who has signed in beside them: `sub` citizen, `act.sub` official.

    Roles, office and assurance are the official's, who is the one who looks.
    """

    GRANT_TYPE = EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = ("private_key_jwt",)

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("This client may not exchange tokens.")
        self.request.client = client
        given = self.request.payload.data
        for name in ("subject_token_type", "actor_token_type"):
            if given.get(name) != ACCESS_TOKEN:
                raise InvalidRequestError(f"'{name}' must be {ACCESS_TOKEN}.")
        if given.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise InvalidRequestError(f"'requested_token_type' must be {ACCESS_TOKEN}.")
        audience = self.server.audience
        if {given.get("audience", audience), given.get("resource", audience)} != {audience}:
            raise InvalidTargetError("Tokens are for onestop only.")

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        given, now = self.request.payload.data, self.server.now()
        citizen = self._claims(given.get("subject_token", ""))
        official = self._claims(given.get("actor_token", ""))
        persona = next((each for each in PERSONAS.values() if each.subject == official["sub"]), None)
        if persona is None or OFFICIALS.isdisjoint(persona.roles) or citizen["sub"] == official["sub"]:
            raise InvalidGrantError("The actor is not an official acting for somebody else.")
        if now - datetime.fromtimestamp(citizen["auth_time"], now.tzinfo) > CITIZEN_BESIDE:
            raise InvalidGrantError("The citizen signed in too long ago to be the one at the counter.")
        until = min(citizen["exp"], official["exp"])
        token = self.server.issuer.token(
            persona,
            audience=self.server.audience,
            client_id=self.request.client.client_id,
            acr=LEVELS[official["acr"]],
            ttl=timedelta(seconds=until - int(now.timestamp())),
            now=now,
            case=official.get("case"),
            auth_time=datetime.fromtimestamp(official["auth_time"], now.tzinfo),
            on_behalf_of=citizen["sub"],
        )
        body = {
            "access_token": token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": until - int(now.timestamp()),
        }
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def _claims(self, token: str) -> dict[str, Any]:
        """An access token of ours that this client was given and that nobody acts with yet."""
        try:
            claims: dict[str, Any] = self.server.own(token)
        except (JoseError, ValueError) as wrong:
            raise InvalidGrantError("A token to be exchanged does not hold.") from wrong
        if claims["client_id"] != self.request.client.client_id:
            raise InvalidGrantError("A token to be exchanged is another client's.")
        if {"act", "cnf"} & claims.keys():
            raise InvalidGrantError("A token to be exchanged is of a kind that is not.")
        return claims
