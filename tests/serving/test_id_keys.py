"""The file of the identifiers' keys: the newest first, the one it began with last."""

from dataclasses import replace
from pathlib import Path

import pytest

import app
from auth.ids import SANDBOX_ROOT
from serving.settings import Settings

NEWER, OLDER, FIRST = (bytes([number]) * 32 for number in (3, 2, 1))


def keys_in(folder: Path, text: str) -> list[bytes]:
    file = folder / "ids.key"
    file.write_text(text)
    return app._id_keys(replace(Settings(), id_key_file=file))


def test_without_a_file_the_key_is_the_sandboxs() -> None:
    assert app._id_keys(Settings()) == [SANDBOX_ROOT]


@pytest.mark.parametrize("keys", [[FIRST], [NEWER, FIRST], [NEWER, OLDER, FIRST]])
def test_one_to_three_keys_are_taken_in_their_order(tmp_path: Path, keys: list[bytes]) -> None:
    assert keys_in(tmp_path, "\n".join(key.hex() for key in keys) + "\n\n") == keys
    assert app._id_root(replace(Settings(), id_key_file=tmp_path / "ids.key")) == FIRST


@pytest.mark.parametrize("text", ["", "\n", "00" * 31, "zz" * 32, f"{'00' * 32}\n{'11' * 16}", f"{'00' * 32}\n" * 4])
def test_any_other_file_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(app.Refusal) as refused:
        keys_in(tmp_path, text)
    assert "ONESTOP_ID_KEY_FILE" in str(refused.value)
    assert "0000" not in str(refused.value)
