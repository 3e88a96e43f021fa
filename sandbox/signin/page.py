"""The page where one chooses who to be: a form with a button for each persona, in Korean or English.

Everything on it is in it: no script, no picture, nothing from elsewhere.
"""

import base64
import hashlib
from collections.abc import Collection, Mapping
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse

from sandbox.personas import PERSONAS, PersonaRecord

STYLE: Final = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:0 auto;padding:1rem}"
    "ul{list-style:none;padding:0}li{border-top:1px solid #8888;padding:.75rem 0}"
    "button{font:inherit;font-weight:600;padding:.5rem .75rem;min-height:2.75rem}p{margin:.25rem 0}"
    "label{display:inline-block;margin-right:1rem;min-height:1.5rem}"
    ":focus-visible{outline:3px solid;outline-offset:2px}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "ko": {
        "title": "체험용 로그인",
        "lead": "여기 있는 사람은 모두 가상의 인물입니다. 누구로 로그인할지 고르십시오.",
        "asks": "요청한 곳",
        "assurance": "본인확인 수준",
        "1": "낮음",
        "2": "상당",
        "3": "높음",
        "as": "{}(으)로 로그인",
        "cancel": "로그인하지 않고 돌아가기",
        "other": "English",
    },
    "en": {
        "title": "Sandbox sign-in",
        "lead": "Nobody on this page is real. Choose who to sign in as.",
        "asks": "Asked for by",
        "assurance": "Assurance",
        "1": "low",
        "2": "substantial",
        "3": "high",
        "as": "Sign in as {}",
        "cancel": "Go back without signing in",
        "other": "한국어",
    },
}


def language(given: Mapping[str, str], accepted: str) -> str:
    """The first of `ui_locales` that we speak, else Korean when the browser prefers it, else English."""
    wished = [each[:2].lower() for each in given.get("ui_locales", "").split()]
    wished += [each.strip()[:2].lower() for each in accepted.split(",")]
    return next((each for each in wished if each in WORDS), "en")


def chooser(given: Mapping[str, str], levels: Collection[int], chosen: int, lang: str) -> HTMLResponse:
    """The page for a valid request. `levels` may be chosen, and `chosen` is at first."""
    words = WORDS[lang]
    other = "ko" if lang == "en" else "en"
    switch = escape(urlencode({**given, "ui_locales": other}))
    assurances = "".join(
        f'<label><input type="radio" name="assurance" value="{level}"{" checked" if level == chosen else ""}> '
        f"{words[str(level)]}</label>"
        for level in sorted(levels, reverse=True)
    )
    page = f"""<!DOCTYPE html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{words["title"]}</title><style>{STYLE}</style></head>
<body><header><p lang="{other}"><a href="/authorize?{switch}" hreflang="{other}">{words["other"]}</a></p></header>
<main><h1>{words["title"]}</h1><p>{words["lead"]}</p>
<p>{words["asks"]}: <strong>{escape(given["client_id"])}</strong></p>
<form method="post" action="/authorize?{escape(urlencode(given))}">
<fieldset><legend>{words["assurance"]}</legend>{assurances}</fieldset>
<ul>{"".join(_item(persona, lang) for persona in PERSONAS.values())}</ul>
<button name="cancel" value="1">{words["cancel"]}</button>
</form></main></body></html>"""
    return HTMLResponse(page, headers=_headers(given["redirect_uri"]))


def _item(persona: PersonaRecord, lang: str) -> str:
    label = WORDS[lang]["as"].format(persona.title.partition(",")[0])
    told = persona.description_ko if lang == "ko" else persona.description_en
    described = f'aria-describedby="about-{persona.name}"'
    button = f'<button name="persona" value="{persona.name}" {described}>{escape(label)}</button>'
    return f'<li>{button}<p id="about-{persona.name}"><code>{persona.name}</code> {escape(told)}</p></li>'


def _headers(redirect_uri: str) -> dict[str, str]:
    """The policy of the page. Browsers hold form-action against the redirect that follows, so it names the client."""
    url = urlsplit(redirect_uri)
    client = f"{url.scheme}://{url.netloc}" if "[" not in url.netloc else f"{url.scheme}:"  # CSP cannot say IPv6
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; "
    return {
        "Content-Security-Policy": f"{policy}form-action 'self' {client}",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
