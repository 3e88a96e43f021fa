"""The page of the policies is what the policies say."""

from pathlib import Path

from auth import page
from auth.policy import annotations, written

PAGE = Path(__file__).parents[2] / "docs" / "who-may-see-what.md"


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text("utf-8") == page.page(), "Run: sh run policies > docs/who-may-see-what.md"


def test_every_policy_has_its_paragraph_with_sentence_and_basis() -> None:
    text = page.page()
    for policy, said in annotations(written()).items():
        [paragraph] = [each for each in text.split("\n## ") if each.startswith(f"{said['row']} {policy}\n")]
        assert said["sentence"] in paragraph
        assert f"- Basis: {said['legal_basis']}\n" in paragraph
        assert f"- Refused with: {said.get('refusal', '')}" in paragraph


def test_every_law_of_the_glossary_is_named_by_a_policy() -> None:
    bases = " ".join(said["legal_basis"] for said in annotations(written()).values())
    assert all(law in bases for law in page.LAWS)
