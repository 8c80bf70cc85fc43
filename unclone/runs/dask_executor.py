"""A Dask cluster as an executor of fleets: ``clone --executor dask`` (the extra ``unclone[dask]``).

Whoever can reach a scheduler can have its workers run anything: that is what Dask is for. With
``tls://`` only holders of a certificate of the cluster can; Dask's own configuration names it.

References: https://distributed.dask.org/en/stable/client.html, .../tls.html, .../resilience.html.
"""

from __future__ import annotations

import ipaddress
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from unclone.images.errors import UncloneError, UsageError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

EXTRA = "pip install 'unclone[dask]'"
#: Seconds.
_CONNECT = 30


class DaskExecutor:
    """The workers of the scheduler at *address*; a context manager.

    Raises UsageError without Dask, UncloneError when nobody answers there.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed  # noqa: PLC0415 (an extra, and slow to load)
        except ImportError as error:
            raise UsageError(
                f"--executor dask needs Dask, which this Python does not have: {error}",
                hint=f"{EXTRA}, here and for the scheduler and the workers.",
            ) from error
        self._cancelled = distributed.CancelledError
        try:
            self._client: Any = distributed.Client(
                address, timeout=_CONNECT, set_as_default=False, name="unclone"
            )
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            raise UncloneError(
                f"the scheduler {printable(address)} cannot be used: {error}",
                hint="Is it running, and is the address right? For tls:// see Dask's configuration "
                "distributed.comm.tls.",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:  # noqa: ANN401 (the standard's signature)
        """As :meth:`executors.FleetExecutor.submit`. Dask does it again when a worker is lost."""
        return self._relayed(self._client.submit(fn, *args, pure=False))

    def workers(self) -> tuple[str, ...]:
        """As :meth:`executors.PlacedExecutor.workers`. Raises UsageError for one with threads."""
        found: dict[str, dict[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        for worker, said in found.items():
            if said["nthreads"] != 1:
                raise UsageError(
                    f"the worker {printable(worker)} has {said['nthreads']} threads",
                    hint="Start several workers with one each: dask worker --nthreads 1 "
                    "--nworkers N.",
                )
        return tuple(found)

    def submit_to(
        self,
        workers: Collection[str],
        fn: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401 (the standard's signature)
    ) -> Future[Any]:
        """As :meth:`executors.PlacedExecutor.submit_to`."""
        there = list(workers)
        return self._relayed(
            self._client.submit(
                fn, *args, pure=False, workers=there, allow_other_workers=False, priority=1
            )
        )

    def _relayed(self, asked: Any) -> Future[Any]:  # noqa: ANN401 (a future of distributed)
        """The future *asked* as one of the standard library."""
        future: Future[Any] = Future()

        def tell(done: Any) -> None:  # noqa: ANN401 (likewise)
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(done.result())
            except self._cancelled:
                future.set_exception(UncloneError("the scheduler has forgotten the task"))
            except BaseException as error:  # noqa: BLE001 (it is told to who asked)
                future.set_exception(error)

        def cancel(done: Future[Any]) -> None:
            if done.cancelled():
                asked.cancel()

        future.add_done_callback(cancel)
        asked.add_done_callback(tell)
        return future


def require_private(address: str, *, secrets: bool) -> None:
    """Raise UsageError where *secrets* would be sent to a scheduler on a network, unencrypted."""
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls"):
        raise UsageError(
            f"--scheduler {printable(address)} is no address of a scheduler",
            hint="Write tcp://HOST:PORT or tls://HOST:PORT.",
        )
    if secrets and parts.scheme != "tls" and not _is_loopback(parts.hostname or ""):
        raise UsageError(
            "passwords and keys would go over the network as they are: "
            f"{printable(address)} is without TLS",
            hint="Use tls:// for derive-from, password-file and generate-password.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
