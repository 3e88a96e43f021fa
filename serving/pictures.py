"""What `onestop demo` shows: pure functions from answers of the graph, as JSON, to tables for a terminal.

The documents that ask for what is shown are here too. A list that is null is not known and says so; an empty one says
that there is none. Every line names the agency it comes from, and whatever is not known stands among the lines, in red,
so that an incomplete picture never looks complete.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

Json = Mapping[str, Any]

KOREA: Final = timezone(timedelta(hours=9), "KST")
WIDEST: Final = 110
"""Lines longer than this are hard to read, however wide the terminal."""
DOSES_SHOWN: Final = 8
SECTIONS: Final = ("land", "finance", "pensions", "tax", "health", "vehicles")

_ANSWER: Final = """
fragment A on Answer {
  agency status source asOf expectedBy visibleUntil problems { code institution message }
}
"""
_CASE: Final = """
  number kind status purpose mandate { role legalBasis issuedBy holder { name } }
  withheld { coordinate sensitivity refusal { code message remedy } }
  deadlines { code title dueOn daysLeft legalBasis consequence }
"""
VIEWER: Final = """
query Viewer { viewer { assurance person { name } candidates { kind relation opensUntil person { id name } } } }
"""
OPEN_ESTATE: Final = """
mutation OpenEstate($input: OpenEstateCaseInput!) {
  opened: openEstateCase(input: $input) { case { id number } refusal { code message remedy } }
}
"""
OPEN_BIRTH: Final = """
mutation OpenBirth($input: OpenBirthCaseInput!) {
  opened: openBirthCase(input: $input) { case { id number } refusal { code message remedy } }
}
"""
ESTATE: Final = f"""
query Estate($id: ID!) {{ case: estateCase(id: $id) {{ {_CASE}
  deceased {{ name birthDate deathDate sex address maskedRegistrationNumber }}
  heirs {{
    person {{ name birthDate }} relation rank standing share {{ numerator denominator }}
    reservedPortion {{ numerator denominator }} representing {{ name }}
  }}
  summary {{ assets debts net complete missing outlook byAgency {{ agency assets debts }} }}
  land {{
    answer {{ ...A }}
    parcels {{
      pnu address category areaM2 assessedValue ownershipShare {{ numerator denominator }}
      encumbrances {{ kind holder maximumClaim }}
    }}
    buildings {{
      registerNumber name address purpose areaM2 assessedValue ownershipShare {{ numerator denominator }}
      encumbrances {{ kind holder maximumClaim }}
    }}
  }}
  finance {{
    answer {{ ...A }}
    deposits {{ institution {{ name }} product numberSuffix balance dormant jointlyHeld }}
    loans {{ institution {{ name }} product principal interestDue secured }}
    securities {{ institution {{ name }} isin name quantity marketValue }}
    insurance {{ institution {{ name }} product role surrenderValue policyLoan partOfEstate beneficiaryName }}
    cards {{ institution {{ name }} unpaid }}
    guarantees {{ institution {{ name }} limit outstanding }}
    custody {{ institution {{ name }} kind location }}
  }}
  pensions {{
    answer {{ ...A }}
    memberships {{
      scheme schemeName member receiving monthlyPension overpaidAfterDeath loan loanOutstanding
      survivorBenefits {{ kind claimants estimate claimBy partOfEstate }}
    }}
  }}
  tax {{ answer {{ ...A }} items {{ level tax period authority state assessed arrears surcharge refundable dueOn }} }}
  health {{
    answer {{ ...A }}
    unpaidPremiums {{ insurance unpaid surcharge months }} refunds {{ kind amount claimBy }}
  }}
  vehicles {{
    answer {{ ...A }}
    vehicles {{
      plate kind maker model modelYear assessedValue ownershipShare {{ numerator denominator }}
      liens {{ kind creditor claim }} unpaidFines {{ kind amount dueOn authority }}
    }}
    fishingBoats {{ number name port assessedValue }}
  }}
}} }}
{_ANSWER}"""
BIRTH: Final = f"""
query Birth($id: ID!) {{ case: birthCase(id: $id) {{ {_CASE}
  child {{ name birthDate sex address maskedRegistrationNumber }} birthOrder multipleBirth
  parents {{ person {{ name birthDate }} relation custody }}
  land {{ answer {{ ...A }} homes newHomeTaxRelief }}
  finance {{
    answer {{ ...A }}
    vouchers {{ name balance expiresOn }} payoutAccounts {{ institution {{ name }} product numberSuffix balance }}
  }}
  pensions {{ answer {{ ...A }} creditMonths creditedParent }}
  tax {{ answer {{ ...A }} childTaxCredit birthTaxCredit }}
  health {{
    answer {{ ...A }}
    eligibility {{ kind validFrom validUntil }} dependantOf screenings {{ test takenOn result }}
    immunizations {{ vaccine dose givenOn dueFrom dueUntil }} checkups {{ round dueFrom dueUntil takenOn }}
  }}
  vehicles {{ answer {{ ...A }} multiChildTaxRelief reliefRatePercent }}
}} }}
{_ANSWER}"""
ENTRIES: Final = """
query Entries($id: ID!) {
  own: accessLog(first: 100) { edges { node { id } } }
  node(id: $id) { ... on Case { accessLog(first: 100) { edges { node {
    id at client actor { kind agency office } purpose legalBasis operationName task outcome
    disclosed { agency type coordinates } withheld { agency coordinates } integrity { leafIndex }
  } } } } }
}
"""


# ---------------------------------------------------------------- words


def console() -> Console:
    """Where to show it. No colours unless a terminal takes them; nothing in the answers is taken for markup."""
    shown = Console(markup=False, emoji=False, highlight=False)
    shown.width = min(shown.width, WIDEST)
    return shown


def won(amount: int | None) -> Text:
    return Text("not told", "dim") if amount is None else Text(f"{'-' if amount < 0 else ''}₩{abs(amount):,}")


def words(code: str | None) -> str:
    """A word of the graph's enumerations, in running text."""
    return (code or "not told").replace("_", " ").lower()


def fraction(value: Mapping[str, int] | None) -> str:
    if value is None:
        return "not told"
    whole = value["numerator"] == value["denominator"]
    return "1" if whole else f"{value['numerator']}/{value['denominator']}"


def joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def instant(value: str | None) -> str:
    """A moment as it is counted in Korea."""
    return f"{datetime.fromisoformat(value).astimezone(KOREA):%Y-%m-%d %H:%M} KST" if value else "not told"


def _table(*columns: str | Column) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"  # an ellipsis would eat half of a wide letter, and the letter with it
    return table


def _facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    grid = Table.grid(Column(style="dim", no_wrap=True), Column(ratio=1), padding=(0, 2))
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _no(value: str, reason: str) -> Text:
    return Text.assemble((f"{value}: ", "bold red"), (reason, "red"))


def chapter(title: str, *parts: RenderableType) -> Group:
    spaced = [each for part in parts for each in ("", part)]
    return Group("", Rule(Text(title, "bold"), align="left", style="dim"), *spaced)


# ---------------------------------------------------------------- any case


def heading(case: Json, viewer: Json, whose: Iterable[tuple[str, RenderableType]]) -> Table:
    """Whose case it is, and by what right somebody looks at it."""
    mandate = case["mandate"]
    holder = (mandate["holder"] or {}).get("name")
    return _facts(
        [
            *whose,
            ("Case", joined(case["number"], words(case["kind"]), words(case["status"]))),
            ("Asked by", joined(holder, f"as {words(mandate['role'])}", f"assurance {words(viewer['assurance'])}")),
            ("For", words(case["purpose"])),
            ("Basis", joined(mandate["legalBasis"], f"proved by {mandate['issuedBy']}")),
        ]
    )


def answers(case: Json) -> Table:
    """How each agency's answer stands: where from, of when, until when, and what is wrong with it."""
    table = _table(
        Column("Agency", no_wrap=True), Column("Answer", no_wrap=True), Column("From, and as of", ratio=1), "When"
    )
    for answer in (case[name]["answer"] for name in SECTIONS):
        whole = answer["status"] in {"COMPLETE", "NONE_HELD"}
        source = Text(f"{answer['source']}, {instant(answer['asOf'])}")
        for problem in answer["problems"]:
            source.append("\n").append_text(told(problem))
        until = joined(
            f"expected by {answer['expectedBy']}" if answer["expectedBy"] else None,
            f"shown until {instant(answer['visibleUntil'])[:10]}" if answer["visibleUntil"] else None,
        )
        table.add_row(
            answer["agency"], Text(words(answer["status"]), "green" if whole else "bold red"), source, until or "-"
        )
    return table


def told(problem: Json) -> Text:
    """What is wrong, in words."""
    return _no(problem["institution"] or "All of it", f"{problem['message'].rstrip('.')} ({words(problem['code'])}).")


def withheld(case: Json) -> RenderableType:
    """What was asked for and not shown, why, and what would change that."""
    if not case["withheld"]:
        return Text("Nothing was withheld: the mandate reaches everything that was asked.")
    table = _table("Withheld", Column("Why", ratio=1), Column("What would change it", ratio=1))
    for each in case["withheld"]:
        refusal = each["refusal"]
        why = f"{refusal['message']} ({words(refusal['code'])}; {words(each['sensitivity'])})"
        table.add_row(each["coordinate"], why, refusal["remedy"] or "nothing")
    return table


def deadlines(case: Json) -> RenderableType:
    """What falls due, the nearest first; what is over at the end, as it cannot be helped."""
    if not case["deadlines"]:
        return Text("No deadline is running.")
    table = _table(Column("Due", no_wrap=True), Column("Days", justify="right"), Column("What, and if not", ratio=1))
    for each in sorted(case["deadlines"], key=lambda each: (each["daysLeft"] < 0, each["daysLeft"])):
        days = each["daysLeft"]
        style = "red" if days < 0 else "bold yellow" if days <= 30 else ""
        left = f"{-days} ago" if days < 0 else "today" if days == 0 else str(days)
        what = Text.assemble((each["title"], "bold"), f" ({each['legalBasis']}). ", (each["consequence"], "dim"))
        table.add_row(each["dueOn"], Text(left, style), what)
    return table


# ---------------------------------------------------------------- the estate


class Side(Enum):
    """Where a thing stands: in the sums, on one side or the other, or beside the estate."""

    ASSET = "there"
    DEBT = "owed"
    BESIDE = "beside"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of an estate. `amount` is what it adds to its side: None where that is not told."""

    side: Side
    agency: str
    kind: str
    what: str
    amount: int | None


def estate_lines(estate: Json) -> Iterator[Line]:
    """Everything that the agencies named, in their order."""
    yield from _land(estate["land"])
    yield from _financial_assets(estate["finance"])
    yield from _financial_debts(estate["finance"])
    yield from _policies(estate["finance"])
    yield from _pensions(estate["pensions"])
    yield from _tax(estate["tax"])
    yield from _health(estate["health"])
    yield from _vehicles(estate["vehicles"])


def _land(section: Json) -> Iterator[Line]:
    for kind, owned in _parcels_and_buildings(section):
        burdens = owned["encumbrances"] or ()
        use = owned["category"] if kind == "Land" else owned["purpose"]
        what = joined(
            f"{use} {owned['areaM2']} m²",
            owned.get("name"),
            owned["address"],
            _share(owned["ownershipShare"]),
            *(_burden(burden["kind"], burden["holder"], burden["maximumClaim"]) for burden in burdens),
        )
        yield Line(Side.ASSET, "LAND", kind, what, owned["assessedValue"])
        for burden in burdens:
            if burden["kind"] == "LEASE_RIGHT":  # the tenant gets the deposit back
                yield Line(Side.DEBT, "LAND", "Lease", f"deposit, {owned['address']}", burden["maximumClaim"])


def _parcels_and_buildings(section: Json) -> Iterator[tuple[str, Json]]:
    yield from (("Land", parcel) for parcel in section["parcels"] or ())
    yield from (("Building", building) for building in section["buildings"] or ())


def _financial_assets(section: Json) -> Iterator[Line]:
    for deposit in section["deposits"] or ():
        what = joined(
            f"{deposit['institution']['name']} {deposit['product']} …{deposit['numberSuffix'] or '?'}",
            "dormant" if deposit["dormant"] else None,
            "held jointly, whole balance" if deposit["jointlyHeld"] else None,
        )
        yield Line(Side.ASSET, "FINANCE", "Deposit", what, deposit["balance"])
    for security in section["securities"] or ():
        what = f"{security['quantity']} {security['name']} at {security['institution']['name']}"
        yield Line(Side.ASSET, "FINANCE", "Security", what, security["marketValue"])
    for item in section["custody"] or ():
        what = joined(words(item["kind"]), item["institution"]["name"], item["location"], "not valued until opened")
        yield Line(Side.ASSET, "FINANCE", "Custody", what, None)


def _financial_debts(section: Json) -> Iterator[Line]:
    for loan in section["loans"] or ():
        secured = "secured" if loan["secured"] else "unsecured"
        what = f"{loan['institution']['name']} {loan['product']}, {secured}, with interest due"
        yield Line(Side.DEBT, "FINANCE", "Loan", what, _sum(loan["principal"], loan["interestDue"]))
    for card in section["cards"] or ():
        yield Line(Side.DEBT, "FINANCE", "Card", card["institution"]["name"], card["unpaid"])
    for guarantee in section["guarantees"] or ():
        what = f"given to {guarantee['institution']['name']}, limit {won(guarantee['limit'])}"
        yield Line(Side.DEBT, "FINANCE", "Guarantee", what, guarantee["outstanding"])


def _policies(section: Json) -> Iterator[Line]:
    for policy in section["insurance"] or ():
        what = f"{policy['institution']['name']} {policy['product']}"
        if policy["partOfEstate"]:
            yield Line(Side.ASSET, "FINANCE", "Insurance", what, policy["surrenderValue"])
            if policy["policyLoan"] != 0:
                yield Line(Side.DEBT, "FINANCE", "Loan", f"on the policy {what}", policy["policyLoan"])
        elif policy["partOfEstate"] is None:
            yield Line(Side.ASSET, "FINANCE", "Insurance", f"{what}, perhaps somebody else's", None)
        else:
            what = f"{what}, to {policy['beneficiaryName'] or 'a named beneficiary'}"
            yield Line(Side.BESIDE, "FINANCE", "Insurance", what, policy["surrenderValue"])


def _pensions(section: Json) -> Iterator[Line]:
    for member in section["memberships"] or ():
        name = member["schemeName"]
        for benefit in member["survivorBenefits"] or ():
            claimants = " or ".join(words(relation) for relation in benefit["claimants"])
            until = f"claim by {benefit['claimBy']}" if benefit["claimBy"] else None
            what = joined(f"{name} {words(benefit['kind'])}, to {claimants}", until)
            side = Side.ASSET if benefit["partOfEstate"] else Side.BESIDE
            yield Line(side, "PENSIONS", "Pension", what, benefit["estimate"])
        if member["overpaidAfterDeath"]:
            what = f"{name}, overpaid after the death, to be returned"
            yield Line(Side.DEBT, "PENSIONS", "Pension", what, member["overpaidAfterDeath"])
        if member["loanOutstanding"] or member["loan"] == "YES":
            yield Line(Side.DEBT, "PENSIONS", "Loan", name, member["loanOutstanding"])


def _tax(section: Json) -> Iterator[Line]:
    for item in section["items"] or ():
        what = f"{item['tax']} {item['period']}, {item['authority']}"
        if item["state"] == "REFUNDABLE":
            yield Line(Side.ASSET, "TAX", "Refund", what, item["refundable"])
        elif item["state"] == "ARREARS":
            owed = _sum(item["arrears"], item["surcharge"])
            yield Line(Side.DEBT, "TAX", "Arrears", f"{what}, due {item['dueOn']}, with surcharge", owed)
        elif item["state"] != "PAID":
            what = f"{what}, {words(item['state'])}, {item['dueOn']}"
            yield Line(Side.DEBT, "TAX", "Tax", what, item["assessed"])


def _health(section: Json) -> Iterator[Line]:
    for refund in section["refunds"] or ():
        what = joined(words(refund["kind"]), f"claim by {refund['claimBy']}" if refund["claimBy"] else None)
        yield Line(Side.ASSET, "HEALTH", "Refund", what, refund["amount"])
    for premium in section["unpaidPremiums"] or ():
        what = f"{words(premium['insurance'])} insurance, {premium['months']} months, with surcharge"
        yield Line(Side.DEBT, "HEALTH", "Premium", what, _sum(premium["unpaid"], premium["surcharge"]))


def _vehicles(section: Json) -> Iterator[Line]:
    for vehicle in section["vehicles"] or ():
        what = joined(
            f"{vehicle['plate']} {vehicle['maker']} {vehicle['model']} ({vehicle['modelYear']})",
            _share(vehicle["ownershipShare"]),
            *(_burden(lien["kind"], lien["creditor"], lien["claim"]) for lien in vehicle["liens"] or ()),
        )
        yield Line(Side.ASSET, "VEHICLES", "Vehicle", what, vehicle["assessedValue"])
        for fine in vehicle["unpaidFines"] or ():
            what = f"{words(fine['kind'])} {vehicle['plate']}, {fine['authority']}"
            yield Line(Side.DEBT, "VEHICLES", "Fine", what, fine["amount"])
    for boat in section["fishingBoats"] or ():
        what = joined(boat["number"], boat["name"], boat["port"])
        yield Line(Side.ASSET, "VEHICLES", "Boat", what, boat["assessedValue"])


def _burden(kind: str, holder: str | None, claim: int | None) -> str:
    return f"{words(kind)} of {holder or 'somebody'}" + (f" for {won(claim)}" if claim is not None else "")


def _share(value: Mapping[str, int] | None) -> str | None:
    shown = fraction(value)
    return None if shown == "1" else f"share {shown}"


def _sum(*amounts: int | None) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


LISTS: Final[Mapping[Side, tuple[str, ...]]] = {
    Side.ASSET: (
        "land.parcels",
        "land.buildings",
        "finance.deposits",
        "finance.securities",
        "finance.insurance",
        "finance.custody",
        "pensions.memberships",
        "tax.items",
        "health.refunds",
        "vehicles.vehicles",
        "vehicles.fishingBoats",
    ),
    Side.DEBT: (
        "finance.loans",
        "finance.cards",
        "finance.guarantees",
        "pensions.memberships",
        "tax.items",
        "health.unpaidPremiums",
        "vehicles.vehicles",
    ),
    Side.BESIDE: (),
}
"""Lists of the graph that each table is made of."""


def sided(estate: Json, side: Side, title: str) -> RenderableType:
    """One side's lines, what they add up to, and what they do not show."""
    table = _table(Column("Source", no_wrap=True), Column(title, ratio=1), Column("Won", justify="right", no_wrap=True))
    for line in estate_lines(estate):
        if line.side is side:
            table.add_row(line.agency, Text.assemble((f"{line.kind}: ", "bold"), line.what), won(line.amount))
    its = estate["summary"]
    if its is not None and side is not Side.BESIDE:
        sums = its["assets"] if side is Side.ASSET else its["debts"]
        together = Text("Together", "bold") if its["complete"] else Text("Together, as far as is known", "bold red")
        table.add_section()
        table.add_row("", together, won(sums))
    return Group(table, "", *_silent(estate, side))


def _silent(estate: Json, side: Side) -> Iterator[Text]:
    """Lists that are not known, agencies that may hold more, and lists that are positively empty."""
    empty = []
    for place in LISTS[side]:
        section, name = place.split(".")
        plain = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
        if estate[section][name] is None:
            yield _no(section.upper(), f"{plain} not known")
        elif not estate[section][name]:
            empty.append(plain)
    if empty:
        yield Text(f"No {', no '.join(empty)}: the agencies say so.", "dim")
    gaps = [gap.plain.partition(":")[0] for gap in unknown(estate)]
    if gaps:
        yield _no("Incomplete", f"what is with {', '.join(gaps)} is not in this list.")


def unknown(estate: Json) -> Iterator[Text]:
    """Whose answer is missing and could still change the sums: who, then why."""
    for name in SECTIONS:
        answer = estate[name]["answer"]
        late = f" Expected by {answer['expectedBy']}." if answer["expectedBy"] else ""
        for problem in answer["problems"]:
            yield told(problem).append(late if words(problem["code"]) == "pending" else "", "red")
        if answer["status"] not in {"COMPLETE", "NONE_HELD"} and not answer["problems"]:
            yield _no(answer["agency"], f"{words(answer['status'])}.{late}")
    for member in estate["pensions"]["memberships"] or ():
        if member["loan"] == "UNKNOWN" or member["survivorBenefits"] is None:
            yield _no(member["schemeName"], "was a member; the scheme names no amounts.")


def summary(estate: Json) -> RenderableType:
    """Assets and debts by agency, under a banner that says whether they are all."""
    its = estate["summary"]
    if its is None:
        return Panel(_no("No sums", "they are withheld; see below."), box=box.HEAVY, border_style="red")
    table = _table(
        "Agency",
        *(Column(name, justify="right", no_wrap=True) for name in ("Is there", "Is owed")),
        Column("", ratio=1),
    )
    for each in its["byAgency"]:
        gap = Text("and more that is not known", "red") if each["agency"] in its["missing"] else ""
        table.add_row(each["agency"], won(each["assets"]), won(each["debts"]), gap)
    table.add_section()
    table.add_row(
        Text("All" if its["complete"] else "Known", "bold"),
        won(its["assets"]),
        won(its["debts"]),
        Text(f"net {won(its['net'])}", "bold"),
    )
    return Group(_banner(estate), "", table)


def _banner(estate: Json) -> Panel:
    its = estate["summary"]
    if its["complete"]:
        text = Text(f"COMPLETE: every agency has answered. Outlook: {words(its['outlook'])}.", "bold green")
        return Panel(text, box=box.HEAVY, border_style="green")
    text = Text.assemble(
        ("INCOMPLETE: ", "bold red"),
        (f"{' and '.join(its['missing'])} may hold more, or be owed more, than is shown here. ", "red"),
        (f"Outlook: {words(its['outlook'])}. Do not accept or renounce on these sums alone.", "bold"),
    )
    for gap in unknown(estate):
        text.append("\n- ").append_text(gap)
    return Panel(text, box=box.HEAVY, border_style="red")


def heirs(estate: Json) -> Table:
    table = _table(Column("Heir", ratio=1), "Relation", "Rank", "Share", "Reserved", "Standing")
    for heir in estate["heirs"] or ():
        stands_for = heir["representing"]
        name = heir["person"]["name"] or "not shown"
        table.add_row(
            f"{name}, in place of {stands_for['name']}" if stands_for else name,
            words(heir["relation"]),
            str(heir["rank"]),
            Text(fraction(heir["share"]), "bold"),
            fraction(heir["reservedPortion"]),
            words(heir["standing"]),
        )
    if estate["heirs"] is None:
        table.add_row(Text("not known", "bold red"), *[""] * 5)
    return table


def estate_picture(estate: Json, viewer: Json) -> Iterator[RenderableType]:
    """Everything that the estate question answered."""
    dead = estate["deceased"]
    yield chapter(
        f"The estate of {dead['name']}",
        heading(
            estate,
            viewer,
            [
                ("Deceased", joined(dead["name"], words(dead["sex"]), dead["maskedRegistrationNumber"])),
                ("Lived", f"{dead['birthDate']} to {dead['deathDate']}, {dead['address']}"),
            ],
        ),
        heirs(estate),
    )
    yield chapter("What it comes to", summary(estate))
    yield chapter(
        "What there is, and what is owed",
        sided(estate, Side.ASSET, "What is there"),
        sided(estate, Side.DEBT, "What is owed"),
        sided(estate, Side.BESIDE, "Not part of the estate, but somebody's to claim"),
    )
    yield chapter("How each agency answered", answers(estate))
    yield chapter("What falls due", deadlines(estate))
    yield chapter("What was withheld", withheld(estate))


# ---------------------------------------------------------------- the birth


def birth_picture(birth: Json, viewer: Json, today: date) -> Iterator[RenderableType]:
    """Everything that the birth question answered."""
    child = birth["child"]
    order = f"child number {birth['birthOrder']}{', of a multiple birth' if birth['multipleBirth'] else ''}"
    yield chapter(
        f"The birth of {child['name']}",
        heading(
            birth,
            viewer,
            [
                ("Child", joined(child["name"], words(child["sex"]), child["maskedRegistrationNumber"])),
                ("Born", joined(child["birthDate"], order)),
                ("Lives", child["address"] or "not told"),
            ],
        ),
        parents(birth),
    )
    yield chapter("What there is for the child", benefits(birth))
    yield chapter("Health", *health(birth["health"], today))
    yield chapter("How each agency answered", answers(birth))
    yield chapter("What falls due", deadlines(birth))
    yield chapter("What was withheld", withheld(birth))


def parents(birth: Json) -> RenderableType:
    if birth["parents"] is None:
        return _no("Parents", "not known")
    table = _table(Column("Parent", ratio=1), "Relation", "Born", "Custody")
    for parent in birth["parents"]:
        person = parent["person"]
        custody = "yes" if parent["custody"] else "no"
        table.add_row(
            person["name"] or "not shown", words(parent["relation"]), person["birthDate"] or "not shown", custody
        )
    return table


def benefits(birth: Json) -> Table:
    """Vouchers, accounts, homes, credits and reliefs; each with the agency it comes from."""
    table = _table(Column("Source", no_wrap=True), Column("What", ratio=1), Column("", justify="right"))
    land, finance, pensions, tax, vehicles = (
        birth[name] for name in ("land", "finance", "pensions", "tax", "vehicles")
    )
    for voucher in _known(table, "FINANCE", "Vouchers", finance["vouchers"]):
        what = joined(f"Voucher {voucher['name']}", f"to spend by {voucher['expiresOn']}")
        table.add_row("FINANCE", what, won(voucher["balance"]))
    for account in _known(table, "FINANCE", "Accounts", finance["payoutAccounts"]):
        what = f"Account to pay into: {account['institution']['name']} {account['product']} …{account['numberSuffix']}"
        table.add_row("FINANCE", what, won(account["balance"]))
    table.add_row("LAND", "Homes in which a parent has a share", _plainly(land["homes"]))
    table.add_row("LAND", "Acquisition tax relief for a new home", words(land["newHomeTaxRelief"]))
    table.add_row("TAX", "Tax credit for the year of birth", won(tax["birthTaxCredit"]))
    table.add_row("TAX", "Tax credit per year", won(tax["childTaxCredit"]))
    credit = joined(
        "Pension months credited", pensions["creditedParent"] and f"to the {words(pensions['creditedParent'])}"
    )
    table.add_row("PENSIONS", credit, _plainly(pensions["creditMonths"]))
    rate = vehicles["reliefRatePercent"]
    relief = words(vehicles["multiChildTaxRelief"]) if rate is None else f"{rate} %"
    table.add_row("VEHICLES", "Car tax relief for several children", relief)
    return table


def health(section: Json, today: date) -> Iterator[RenderableType]:
    """Insurance, screenings, and what is to be done next."""
    covered = section["eligibility"]
    yield Text(
        f"Insured as {words(covered['kind'])} of the {words(section['dependantOf'])} since {covered['validFrom']}."
        if covered
        else "Insurance: not registered, or not known."
    )
    if section["screenings"] is None:
        yield _no("Screenings", "not known")
    else:
        table = _table(Column("Screening", ratio=1), "Taken", "Result")
        for each in section["screenings"]:
            normal = each["result"] in {"NORMAL", None}
            result = Text(words(each["result"]) if each["result"] else "-", "" if normal else "bold yellow")
            table.add_row(words(each["test"]), each["takenOn"] or "not yet", result)
        yield table
    yield _schedule(
        "Dose", section["immunizations"], lambda each: f"{each['vaccine']} {each['dose']}", "givenOn", today
    )
    yield _schedule("Check-up", section["checkups"], lambda each: f"round {each['round']}", "takenOn", today)


def _schedule(title: str, found: Sequence[Json] | None, name: Any, done: str, today: date) -> RenderableType:
    """What is done, in a line; what is to be done next, in a table."""
    if found is None:
        return _no(f"{title}s", "not known")
    past = joined(*(f"{name(each)} on {each[done]}" for each in found if each[done])) or "none"
    coming = sorted((each for each in found if not each[done]), key=lambda each: (each["dueFrom"] or "", name(each)))
    table = _table(Column(f"{title}s due next", ratio=1), "From", "Until", "")
    for each in coming[:DOSES_SHOWN]:
        table.add_row(
            name(each), each["dueFrom"] or "-", each["dueUntil"] or "-", _now(each["dueFrom"], each["dueUntil"], today)
        )
    more = len(coming) - DOSES_SHOWN
    later = [Text(f"and {more} more later", "dim")] if more > 0 else []
    return Group("", f"{title}s done: {past}.", table, *later)


def _now(since: str | None, until: str | None, today: date) -> Text:
    if until and until < today.isoformat():
        return Text("overdue", "bold red")
    return Text("now", "bold yellow") if since and since <= today.isoformat() else Text("")


def _known(table: Table, agency: str, name: str, found: Sequence[Json] | None) -> Sequence[Json]:
    """Give the list; where it is not known or empty, the table says which."""
    if found is None:
        table.add_row(agency, _no(name, "not known"), "")
    elif not found:
        table.add_row(agency, f"{name}: none", "")
    return found or ()


def _plainly(value: int | None) -> str:
    return "not told" if value is None else str(value)


# ---------------------------------------------------------------- the access log


def entries(found: Sequence[Json], roles: Mapping[str, str | None], own: AbstractSet[str]) -> Iterator[RenderableType]:
    """The entries that one question left. `roles` has whose data each is about; `own` are about the viewer's own."""
    first = found[0]
    yield _facts(
        [
            ("When", instant(first["at"])),
            ("Who", f"a {words(first['actor']['kind'])}, through {first['client']}"),
            ("What", f"{words(first['task'])}, in the question {first['operationName']}"),
            ("Why", f"{words(first['purpose'])} ({first['legalBasis']})"),
        ]
    )
    table = _table(
        Column("Entry", justify="right"), "About", "Outcome", Column("Fields seen, by agency", ratio=1), "Withheld"
    )
    for entry in sorted(found, key=lambda entry: int(entry["integrity"]["leafIndex"])):
        counted: Counter[str] = Counter()
        for fields in entry["disclosed"]:
            counted[fields["agency"]] += len(fields["coordinates"])
        role = words(roles.get(entry["id"]) or "somebody")
        table.add_row(
            entry["integrity"]["leafIndex"],
            f"{role} (the viewer)" if entry["id"] in own else role,
            words(entry["outcome"]),
            joined(*(f"{agency} {number}" for agency, number in sorted(counted.items()))) or "none",
            str(sum(len(fields["coordinates"]) for fields in entry["withheld"])),
        )
    yield table


def seen(found: Iterable[Json]) -> set[str]:
    """Coordinates that the entries say were disclosed."""
    return {coordinate for entry in found for fields in entry["disclosed"] for coordinate in fields["coordinates"]}


# ---------------------------------------------------------------- around it


def preface(url: str, going_wrong: Iterable[str]) -> RenderableType:
    """What is being shown, and what was made to go wrong on purpose."""
    text = Text(f"Two questions to {url}/graphql, each answered by six agencies over their own protocols.\n")
    text.append("Two things were made to go wrong about the deceased, to be seen below:")
    for each in going_wrong:
        text.append(f"\n- {each}", "yellow")
    return text


def next_steps(url: str, *, keep: bool, held: bool) -> RenderableType:
    """How it ended and where to look next."""
    ended = (
        Text("All of it held.", "bold green")
        if held
        else Text("Not all of it held; standard error says what.", "bold red")
    )
    where = (
        f"{url}/graphql"
        if keep
        else "http://127.0.0.1:8000/graphql after `onestop serve` (or now: `onestop demo --keep`)"
    )
    steps = [
        ("GraphiQL", where),
        ("A token", "onestop token --persona heir"),
        ("All personas", "onestop sandbox people; docs/personas.md"),
        ("The graph", "onestop schema"),
        ("The log", "onestop log export; onestop log verify"),
        ("The documents", "README.md, docs/http.md, docs/wire/README.md"),
    ]
    return chapter("Where to look next", _facts((name, Text(step)) for name, step in steps), ended)
