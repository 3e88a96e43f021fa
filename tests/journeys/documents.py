"""The two big questions: everything that the graph can say of an estate, and of a birth."""

ANSWER = """
fragment Stand on Answer {
  agency status source sourceReference requestedAt expectedBy retrievedAt asOf visibleUntil retryAfterSeconds
  problems { code institution message(language: EN) }
}
"""

PERSON = """
fragment Whole on Person { id name birthDate deathDate sex address maskedRegistrationNumber }
"""

ENTRY = """
fragment Access on AccessEntry {
  id at reduced actor { kind kindLabel name office agency pseudonym } onBehalfOf client subject { id name }
  case caseNumber purpose legalBasis
  operationName documentHash task outcome purposeLabel taskLabel outcomeLabel
  disclosed { agency type coordinates records maxSensitivity labels typeLabel agencyLabel }
  withheld { agency type coordinates records maxSensitivity labels typeLabel agencyLabel }
  sourceAddress traceId integrity { leafIndex leafHash checkpoint inclusionProof }
}
"""

# What cases of every kind answer.
COMMON = """
  id number kind status openedAt purpose
  mandate { ...Power }
  mandates { ...Power }
  answers { ...Stand }
  withheld { coordinate sensitivity refusal { code message(language: EN) remedy(language: EN) } }
  deadlines { code title(language: EN) dueOn daysLeft legalBasis consequence(language: EN) }
  accessLog(first: 20) {
    edges { cursor node { ...Access } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
"""

POWER = """
fragment Power on Mandate {
  id role holder { id name } onBehalfOf { id name } purpose legalBasis issuedBy validFrom validUntil revokedAt
}
"""

DEPOSIT = """
fragment Account on Deposit {
  id institution { code name sector phone } product numberSuffix balance dormant jointlyHeld
}
"""

ESTATE_SECTIONS = """
fragment Burden on Encumbrance { kind holder maximumClaim registeredOn }
fragment Sections on EstateCase {
  land {
    answer { ...Stand }
    parcels {
      pnu address ledger category areaM2 ownershipShare { numerator denominator } pricePerM2 priceYear assessedValue
      acquiredOn acquisitionCause encumbrances { ...Burden }
    }
    buildings {
      registerNumber pnu name address purpose areaM2 approvedOn ownershipShare { numerator denominator } assessedValue
      encumbrances { ...Burden }
    }
  }
  finance {
    answer { ...Stand }
    deposits { ...Account }
    loans { id institution { code name sector phone } product principal interestDue secured }
    securities { id institution { code name sector phone } isin name quantity marketValue }
    insurance {
      id institution { code name sector phone } product role surrenderValue policyLoan partOfEstate beneficiaryName
    }
    cards { id institution { code name sector phone } unpaid }
    guarantees { id institution { code name sector phone } limit outstanding }
    custody { id institution { code name sector phone } kind location }
  }
  pensions {
    answer { ...Stand }
    memberships {
      scheme schemeName(language: KO) member receiving contributionMonths monthlyPension overpaidAfterDeath loan
      loanOutstanding survivorBenefits { kind claimants estimate claimBy partOfEstate }
    }
  }
  tax {
    answer { ...Stand }
    items { id level tax period authority state assessed arrears surcharge refundable dueOn }
  }
  health {
    answer { ...Stand }
    eligibility { kind validFrom validUntil lossReason }
    unpaidPremiums { insurance unpaid surcharge months }
    refunds { kind amount claimBy }
  }
  vehicles {
    answer { ...Stand }
    vehicles {
      plate kind maker model modelYear fuel firstRegisteredOn vinSuffix ownershipShare { numerator denominator }
      assessedValue liens { kind creditor claim registeredOn } unpaidFines { kind amount dueOn authority }
      inspectionValidUntil insuranceValidUntil
    }
    fishingBoats { number name tonnage port assessedValue }
  }
}
"""

BIRTH_SECTIONS = """
fragment Sections on BirthCase {
  land { answer { ...Stand } homes newHomeTaxRelief }
  finance { answer { ...Stand } vouchers { id name(language: KO) balance expiresOn } payoutAccounts { ...Account } }
  pensions { answer { ...Stand } creditMonths creditedParent }
  tax { answer { ...Stand } childTaxCredit birthTaxCredit }
  health {
    answer { ...Stand }
    eligibility { kind validFrom validUntil lossReason }
    dependantOf
    screenings { test takenOn result }
    immunizations { vaccine dose givenOn dueFrom dueUntil }
    checkups { round dueFrom dueUntil takenOn }
  }
  vehicles { answer { ...Stand } multiChildTaxRelief reliefRatePercent }
}
"""

SHARED = ANSWER + DEPOSIT

SECTIONS = "query Sections($id: ID!) { estateCase(id: $id) { id status summary { complete missing } ...Sections } }" + (
    ESTATE_SECTIONS + SHARED
)

ESTATE = (
    """
query Estate($id: ID!) {
  estateCase(id: $id) {
"""
    + COMMON
    + """
    deceased { ...Whole }
    heirs {
      person { id name }
      relation rank share { numerator denominator } reservedPortion { numerator denominator }
      representing { id name } standing
    }
    ...Sections
    summary { assets debts net byAgency { agency assets debts } complete missing outlook }
  }
}
"""
    + ESTATE_SECTIONS
    + SHARED
    + PERSON
    + POWER
    + ENTRY
)
"""Every field of an estate case and of what it leads to."""

BIRTH = (
    """
query Birth($id: ID!) {
  birthCase(id: $id) {
"""
    + COMMON
    + """
    child { ...Whole }
    birthOrder multipleBirth
    parents { person { id name } relation custody }
    ...Sections
  }
}
"""
    + BIRTH_SECTIONS
    + SHARED
    + PERSON
    + POWER
    + ENTRY
)
"""Every field of a birth case and of what it leads to."""

VIEWER = (
    """
query Viewer {
  viewer {
    person { ...Whole } official { id name office agency } roles assurance
    cases { id number kind status openedAt purpose }
    candidates { kind person { ...Whole } relation opensUntil obstacle { code message remedy } }
  }
}
"""
    + PERSON
)

OPEN_ESTATE = """
mutation OpenEstate($input: OpenEstateCaseInput!) {
  openEstateCase(input: $input) {
    case { id number kind status openedAt purpose mandates { id role revokedAt holder { id } } }
    refusal { code message remedy }
  }
}
"""

OPEN_BIRTH = OPEN_ESTATE.replace("Estate", "Birth")

REQUEST = """
mutation Request($input: RequestAnswersInput!) {
  requestAnswers(input: $input) { answers { agency status expectedBy } refusal { code } }
}
"""

UPDATED = """
subscription Updated($id: ID!) {
  caseUpdated(id: $id) { case { id number status } answer { agency status expectedBy visibleUntil } }
}
"""

LOG = (
    """
query Log($filter: AccessFilter, $first: Int, $after: String) {
  accessLog(filter: $filter, first: $first, after: $after) {
    edges { cursor node { ...Access } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}
"""
    + ENTRY
)

CASE_LOG = (
    """
query CaseLog($id: ID!) {
  node(id: $id) {
    ... on Case { id accessLog(first: 100) { edges { node { ...Access } } pageInfo { hasNextPage endCursor } } }
  }
}
"""
    + ENTRY
)

ONE_ENTRY = "query Entry($id: ID!) { accessEntry(id: $id) { ...Access } }" + ENTRY
