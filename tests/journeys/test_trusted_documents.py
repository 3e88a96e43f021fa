"""Trusted documents from the outside: the command here, the server in its own process, one database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

import app
from sandbox.facts import Subject
from sandbox.issuer import Issuer
from sandbox.personas import PERSONAS, PersonaRecord
from tests.journeys.client import GRAPHQL, JSON, Onestop, Reply, sent
from tests.journeys.documents import BIRTH

MINE = "query Mine { viewer { person { name } } }"
CLIENT = "sandbox-portal"


def by_id(onestop: Onestop, persona: str, document_id: str) -> Reply:
    headers = {"Authorization": f"Bearer {onestop.token(persona)}", "Accept": GRAPHQL, "Content-Type": JSON}
    return sent("POST", f"{onestop.url}/graphql", {"documentId": document_id}, headers)


def test_a_running_server_answers_what_is_approved_until_it_is_revoked(onestop: Onestop, tmp_path: Path) -> None:
    manifest = tmp_path / "persisted-documents.json"
    manifest.write_text(json.dumps({"mine": MINE}))
    data = ["--data", str(onestop.directory)]
    said = onestop.command(
        "documents", "register", str(manifest), "--client", CLIENT, "--purpose", "SUBJECT_ACCESS", *data
    )
    document_id = said.split()[0]
    reply = by_id(onestop, "heir", document_id)
    assert (reply.status, reply.code) == (400, "DOCUMENT_NOT_TRUSTED")
    token = onestop.token("privacy-officer")
    said = onestop.command("documents", "approve", document_id, "--client", CLIENT, "--token", token, *data)
    assert "APPROVED" in said
    assert by_id(onestop, "heir", document_id).data["viewer"]["person"]["name"]
    everything = json.loads(onestop.command("documents", "list", "--json", *data))
    (listed,) = [each for each in everything if each["documentId"] == document_id]
    assert (listed["documentId"], listed["state"], listed["operations"]) == (document_id, "APPROVED", ["Mine"])
    onestop.command("documents", "revoke", document_id, "--client", CLIENT, "--reason", "wrong page", *data)
    reply = by_id(onestop, "heir", document_id)  # the very next question
    assert reply.code == "DOCUMENT_NOT_TRUSTED"
    assert "revoked" in reply.errors[0]["message"]
    told = [each for each in json.loads(onestop.command("documents", "history", "--json", *data)) if each["reason"]]
    assert [each["actor"].partition(":")[0] for each in told if each["documentId"] == document_id] == ["account"]


def test_an_officer_with_a_key_bound_token_approves_and_revokes_with_the_key(onestop: Onestop, tmp_path: Path) -> None:
    document, key, data = tmp_path / "document.graphql", tmp_path / "key.jwk", ["--data", str(onestop.directory)]
    document.write_text("query Bound { viewer { assurance } }")
    registered = ["documents", "register", str(document), "--client", CLIENT, "--purpose", "SUBJECT_ACCESS", *data]
    document_id = onestop.command(*registered).split()[0]
    token = onestop.command("token", "--persona", "privacy-officer", "--dpop-key", str(key), *data).strip()
    officer = ["--client", CLIENT, "--token", token, *data]
    environment = {"XDG_RUNTIME_DIR": str(onestop.runtime)}
    bare = CliRunner().invoke(app.main, ["documents", "approve", document_id, *officer], env=environment)
    assert (bare.exit_code, "bound to a key" in bare.output) == (1, True)
    proved = [*officer, "--dpop-key", str(key)]
    assert "APPROVED" in onestop.command("documents", "approve", document_id, *proved)
    onestop.command("documents", "revoke", document_id, "--reason", "wrong page", *proved)
    told = json.loads(onestop.command("documents", "history", "--json", *data))
    actors = [(each["event"], each["actor"]) for each in told if each["documentId"] == document_id]
    assert actors == [(event, PERSONAS["privacy-officer"].subject) for event in ("APPROVED", "ENDED")]


def test_the_command_takes_no_approval_of_anybody_else(onestop: Onestop, tmp_path: Path) -> None:
    file = tmp_path / "birth.graphql"
    file.write_text(BIRTH)
    data = ["--data", str(onestop.directory)]
    said = onestop.command("documents", "register", str(file), "--client", "p", "--purpose", "BIRTH_BENEFITS", *data)
    document_id = said.split()[0]

    def approved(token: str) -> tuple[int, str]:
        environment = {"XDG_RUNTIME_DIR": str(onestop.runtime)}
        arguments = ["documents", "approve", document_id, "--client", "p", "--token", "-", *data]
        ran = CliRunner().invoke(app.main, arguments, input=token, env=environment)
        return ran.exit_code, ran.output

    forged = onestop.token("privacy-officer")[:-8] + "AAAAAAAA"
    for token in (
        onestop.token("heir"),
        onestop.token("case-officer"),
        onestop.token("privacy-officer", "low"),
        forged,
    ):
        status, said = approved(token)
        assert (status, "Error:" in said) == (1, True)
    assert approved(onestop.token("privacy-officer"))[1].split()[3] == "PENDING"
    assert approved(onestop.token("privacy-officer"))[1].split()[3] == "PENDING"
    officer = PERSONAS["privacy-officer"]
    colleague = PersonaRecord(
        "colleague", Subject("b" * 26), officer.roles, officer.office, officer.agency, "Colleague", "", ""
    )
    token = Issuer(onestop.issuer, onestop.directory / "sandbox" / "issuer.jwk").token(
        colleague,
        audience=onestop.audience,
        client_id=CLIENT,
        acr=3,
        ttl=timedelta(minutes=5),
        now=datetime.now(UTC),
    )
    assert approved(token)[1].split()[3] == "APPROVED"


def test_the_report_fails_on_what_is_not_valid(tmp_path: Path) -> None:
    file = tmp_path / "wrong.graphql"
    file.write_text("{ viewer { asurance } }")
    arguments = [
        "documents",
        "report",
        str(file),
        "--client",
        "p",
        "--purpose",
        "SUBJECT_ACCESS",
        "--data",
        str(tmp_path),
    ]
    ran = CliRunner().invoke(app.main, [*arguments, "--json"])
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["documents"][0]["errors"][0]["locations"]
