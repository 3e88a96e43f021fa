"""What a 401 tells a client: how to authenticate here, and what was wrong.

Sources: RFC 6750 §3 (Bearer), RFC 9449 §7.1 (DPoP), RFC 9470 (step-up), RFC 9728 §5.1 (where the metadata is).
"""

from urllib.parse import quote, urlsplit

from auth.keys import ALGORITHMS
from auth.token import TokenCheck

METADATA = "/.well-known/oauth-protected-resource"


def metadata_url(url: str) -> str:
    """Where the metadata of the resource at this URL is (RFC 9728 §3.1). Fit to stand in quotes: the host was sent."""
    parts = urlsplit(url)
    return quote(f"{parts.scheme}://{parts.netloc}{METADATA}{parts.path.rstrip('/')}", safe=":/[]")


def challenges(tokens: TokenCheck, url: str, scheme: str = "", **told: str) -> str:
    """`WWW-Authenticate`: a challenge for each scheme that is taken; what is told stands in that of the scheme sent."""
    schemes = ("DPoP", "Bearer") if tokens.bearer_allowed else ("DPoP",)
    if told and scheme not in schemes:
        scheme = schemes[0]
    return ", ".join(
        f"{each} " + ", ".join(f'{name}="{value}"' for name, value in _said(each, url, told if each == scheme else {}))
        for each in sorted(schemes, key=lambda each: each != scheme)
    )


def _said(scheme: str, url: str, told: dict[str, str]) -> list[tuple[str, str]]:
    algorithms = {"algs": " ".join(ALGORITHMS)} if scheme == "DPoP" else {}
    said = {"realm": "onestop", **told, **algorithms, "resource_metadata": metadata_url(url)}
    return list(said.items())
