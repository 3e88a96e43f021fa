"""Why a rule fired, in words of Korean and English, with the numbers that made it fire.

For the privacy officer and for the official who is asked: what was seen, not what is thought of it.
"""

from collections.abc import Mapping
from typing import Literal

from audit.findings.shapes import Finding, Hit, Rule

Tongue = Literal["KO", "EN"]

TEXTS: Mapping[Rule, tuple[str, str]] = {
    Rule.NO_OPEN_CASE: (
        "이 사람이 당사자인 진행 중인 사건이 없고, 조회를 설명하는 근거도 없습니다.",
        "No case with this person as a party was open, and nothing else explains the access.",
    ),
    Rule.CASE_ALREADY_CLOSED: (
        "조회에 적힌 사건은 이미 종결된 사건입니다.",
        "The case that was named had been closed.",
    ),
    Rule.OWN_RECORD: ("공무원이 자신의 기록을 조회했습니다.", "The official looked at their own record."),
    Rule.FAMILY_MEMBER: (
        "조회된 사람은 공무원의 가족입니다({kin}).",
        "The person is family of the official ({kin}).",
    ),
    Rule.COLLEAGUE: (
        "조회된 사람은 같은 기관에서 일합니다.",
        "The person works in the official's own organisation.",
    ),
    Rule.PUBLIC_FIGURE: (
        "보호 명단에 있는 사람이며, 이 공무원은 그 열람 명단에 없습니다.",
        "The person is on the protected list, and the official is not on its access list.",
    ),
    Rule.UNUSUAL_VOLUME: (
        "배정·위임·요청받은 사건이 아닌 {persons}명을 하루에 조회했습니다(기준 20명 이상, z 4 이상). {against}",
        "{persons} persons in one day, whose cases nobody handed over (20 or more, z of 4 or more). {against}",
    ),
    Rule.OFF_HOURS: (
        "24시간 안에 근무 시간(앞뒤 60분 포함) 밖이나 공휴일에 {persons}명을 조회했습니다(기준 3명).",
        "{persons} persons in 24 hours outside the roster, give or take an hour, or on a public holiday (3 or more).",
    ),
    Rule.REFUSALS_IN_A_ROW: (
        "24시간 안에 {persons}명에 대해 {cells}개 항목이 거부되었습니다(기준 5명, 10개).",
        "{cells} cells refused over {persons} persons in 24 hours (10 over 5 or more).",
    ),
    Rule.OVER_BROAD: (
        "같은 목적의 조회 가운데 {share}만 읽는 항목을 읽었습니다(기준 1% 미만): {coordinates}.",
        "Read what only {share} of accesses with this purpose read (less than 1%): {coordinates}.",
    ),
    Rule.REPEAT_INTEREST: (
        "사건에 아무 처리가 없는 동안 같은 사람을 30일 중 {days}일에 조회했습니다(기준 3일).",
        "The same person on {days} days of 30 without activity in a case of theirs between (3 or more).",
    ),
    Rule.BREAK_GLASS: (
        "긴급 열람을 사용했습니다. 긴급 열람은 언제나 검토합니다.",
        "Emergency access was used; it is always reviewed.",
    ),
}
NO_PARTY = (
    "조회된 사람은 조회에 적힌 사건의 당사자가 아닙니다.",
    "The person is no party of the case that was named.",
)
GAPS = {
    "late": (
        "기록 영수증이 {seconds}초가 지나도록 로그 트리에 들어가지 않았습니다(기준 60초).",
        "A receipt was not in the log's tree after {seconds} seconds (60 are allowed).",
    ),
    "no record": ("기록이 없는 잎이 로그 트리에 있습니다.", "The log's tree has a leaf without its record."),
    "behind": (
        "로그 트리가 {seconds}초 늦습니다(기준 60초).",
        "The log's tree is {seconds} seconds behind (60 or more).",
    ),
}
AGAINST = {
    "own": (
        "본인의 지난 {number}근무일 중앙값 {median:g}명(z {z:.1f}).",
        "Own median over the last {number} working days: {median:g} (z {z:.1f}).",
    ),
    "peers": (
        "같은 날 같은 업무 {number}명의 중앙값 {median:g}명(z {z:.1f}).",
        "Median of {number} peers on the same day: {median:g} (z {z:.1f}).",
    ),
}


def explanation(finding: Finding, tongue: Tongue) -> str:
    """One sentence for each thing that was noticed, with how often, the gravest first."""
    said = [sentence(hit, tongue) for hit in sorted(finding.hits, key=lambda hit: hit.rule != finding.rule)]
    counted = {each: said.count(each) for each in said}
    times = "{0} ({1}회)" if tongue == "KO" else "{0} ({1} times)"
    return " ".join(times.format(each, number) if number > 1 else each for each, number in counted.items())


def sentence(hit: Hit, tongue: Tongue) -> str:
    """Why this rule fired."""
    which = 0 if tongue == "KO" else 1
    numbers = hit.numbers
    match hit.rule:
        case Rule.LOG_GAP:
            return GAPS[str(numbers["why"])][which].format(**numbers)
        case Rule.CASE_ALREADY_CLOSED if numbers["why"] == "no party":
            return NO_PARTY[which]
        case Rule.FAMILY_MEMBER:
            return TEXTS[hit.rule][which].format(kin=_kin(int(numbers["degree"]), bool(numbers["of_spouse"]), tongue))
        case Rule.OVER_BROAD:
            return TEXTS[hit.rule][which].format(share=f"{numbers['share']:.2%}", coordinates=numbers["coordinates"])
        case Rule.UNUSUAL_VOLUME:
            against = [
                text[which].format(
                    number=numbers[f"{whose}_number"], median=numbers[f"{whose}_median"], z=numbers[f"{whose}_z"]
                )
                for whose, text in AGAINST.items()
            ]
            return TEXTS[hit.rule][which].format(persons=numbers["persons"], against=" ".join(against))
        case _:
            return TEXTS[hit.rule][which].format(**numbers)


def _kin(degree: int, of_spouse: bool, tongue: Tongue) -> str:
    if degree == 0:
        return "배우자" if tongue == "KO" else "spouse"
    if tongue == "KO":
        return f"배우자의 {degree}촌" if of_spouse else f"{degree}촌"
    return f"kinship degree {degree} of the spouse" if of_spouse else f"kinship degree {degree}"
