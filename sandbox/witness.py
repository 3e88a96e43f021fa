"""A small witness for logs: cosigns a checkpoint that continues the one it saw last. For tests and for trying it out.

Sources: c2sp.org/tlog-witness, c2sp.org/tlog-cosignature, c2sp.org/signed-note; RFC 9162, 2.1.4.2 for proofs. Written
without a line of the log's own code, so that one checks the other. What it saw is on its disk before it signs.

`python -m sandbox.witness --directory DIR --log NAME+ID+KEY [--port 0]` prints `READY URL` and `KEY NAME+ID+KEY`.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "witness.sandbox.invalid/1"
KIND = b"\x04"
LARGEST = 64 * 1024
MOST_PROOF_LINES = 63
SIGNATURE = re.compile("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)")


class Refused(Exception):
    """The checkpoint is not cosigned; the status says why, as the protocol has it."""

    def __init__(self, status: int, said: str = "", media_type: str = "text/plain") -> None:
        super().__init__(status)
        self.status = status
        self.said = said
        self.media_type = media_type


@dataclass(frozen=True, slots=True)
class Asked:
    old: int
    proof: list[bytes]
    text: str
    signatures: list[tuple[str, bytes]]
    origin: str
    size: int
    root: bytes


def asked(body: bytes) -> Asked:
    """What a request says. Raise Refused."""
    try:
        head, _, note = body.decode().partition("\n\n")
        text, _, signed = note.rpartition("\n\n")
        first, *proof = head.split("\n")
        lines = text.split("\n")
        found = [SIGNATURE.fullmatch(line) for line in signed.splitlines()]
        said = Asked(
            int(first.removeprefix("old ")),
            [base64.b64decode(line, validate=True) for line in proof],
            text + "\n",
            [(each[1], base64.b64decode(each[2], validate=True)) for each in found if each],
            lines[0],
            int(lines[1]),
            base64.b64decode(lines[2], validate=True),
        )
    except (ValueError, IndexError, binascii.Error) as error:
        raise Refused(400) from error
    if not first.startswith("old ") or not 0 <= said.old <= said.size or len(proof) > MOST_PROOF_LINES:
        raise Refused(400)
    return said


def leads(old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the proof shows that the new tree begins with the old one."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof
    steps = ([old_root] if old & (old - 1) == 0 else []) + proof
    if not steps:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = _node(step, before), _node(step, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = _node(after, step)
        at, last = at >> 1, last >> 1
    return last == 0 and (before, after) == (old_root, new_root)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def key_id(name: str, kind: bytes, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + key).digest()[:4]


class Witness:
    """Of the logs whose keys it was given, as `name+id+key`."""

    def __init__(self, directory: Path, logs: list[str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._state = directory / "witness.json"
        self._key = _kept_key(directory / "witness.key")
        self._public = self._key.public_key().public_bytes_raw()
        self._lock = threading.Lock()
        self._logs: dict[str, tuple[bytes, Ed25519PublicKey]] = {}
        for log in logs:
            name, identity, encoded = log.split("+", 2)
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
            self._logs[name] = (bytes.fromhex(identity), key)

    @property
    def key(self) -> str:
        identity, encoded = key_id(NAME, KIND, self._public).hex(), base64.b64encode(KIND + self._public).decode()
        return f"{NAME}+{identity}+{encoded}"

    def cosigned(self, body: bytes) -> str:
        """The line of the signature. Raise Refused."""
        said = asked(body)
        self._require_signed(said)
        with self._lock:
            seen = json.loads(self._state.read_text("ascii")) if self._state.exists() else {}
            size, root = seen.get(said.origin, (0, ""))
            if said.old != size:
                raise Refused(409, f"{size}\n", "text/x.tlog.size")
            if said.old == said.size and size and said.root.hex() != root:
                raise Refused(409, f"{size}\n", "text/x.tlog.size")
            if not leads(said.old, said.size, said.proof, bytes.fromhex(root) if size else said.root, said.root):
                raise Refused(422)
            self._keep(seen | {said.origin: (said.size, said.root.hex())})
        at = int(time.time())
        signature = self._key.sign(f"cosignature/v1\ntime {at}\n{said.text}".encode())
        whole = key_id(NAME, KIND, self._public) + at.to_bytes(8, "big") + signature
        return f"\u2014 {NAME} {base64.b64encode(whole).decode()}\n"

    def _require_signed(self, said: Asked) -> None:
        if said.origin not in self._logs:
            raise Refused(404)
        identity, key = self._logs[said.origin]
        for name, data in said.signatures:
            if name == said.origin and data[:4] == identity:
                try:
                    key.verify(data[4:], said.text.encode())
                except InvalidSignature:
                    continue
                return
        raise Refused(403)

    def _keep(self, seen: object) -> None:
        draft = self._state.with_suffix(".draft")
        with draft.open("w", encoding="ascii") as out:
            json.dump(seen, out)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self._state)


def _kept_key(file: Path) -> Ed25519PrivateKey:
    if not file.exists():
        file.write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
    return Ed25519PrivateKey.from_private_bytes(file.read_bytes())


def server(witness: Witness, port: int) -> ThreadingHTTPServer:
    """`POST /add-checkpoint` on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(min(length, LARGEST))
            try:
                said = witness.cosigned(body) if self.path == "/add-checkpoint" else None
                self._answer(404 if said is None else 200, said or "", "text/plain")
            except Refused as refused:
                self._answer(refused.status, refused.said, refused.media_type)

        def _answer(self, status: int, said: str, media_type: str) -> None:
            data = said.encode()
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


@click.command()
@click.option("--directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="Key and state.")
@click.option("--log", "logs", required=True, multiple=True, help="Key of a log it knows, name+id+key.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535))
def main(directory: Path, logs: tuple[str, ...], port: int) -> None:
    """Witness these logs until ended."""
    witness = Witness(directory, list(logs))
    with server(witness, port) as serving:
        click.echo(f"KEY {witness.key}")
        click.echo(f"READY http://127.0.0.1:{serving.server_address[1]}")
        serving.serve_forever()


if __name__ == "__main__":
    main()
