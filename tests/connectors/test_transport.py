import asyncio
import gzip
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from connectors.transport import BODY_LIMIT, Transport, Unavailable, Unreadable, random_uuid
from schema.disclosure import Agency
from tests.connectors.wire import Reply, Seen, raw_reply, reply_json, request_head, serving, serving_raw

OPEN: Any = asynccontextmanager


@OPEN
async def to(base_url: str, **settings: Any) -> AsyncIterator[Transport]:
    transport = Transport(Agency.LAND, base_url, **settings)
    try:
        yield transport
    finally:
        await transport.close()


async def test_every_request_names_client_purpose_case_and_a_new_request_id() -> None:
    async with serving(lambda _: reply_json({})) as agency, to(agency.base_url) as transport:
        first = await transport.request("GET", "/v1/x", purpose="ESTATE_DISCOVERY", case="c-1")
        second = await transport.request("GET", "/v1/x", purpose="ESTATE_DISCOVERY")
    one, two = agency.seen
    assert one.headers["X-Client-Id"] == "onestop"
    assert one.headers["X-Purpose"] == "ESTATE_DISCOVERY"
    assert one.headers["X-Case"] == "c-1"
    assert "X-Case" not in two.headers
    assert one.headers["Accept-Encoding"] == "identity"
    assert (one.request_id, two.request_id) == (first.request_id, second.request_id)
    assert one.request_id != two.request_id
    assert uuid.UUID(one.request_id).version == 4


def test_a_request_id_is_a_random_uuid_as_everybody_spells_it() -> None:
    drawn = {random_uuid() for _ in range(100)}

    assert len(drawn) == 100
    assert {(str(uuid.UUID(each)), uuid.UUID(each).version, uuid.UUID(each).variant) for each in drawn} == {
        (each, 4, uuid.RFC_4122) for each in drawn
    }


async def test_connections_are_kept_and_cookies_are_not() -> None:
    async with (
        serving(lambda _: reply_json({}, **{"Set-Cookie": "a=b; Path=/"})) as agency,
        to(agency.base_url) as transport,
    ):
        await transport.request("GET", "/", purpose="P")
        await transport.request("GET", "/", purpose="P")
    assert len({one.peer_port for one in agency.seen}) == 1
    assert all("Cookie" not in one.headers for one in agency.seen)


async def test_a_redirect_is_given_back_and_its_target_never_asked() -> None:
    async with serving(lambda _: reply_json({})) as elsewhere:
        target = f"{elsewhere.base_url}/v1/secret"
        async with (
            serving(lambda _: Reply(status=302, headers={"Location": target})) as agency,
            to(agency.base_url) as transport,
        ):
            reply = await transport.request("GET", "/v1/x", purpose="P")
        assert reply.status == 302
        assert len(agency.seen) == 1
    assert elsewhere.seen == []


async def test_a_compressed_body_is_not_opened() -> None:
    bomb = gzip.compress(bytes(64 * BODY_LIMIT))
    async with (
        serving(lambda _: Reply(bomb, headers={"Content-Encoding": "gzip"})) as agency,
        to(agency.base_url) as transport,
    ):
        with pytest.raises(Unreadable) as raised:
            await transport.request("GET", "/", purpose="P")
    assert raised.value.code == "ENCODED"
    assert len(agency.seen) == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_may_have_a_mebibyte_and_not_one_byte_more(chunked: bool) -> None:
    sizes = iter([BODY_LIMIT, BODY_LIMIT + 1])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        body = b" " * next(sizes)
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        else:
            writer.write(raw_reply(body))
        await writer.drain()

    async with serving_raw(talk) as base_url, to(base_url) as transport:
        assert len((await transport.request("GET", "/", purpose="P")).body) == BODY_LIMIT
        with pytest.raises(Unreadable) as raised:
            await transport.request("GET", "/", purpose="P")
    assert raised.value.code == "TOO_LARGE"
    assert next(sizes, None) is None


async def test_an_agency_slower_than_its_budget_is_unavailable() -> None:
    asked, enough = asyncio.Event(), asyncio.Event()

    async def slow(_: Seen) -> Reply:
        asked.set()
        await enough.wait()
        return reply_json({})

    async with serving(slow) as agency, to(agency.base_url, timeout_s=0.2) as transport:
        with pytest.raises(Unavailable) as raised:
            await transport.request("GET", "/", purpose="P")
        assert asked.is_set()
        enough.set()
    assert raised.value.code == "TIMEOUT"


async def test_a_body_that_trickles_past_the_budget_is_unavailable() -> None:
    asked = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
        await writer.drain()
        asked.set()
        await reader.read()  # until the other side gives up

    async with serving_raw(trickle) as base_url, to(base_url, timeout_s=0.2) as transport:
        with pytest.raises(Unavailable) as raised:
            await transport.request("GET", "/", purpose="P")
    assert asked.is_set()
    assert raised.value.code == "TIMEOUT"


async def test_a_callers_earlier_deadline_counts() -> None:
    async with serving(lambda _: reply_json({})) as agency, to(agency.base_url) as transport:
        with pytest.raises(Unavailable) as raised:
            await transport.request("GET", "/", purpose="P", deadline=asyncio.get_running_loop().time() - 1)
    assert raised.value.code == "TIMEOUT"
    assert agency.seen == []


async def test_a_refused_connection_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with to(f"http://127.0.0.1:{port}") as transport:
        with pytest.raises(Unavailable) as raised:
            await transport.request("GET", "/", purpose="P")
    assert raised.value.code == "CONNECTION_FAILED"
    assert str(port) not in str(raised.value)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(1000)) + b"\r\n",
    ],
)
async def test_whatever_is_not_http_is_unavailable(said: bytes) -> None:
    met = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        met.set()
        writer.write(said)
        await writer.drain()

    async with serving_raw(talk) as base_url, to(base_url) as transport:
        with pytest.raises(Unavailable) as raised:
            await transport.request("GET", "/", purpose="P")
    assert met.is_set()
    assert raised.value.code == "CONNECTION_FAILED"


async def test_a_get_on_a_kept_connection_that_was_closed_meanwhile_is_sent_once_more_and_a_post_is_not() -> None:
    asked: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await request_head(reader))[":path"])
        writer.write(raw_reply(b"{}"))
        asked.append((await request_head(reader))[":path"] + " dropped")

    async with serving_raw(talk) as base_url, to(base_url) as transport:
        await transport.request("GET", "/1", purpose="P")
        assert (await transport.request("GET", "/2", purpose="P")).body == b"{}"
        assert asked == ["/1", "/2 dropped", "/2"]
        with pytest.raises(Unavailable):
            await transport.request("POST", "/3", purpose="P")
    assert asked == ["/1", "/2 dropped", "/2", "/3 dropped"]


@pytest.mark.parametrize("unasked", [raw_reply(b"surplus"), raw_reply(b"surplus")[:-3]])
async def test_a_kept_connection_on_which_something_came_unasked_is_not_used_again(unasked: bytes) -> None:
    asked: list[str] = []
    kept, sent = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append((await request_head(reader))[":path"])
            writer.write(raw_reply(asked[-1].encode()))
            if len(asked) == 1:
                await kept.wait()
                writer.write(unasked)
                await writer.drain()
                sent.set()

    async with serving_raw(talk) as base_url, to(base_url) as transport:
        assert (await transport.request("GET", "/1", purpose="P")).body == b"/1"
        (connection,) = idle_connections(transport)
        kept.set()
        await sent.wait()
        _, another = await asyncio.open_connection("127.0.0.1", URL(base_url).port)  # a round through the event loop
        another.close()
        assert connection.is_connected()
        assert (await transport.request("POST", "/2", purpose="P")).body == b"/2"
        assert connection not in idle_connections(transport)
    assert asked == ["/1", "/2"]


def idle_connections(transport: Transport) -> list[Any]:
    """The kept connections, as aiohttp keeps them."""
    assert transport._pool is not None
    connector: Any = transport._pool.session.connector
    return [protocol for kept in connector._conns.values() for protocol, _ in kept]


@pytest.mark.parametrize("prefix", ["", "/land", "/l%20and"])
async def test_a_path_is_asked_as_it_is_written_below_the_base(prefix: str) -> None:
    written = ["/v1/owners/lan1_abc/parcels", "/", "/a?b=c", "/.well-known/jwks.json", "/a//b"]
    async with serving(lambda _: reply_json({})) as agency, to(agency.base_url + prefix + "/") as transport:
        for path in written:
            await transport.request("GET", path, purpose="P", params={"c": "d e"})
    below = prefix.replace("%20", " ")
    assert [one.path for one in agency.seen] == [below + path.partition("?")[0] for path in written]
    assert [one.query for one in agency.seen] == [
        {"c": "d e"} | ({"b": "c"} if "?" in path else {}) for path in written
    ]


async def test_a_dropped_pool_is_never_used_again_and_requests_on_their_way_finish() -> None:
    asked, enough = asyncio.Event(), asyncio.Event()

    async def answering(seen: Seen) -> Reply:
        if seen.path == "/slow":
            asked.set()
            await enough.wait()
        return reply_json({})

    async with serving(answering) as agency, to(agency.base_url) as transport:
        await transport.request("GET", "/before", purpose="P")
        on_its_way = asyncio.create_task(transport.request("GET", "/slow", purpose="P"))
        await asked.wait()
        await transport.drop_pool()
        await transport.request("GET", "/after", purpose="P")
        enough.set()
        assert (await on_its_way).status == 200
        await transport.request("GET", "/later", purpose="P")
    ports = {one.path: one.peer_port for one in agency.seen}
    assert ports["/before"] == ports["/slow"]
    assert ports["/after"] == ports["/later"] != ports["/before"]


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.1:1/x",
        "https://elsewhere.invalid/x",
        "//elsewhere.invalid/x",
        "ftp://127.0.0.1/x",
        "v1/x",
        "",
        "http://[",
    ],
)
async def test_a_link_to_anybody_else_is_not_followed(link: str) -> None:
    async with serving(lambda _: reply_json({})) as agency, to(agency.base_url) as transport:
        with pytest.raises(Unreadable) as raised:
            await transport.request("GET", link, purpose="P")
        with_credentials = agency.base_url.replace("://", "://a:b@")
        with pytest.raises(Unreadable):
            await transport.request("GET", with_credentials + "/x", purpose="P")
        assert agency.seen == []
        assert (await transport.request("GET", agency.base_url + "/x?page=2", purpose="P")).status == 200
    assert raised.value.code == "FOREIGN_LINK"
    assert agency.seen[0].query == {"page": "2"}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("30", 30), ("0", 0), ("999999999", 86400), ("-1", None), ("soon", None), ("1" * 5000, None), ("²", None)],
)
async def test_retry_after_is_taken_when_it_is_a_sane_number(said: str, seconds: int | None) -> None:
    down = Reply(status=503, headers={"Retry-After": said})
    async with serving(lambda _: down) as agency, to(agency.base_url) as transport:
        assert (await transport.request("GET", "/", purpose="P")).retry_after_s == seconds


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lambda _: reply_json({})) as proxy, serving(lambda _: reply_json({})) as agency:
        monkeypatch.setenv("http_proxy", proxy.base_url)
        monkeypatch.setenv("no_proxy", "")
        async with to(agency.base_url) as transport:
            await transport.request("GET", "/", purpose="P")
    assert (len(proxy.seen), len(agency.seen)) == (0, 1)


# ---------------------------------------------------------------- mutual TLS


def certificate(folder: Path, name: str, issuer: tuple[Any, Any] | None) -> tuple[Path, Path, tuple[Any, Any]]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = (subject, key) if issuer is None else issuer
    now = datetime.now(UTC)
    authority = issuer is None
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file, (subject, key)


@OPEN
async def serving_tls(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[Any]]]:
    """The base URL, and the certificate of each client whose request arrived."""
    met: list[Any] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        met.append(request.get_extra_info("peercert"))
        return web.Response()

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", met
    finally:
        await runner.cleanup()


async def test_with_certificate_files_both_sides_prove_who_they_are(tmp_path: Path) -> None:
    ca_file, _, ca = certificate(tmp_path, "ca", None)
    server_cert, server_key, _ = certificate(tmp_path, "agency", ca)
    client_cert, client_key, _ = certificate(tmp_path, "onestop", ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_cert, server_key)
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    both = {"ca_file": ca_file, "client_cert_file": client_cert, "client_key_file": client_key}
    connecting: Callable[..., AbstractAsyncContextManager[Transport]] = to
    async with serving_tls(context) as (base_url, met):
        async with connecting(base_url, **both) as transport:
            assert (await transport.request("GET", "/", purpose="P")).status == 200
        assert met[0]["subject"] == ((("commonName", "onestop"),),)
        async with connecting(base_url, ca_file=ca_file) as anonymous:
            with pytest.raises(Unavailable):
                await anonymous.request("GET", "/", purpose="P")
        async with connecting(base_url) as trusting_only_the_system:
            with pytest.raises(Unavailable):
                await trusting_only_the_system.request("GET", "/", purpose="P")
    assert len(met) == 1


async def test_an_authority_of_our_own_is_trusted_instead_of_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_file, _, public = certificate(tmp_path, "public", None)
    ours_file, _, _ = certificate(tmp_path, "ours", None)
    server_cert, server_key, _ = certificate(tmp_path, "impostor", public)
    monkeypatch.setenv("SSL_CERT_FILE", str(public_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_cert, server_key)
    async with serving_tls(context) as (base_url, met):
        async with to(base_url) as trusting_the_system:
            assert (await trusting_the_system.request("GET", "/", purpose="P")).status == 200
        async with to(base_url, ca_file=ours_file) as trusting_us:
            with pytest.raises(Unavailable):
                await trusting_us.request("GET", "/", purpose="P")
    assert len(met) == 1
