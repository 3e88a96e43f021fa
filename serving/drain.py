"""The end of a process, announced: from then on nothing new is begun, and streams close."""

import asyncio


class Drain:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def begun(self) -> bool:
        return self._event.is_set()

    def begin(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
