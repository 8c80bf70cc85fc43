"""What is asked of an executor that makes machines (``run.Run``).

``submit`` of ``concurrent.futures.Executor`` is enough: processes of this host
(``ProcessPoolExecutor``), or anything else that sees the same folders. One whose workers have
folders of their own says which workers there are, and gives a task to one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future


class FleetExecutor(Protocol):
    """What makes machines: ``concurrent.futures.Executor`` has this, and so has Dask's client."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:  # noqa: ANN401 (the standard's signature)
        """Have *fn* called with *args* in some process; all can be pickled."""


@runtime_checkable
class PlacedExecutor(Protocol):
    """A :class:`FleetExecutor` whose workers may have folders of their own."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:  # noqa: ANN401 (the standard's signature)
        """As :meth:`FleetExecutor.submit`."""

    def workers(self) -> tuple[str, ...]:
        """The workers that are there now."""

    def submit_to(
        self,
        workers: Collection[str],
        fn: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401 (likewise)
    ) -> Future[Any]:
        """As :meth:`submit`, in one of *workers*; it waits for ever when all of them are lost."""
