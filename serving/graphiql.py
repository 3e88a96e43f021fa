"""GraphiQL for the sandbox, from our own files: nothing is loaded from anywhere else, and the page is told so (CSP).

The files are copies of published builds; docs/decisions/graphiql.md says of what and how.
"""

from pathlib import Path
from typing import Final

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from serving.endpoint import Response

FILES: Final = Path(__file__).parent / "static" / "graphiql"

# Everything from here, nothing inline. A dialog of GraphiQL loses its lock of a scroll bar by it, which we do not have.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> Response:
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return Response(200, (FILES / "index.html").read_bytes(), "text/html", headers)


def files() -> Mount:
    return Mount("/static/graphiql", StaticFiles(directory=FILES))
