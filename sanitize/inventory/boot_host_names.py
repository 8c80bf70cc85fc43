"""Host names that the machine is given before it reads its files: by kernel arguments, credentials.

References: kernel-command-line(7) (``systemd.hostname=``); dracut.cmdline(7) and the kernel's
Documentation/admin-guide/nfs/nfsroot.rst (``ip=``); systemd.system-credentials(7)
(``system.hostname``, ``firstboot.hostname``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize import credentials
from unclone.sanitize.boot.kernel_arguments import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.facts import Facts

_CREDENTIALS = ("system.hostname", "firstboot.hostname")
#: Of ``ip=CLIENT:SERVER:GATEWAY:MASK:HOST NAME:...``; IPv6 addresses are in brackets.
_IP_FIELD = re.compile(r"\[[^\]]*\]|[^:]+|(?<=:)(?=:)|^(?=:)")
_HOST_NAME_FIELD = 4
#: ``ip=INTERFACE:dhcp:...`` has no host name.
_AUTOMATIC = {"dhcp", "dhcp6", "auto6", "on", "any", "either6", "ibft", "link6", "link-local"}


def boot_host_names(facts: Facts) -> Iterator[tuple[str, str]]:
    """Each name, with the file it is written in."""
    for file, text in facts.kernel_argument_texts:
        for value in values(text, file.kind, "systemd.hostname"):
            yield value, file.path
        for value in values(text, file.kind, "ip"):
            fields = _IP_FIELD.findall(value)
            if len(fields) > _HOST_NAME_FIELD and fields[1] not in _AUTOMATIC:
                yield fields[_HOST_NAME_FIELD], file.path
        for argument in (credentials.ARGUMENT, credentials.BINARY_ARGUMENT):
            for value in values(text, file.kind, argument):
                if value.partition(":")[0] in _CREDENTIALS:
                    yield credentials.decoded(argument, value).strip(), file.path
    for credential in facts.credentials:
        if credential.name in _CREDENTIALS:
            yield credential.text.strip(), credential.path
