"""What every object with an id of its own has in common."""

import strawberry


@strawberry.interface(description="An object that can be asked for again by its id.")
class Node:
    id: strawberry.ID = strawberry.field(
        description="Opaque id, good for the viewer's client and this case only. Do not parse or compare across cases."
    )
