"""Identities in the formats of public agents, in places that no rule of the catalogue knows.

Each row: the file, and its content with ``{}`` where the value goes. The formats are those of the
programs named beside them.
"""

from __future__ import annotations

import base64
import random
import string
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def planted(seed: int) -> Mapping[str, str | bytes]:
    """Twenty files of a machine; another *seed*, another machine."""
    drawn = random.Random(seed)

    def text(letters: str, length: int) -> str:
        return "".join(drawn.choices(letters, k=length))

    def some_uuid() -> str:
        return str(uuid.UUID(bytes=drawn.randbytes(16), version=4))

    def base(length: int) -> str:
        return base64.b64encode(drawn.randbytes(length)).decode()

    hexadecimal = string.hexdigits[:16]
    mac = ":".join(f"{byte:02x}" for byte in b"\x02" + drawn.randbytes(5))
    key = "\n".join(base(48) for _ in range(3))
    return {
        # The state of OpenTelemetry's OpAMP supervisor
        "/var/lib/agents/opamp/persistent_state.yaml": f"instance_id: {some_uuid()}\n",
        # The host of Teleport
        "/var/lib/agents/access/host_uuid": some_uuid(),
        # Wazuh, OSSEC: client.keys
        "/opt/agents/hids/etc/client.keys": f"007 web any {text(hexadecimal, 64)}\n",
        # Datadog, Elastic: an API token in YAML
        "/etc/agents/monitor.yaml": f"# settings\nauth_token: {text(hexadecimal, 32)}\n",
        # A key of WireGuard
        "/etc/agents/tunnel.conf": f"[Interface]\nPrivateKey = {base(32)}\n",
        # A secret identity of ZeroTier
        "/var/lib/agents/vl2/identity.secret": f"{text(hexadecimal, 10)}:0:"
        f"{text(hexadecimal, 128)}:{text(hexadecimal, 128)}",
        # A device of Syncthing
        "/var/lib/agents/sync/config.xml": '<configuration>\n  <device id="'
        + "-".join(text(string.ascii_uppercase + "234567", 7) for _ in range(8))
        + '" name="web"></device>\n</configuration>\n',
        # libp2p, IPFS: a peer id
        "/var/lib/agents/p2p/config": f'{{"PeerID": "12D3KooW{text(_BASE58, 44)}"}}',
        # ULID, as OpAMP and Grafana fleets have it
        "/var/lib/agents/fleet/state.json": f'{{"hostId":"01J{text(_CROCKFORD, 23)}"}}',
        # Oracle cloud agent: an OCID
        "/etc/agents/oci.conf": "instance=ocid1.instance.oc1.iad."
        + text(string.ascii_lowercase + "234567", 60)
        + "\n",
        # AWS Systems Manager: a managed instance
        "/var/lib/agents/managed/registration": f'{{"InstanceID":"mi-0{text(hexadecimal, 16)}"}}',
        # A DHCP unique identifier
        "/var/lib/agents/dhcp/duid": ":".join(
            f"{b:02x}" for b in b"\0\1\0\1" + drawn.randbytes(10)
        ),
        # Sixteen bytes, as GlusterFS and Ceph tools keep a host's id
        "/var/lib/agents/store/nodeid": drawn.randbytes(16),
        # Qualys, Nessus: a number
        "/etc/agents/scanner.conf": f"AgentID={drawn.randrange(10**9, 10**10)}\n",
        # An inventory's serial number
        "/etc/agents/inventory.ini": "[asset]\nserial = SN-"
        + "-".join(text(_CROCKFORD, 4) for _ in range(4))
        + "\n",
        # Erlang's cookie
        "/var/lib/agents/queue/.cluster.cookie": text(string.ascii_uppercase, 20),
        # Nebula, OpenVPN: a private key in PEM
        "/etc/agents/host.key": f"-----BEGIN X25519 PRIVATE KEY-----\n{key}\n"
        "-----END X25519 PRIVATE KEY-----\n",
        # MongoDB's ObjectId, as many servers give it to agents
        "/opt/agents/apm/agent.properties": f"agent.node={text(hexadecimal, 24)}\n",
        # A card's address as a licence server keeps it
        "/var/lib/agents/licence/host": f"HOSTID={mac}\n",
        # An SQLite or bolt database: a UUID among bytes
        "/var/lib/agents/db/meta.db": b"\0\1\2bolt\0" * 40 + some_uuid().encode() + b"\0" * 400,
    }
