"""The executor, remembering whose objects it completed.

Only the objects that decide whose datum a leaf is, and the records that are counted, are noted: by their path in the
answer. Nothing is done per leaf.
"""

from typing import Any

from graphql import GraphQLObjectType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from resolvers.columns import Projected
from resolvers.plan import LOG_TYPES

RECORD_KEYS = {
    "LandParcel": "pnu",
    "Building": "register_number",
    "Deposit": "id",
    "Loan": "id",
    "SecurityHolding": "id",
    "InsurancePolicy": "id",
    "CardDebt": "id",
    "Guarantee": "id",
    "CustodyItem": "id",
    "Voucher": "id",
    "PensionMembership": "scheme",
    "TaxItem": "id",
    "SocialPremium": "insurance",
    "HealthRefund": "kind",
    "Screening": "test",
    "Immunization": "vaccine",
    "Checkup": "round",
    "Vehicle": "plate",
    "FishingBoat": "number",
}
"""Types whose objects are records of an agency, with what tells one from another."""


Completed = dict[tuple[str | int, ...], tuple[str, Any] | Projected]
"""Path in the answer to the object's type and the object itself, or to what was projected there as a whole."""

NOTED = frozenset(
    {
        *("Person", "Heir", "Parent", "CaseCandidate", "Viewer", *LOG_TYPES),
        *("EstateCase", "BirthCase", "RequestAnswersPayload", "CaseUpdate", "MandatePayload"),
        *(
            f"{kind}{agency}"
            for kind in ("Estate", "Birth")
            for agency in ("Land", "Finance", "Pensions", "Tax", "Health", "Vehicles")
        ),
        *RECORD_KEYS,
    }
)
STANDING = NOTED - RECORD_KEYS.keys()
"""Types whose objects stand for somebody, or for a case or an agency's section: each is looked at by itself."""


class RecordingExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor; the context's `completed` gets the objects of `NOTED` types."""

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Note the object, then complete it."""
        if return_type.name in NOTED:
            self.context_value.completed[tuple(path.as_list())] = (return_type.name, result)
        return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
