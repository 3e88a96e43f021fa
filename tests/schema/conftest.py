import pytest
import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from schema.access import AccessEntry, AccessEntryConnection, AccessFilter
from schema.birth import BirthCase
from schema.case import (
    BreakGlassInput,
    CaseUpdate,
    GrantProxyInput,
    MandatePayload,
    OpenBirthCaseInput,
    OpenCasePayload,
    OpenEstateCaseInput,
    RequestAnswersInput,
    RequestAnswersPayload,
    RevokeMandateInput,
)
from schema.estate import EstateCase
from schema.fields import argument, fetched
from schema.finding import (
    CloseFindingInput,
    ExplainAccessInput,
    FindingConnection,
    FindingFilter,
    FindingPayload,
    RequestExplanationInput,
)
from schema.scalars import SCALARS
from schema.viewer import Viewer


@strawberry.type(description="A way in to every type; the real roots are in resolvers/.")
class Query:
    viewer: Viewer = fetched(description="-")
    estate_case: EstateCase | None = fetched(description="-")
    birth_case: BirthCase | None = fetched(description="-")
    case_update: CaseUpdate = fetched(description="-")
    access_entry: AccessEntry | None = fetched(description="-")
    access_log: AccessEntryConnection = fetched(
        description="-", arguments=[argument("filter", AccessFilter | None, default=None, description="-")]
    )
    findings: FindingConnection = fetched(
        description="-", arguments=[argument("filter", FindingFilter | None, default=None, description="-")]
    )
    finding: FindingPayload = fetched(
        description="-",
        arguments=[
            argument("asked", RequestExplanationInput, default=strawberry.UNSET, description="-"),
            argument("answered", ExplainAccessInput, default=strawberry.UNSET, description="-"),
            argument("closed", CloseFindingInput, default=strawberry.UNSET, description="-"),
        ],
    )
    open_case: OpenCasePayload = fetched(
        description="-",
        arguments=[
            argument("estate", OpenEstateCaseInput, default=strawberry.UNSET, description="-"),
            argument("birth", OpenBirthCaseInput, default=strawberry.UNSET, description="-"),
            argument("emergency", BreakGlassInput, default=strawberry.UNSET, description="-"),
        ],
    )
    request_answers: RequestAnswersPayload = fetched(
        description="-",
        arguments=[argument("input", RequestAnswersInput, default=strawberry.UNSET, description="-")],
    )
    mandate: MandatePayload = fetched(
        description="-",
        arguments=[
            argument("given", GrantProxyInput, default=strawberry.UNSET, description="-"),
            argument("ended", RevokeMandateInput, default=strawberry.UNSET, description="-"),
        ],
    )


@pytest.fixture(scope="session")
def graph() -> strawberry.Schema:
    return strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))


@pytest.fixture(scope="session")
def core(graph: strawberry.Schema) -> GraphQLSchema:
    return graph._schema
