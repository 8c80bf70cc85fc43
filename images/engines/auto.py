"""The default engine: the fastest that supports the guest."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from unclone.images.engines.direct.engine import BeyondReachError, DirectEngine
from unclone.images.errors import EngineError, UncloneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from unclone.images.engines.engine import Drive, Engine, Keys, Say
    from unclone.images.volumes import Volumes

    Opening = Callable[[Engine], AbstractContextManager[Volumes]]


class AutoEngine:
    """The direct engine where it supports the whole guest, else the appliance, else libguestfs."""

    name = "auto"

    def __init__(self) -> None:
        self._direct = DirectEngine()

    def start_ahead(self) -> AbstractContextManager[None]:
        """As ``Engine.start_ahead``, for the direct engine: it is tried first."""
        return self._direct.start_ahead()

    @contextmanager
    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> Iterator[Volumes]:
        """As ``Engine.open``; *say* is called with the reason before another engine is tried."""
        given = _asked_once(keys)

        def opening(engine: Engine) -> AbstractContextManager[Volumes]:
            return engine.open(drives, keys=given, read_only=read_only, say=say)

        with ExitStack() as stack:
            try:
                volumes = stack.enter_context(opening(self._direct))
            except BeyondReachError as beyond:
                from unclone.images.engines.appliance.engine import ApplianceEngine  # noqa: PLC0415 (rarely needed)

                say(f"starting a virtual machine: {beyond.message}")
                try:
                    volumes = stack.enter_context(opening(ApplianceEngine()))
                except BeyondReachError as further:
                    say(f"starting libguestfs: {further.message}")
                    volumes = _with_guestfs(stack, opening, (beyond, further))
            yield volumes


def _with_guestfs(
    stack: ExitStack, opening: Opening, reasons: Sequence[BeyondReachError]
) -> Volumes:
    from unclone.images.engines.guestfs.engine import GuestfsEngine  # noqa: PLC0415 (slow to load)

    try:
        return stack.enter_context(opening(GuestfsEngine()))
    except UncloneError as error:  # the user did not ask for this engine
        if not isinstance(error, EngineError) and type(error) is not UncloneError:
            raise
        why = "; ".join(dict.fromkeys(reason.message for reason in reasons))
        raise EngineError(f"{error.message} (needed because {why})", hint=error.hint) from error


def _asked_once(keys: Keys) -> Keys:
    """*keys*, which are asked for once: a second engine is given the same."""
    given: dict[str, tuple[list[bytes], Iterator[bytes]]] = {}

    def again(container: str) -> Iterable[bytes]:
        if container not in given:
            given[container] = [], iter(keys(container))
        known, more = given[container]
        yield from list(known)
        for key in more:
            known.append(key)
            yield key

    return again
