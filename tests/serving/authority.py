"""A timestamp authority over HTTP, made with openssl: `python authority.py FOLDER PORT` prints READY and its URL.

Its certificates are made where FOLDER has none: `ca.pem` is whom to trust.
"""

import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ts]
default_tsa = authority
[authority]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
"""


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make(folder: Path) -> None:
    """Give the folder an authority and who certifies it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "serial").write_text("01\n")
    config = folder / "openssl.cnf"
    config.write_text(CONFIG.format(folder=folder))
    of = ("-config", str(config), "-newkey", "rsa:2048", "-nodes")
    ca, tsa = folder / "ca", folder / "tsa"
    openssl("req", "-x509", *of, "-days", "30", "-subj", "/CN=ca", "-extensions", "ca",
            "-keyout", f"{ca}.key", "-out", f"{ca}.pem")  # fmt: skip
    openssl("req", *of, "-subj", "/CN=authority", "-keyout", f"{tsa}.key", "-out", f"{tsa}.csr")
    openssl("x509", "-req", "-in", f"{tsa}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-days", "30", "-extfile", str(config), "-extensions", "tsa", "-out", f"{tsa}.pem")  # fmt: skip


def stamped(folder: Path, query: bytes) -> bytes:
    """What the authority answers."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, reply = Path(scratch) / "query", Path(scratch) / "reply"
        asked.write_bytes(query)
        openssl("ts", "-reply", "-config", str(folder / "openssl.cnf"), "-section", "authority",
                "-queryfile", str(asked), "-out", str(reply))  # fmt: skip
        return reply.read_bytes()


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    if not (folder / "ca.pem").exists():
        make(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = stamped(folder, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        print(f"READY http://127.0.0.1:{server.server_address[1]}", flush=True)  # noqa: T201 - whoever started it waits
        server.serve_forever()


if __name__ == "__main__":
    main()
