"""A person's access log on paper: PDF, in Korean or English, with the file that proves it attached.

The font is NanumSquare (Naver, SIL Open Font License 1.1; fonts/LICENSE-NanumSquare.txt), from Debian's fonts-nanum.
It has every syllable of Hangul.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import Any, Final

from fpdf import FPDF

from schema.text import Bilingual, Language

KOREA: Final = timezone(timedelta(hours=9))
FONT: Final = "NanumSquareR"
WIDTH_MM: Final = 180
TITLE: Final = Bilingual("내 정보 접근기록", "Access log of my data")
MADE: Final = Bilingual("발급 일시", "Made at")
COUNT: Final = Bilingual("기록 수", "Entries")
MORE: Final = Bilingual(
    "더 오래된 기록이 있습니다. 이 시각 이전의 기록을 따로 내려받으십시오",
    "There are older entries. Download those before this moment separately",
)
SELF: Final = Bilingual("본인", "You")
ROWS: Final[Mapping[str, Bilingual]] = {
    "who": Bilingual("열람자", "Who"),
    "purpose": Bilingual("목적", "Why"),
    "legalBasis": Bilingual("법적 근거", "Legal basis"),
    "caseNumber": Bilingual("사건번호", "Case number"),
    "task": Bilingual("행위", "What was done"),
    "outcome": Bilingual("결과", "Outcome"),
    "disclosed": Bilingual("제공된 항목", "What was seen"),
    "withheld": Bilingual("거부된 항목", "What was refused"),
    "leaf": Bilingual("기록 순번과 지문", "Leaf and hash"),
}
PROOF: Final = Bilingual(
    "이 문서에는 각 기록의 증명이 담긴 파일 access-log.json이 첨부되어 있습니다. 첨부 파일을 저장한 뒤 "
    "공개키로 확인할 수 있습니다: onestop log proof --check access-log.json --key 공개키",
    "The file access-log.json, which proves the entries, is attached to this document. Save it and check it with "
    "the public key: onestop log proof --check access-log.json --key PUBLIC-KEY",
)
ASK: Final = Bilingual(
    "기록에 대한 설명은 해당 기관의 개인정보 보호책임자에게 요구할 수 있습니다(개인정보 보호법 제35조).",
    "You may ask the privacy officer of the organisation named to explain an entry (PIPA 35).",
)
KEY: Final = Bilingual("공개키", "Public key")
CHECKPOINT: Final = Bilingual("서명된 확인점", "Signed checkpoint")


class Paper(FPDF):
    """A4, page numbers below."""

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.language = language
        self.set_lang(language.name.lower())
        self.set_title(TITLE.said_in(language))
        with resources.as_file(resources.files("serving") / "fonts" / f"{FONT}.ttf") as file:
            self.add_font(FONT, fname=file)
        self.set_margin(15)
        self.set_auto_page_break(auto=True, margin=18)
        self.add_page()

    def footer(self) -> None:
        """The number of the page."""
        self.set_y(-14)
        self.set_font(FONT, size=8)
        self.cell(WIDTH_MM, 6, str(self.page_no()), align="C")

    def line_of(self, text: str, size: float = 9, indent: float = 0) -> None:
        """A paragraph of its own."""
        self.set_font(FONT, size=size)
        self.set_x(15 + indent)
        self.multi_cell(WIDTH_MM - indent, size * 0.56, text, align="L", new_x="LMARGIN", new_y="NEXT")

    def said(self, words: Bilingual) -> str:
        return words.said_in(self.language)


def paper(entries: Sequence[Mapping[str, Any]], told: Mapping[str, Any], file: bytes, language: Language) -> bytes:
    """The PDF of the entries of an access-log.json, which is attached. `told` is what that file says of itself."""
    made = Paper(language)
    made.line_of(made.said(TITLE), 16)
    made.ln(2)
    made.line_of(f"{made.said(MADE)}: {moment(told['madeAt'])}")
    made.line_of(f"{made.said(COUNT)}: {len(entries)}")
    if told["next"] is not None:
        made.line_of(f"{made.said(MORE)}: {moment(entries[-1]['at'])}")
    made.ln(2)
    for entry in entries:
        made.set_draw_color(180)
        made.line(15, made.get_y(), 195, made.get_y())
        made.ln(1.5)
        made.line_of(f"{moment(entry['at'])}  {entry['actor']['agency']}", 10.5)
        for name, text in rows(entry, made.said(SELF)):
            made.line_of(f"{made.said(ROWS[name])}: {text}", 9, indent=4)
        made.ln(1.5)
    made.line(15, made.get_y(), 195, made.get_y())
    made.ln(2)
    made.line_of(made.said(ASK))
    made.line_of(made.said(PROOF))
    made.line_of(f"{made.said(KEY)}: {told['key']}", 8)
    if told["checkpoint"] is not None:
        made.line_of(f"{made.said(CHECKPOINT)}:", 8)
        made.line_of(told["checkpoint"], 8, indent=4)
    made.embed_file(bytes=file, basename="access-log.json", mime_type="application/json")
    return bytes(made.output())


def moment(at: str | datetime) -> str:
    """In Korea, to the second."""
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{instant.astimezone(KOREA):%Y-%m-%d %H:%M:%S} (UTC+9)"


def rows(entry: Mapping[str, Any], oneself: str) -> list[tuple[str, str]]:
    """What is said of an entry, in order."""
    actor = entry["actor"]
    who = actor["pseudonym"] or ("" if entry["reduced"] else oneself)
    found: list[tuple[str, str | None]] = [
        ("who", f"{actor['kindLabel']} {who}".strip()),
        ("purpose", entry["purposeLabel"]),
        ("legalBasis", entry["legalBasis"]),
        ("caseNumber", entry["caseNumber"]),
        ("task", entry["taskLabel"]),
        ("outcome", entry["outcomeLabel"]),
        ("disclosed", _fields(entry["disclosed"])),
        ("withheld", _fields(entry["withheld"])),
        ("leaf", f"{entry['integrity']['leafIndex']}  {entry['integrity']['leafHash']}"),
    ]
    return [(name, text) for name, text in found if text]


def _fields(groups: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{each['agencyLabel']} · {each['typeLabel']}: {', '.join(each['labels'])}" for each in groups)
