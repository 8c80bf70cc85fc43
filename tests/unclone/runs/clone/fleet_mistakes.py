"""Fleet files with a mistake, and what is said of it."""

from __future__ import annotations

TOP = "golden: golden.qcow2\nmachines:\n"

#: What is wrong, the file, the message.
MISTAKES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "fleet.yaml is empty"),
    "comments only": ("# nothing\n---\n", "fleet.yaml is empty"),
    "binary": (b"QFI\xfb\x00\x01", "fleet.yaml:1:4: this is no text in UTF-8"),
    "null characters": (b"a: \x00\x00", "fleet.yaml holds null characters: it is no text"),
    "a control character": (
        "golden: g\x01\n",
        "fleet.yaml:1:10: not valid YAML: a character that YAML forbids",
    ),
    "too large": (b"#" * (8 * 2**20 + 1), "fleet.yaml is larger than 8 MiB"),
    "no YAML": (
        "{a: [}",
        (
            "fleet.yaml:1:6: not valid YAML: while parsing a flow node did not find expected node "
            "content"
        ),
    ),
    "prose": ("make me machines", "fleet.yaml:1:1: a fleet is a mapping, and this is text"),
    "a list": ("- name: a\n", "fleet.yaml:1:1: a fleet is a mapping, and this is a list"),
    "a tab": (
        "golden: golden.qcow2\nmachines:\n\t- name: a\n",
        (
            "fleet.yaml:3:1: not valid YAML: while scanning for the next token found character "
            "that cannot start any token"
        ),
    ),
    "two documents": (
        f"{TOP}- name: a\n---\na: 1\n",
        "fleet.yaml:4:1: a second document begins here",
    ),
    "deep": ("[" * 100_000, "fleet.yaml:1:22: more than 20 levels"),
    "a tag": (
        f"{TOP}- name: !!python/name:os.system a\n",
        "fleet.yaml:3:9: the tag tag:yaml.org,2002:python/name:os.system is not used here",
    ),
    "an alias of nothing": (
        f"{TOP}- *a\n",
        "fleet.yaml:3:3: *a stands for nothing that is complete before it",
    ),
    "an alias of itself": (
        f"{TOP}- &a {{user: *a}}\n",
        "fleet.yaml:3:13: *a stands for nothing that is complete before it",
    ),
    "a bomb": (
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\n"
            "golden: golden.qcow2\nmachines: [name: a, user: *c]\n"
        ),
        "fleet.yaml:1:1: there is no setting a",
    ),
    "a bomb where a list is": (
        (
            "golden: golden.qcow2\ndefaults:\n  user: &b [[x, x], [x, x]]\n"
            "machines:\n- name: a\n  user: *b\n"
        ),
        "fleet.yaml:3:13: user: a list, where text, or a list of texts belongs",
    ),
    "a key twice": (
        f"{TOP}- name: a\n  mode: copy\n  mode: overlay\n",
        "fleet.yaml:5:3: mode is here twice, first in line 4",
    ),
    "a key that is a list": (f"{TOP}- [a]: b\n", "fleet.yaml:3:3: a key that is no word"),
    "an unknown key": (
        "golden: golden.qcow2\nmachine:\n- name: a\n",
        "fleet.yaml:2:1: there is no setting machine",
    ),
    "an unknown setting": (
        f"{TOP}- name: a\n  ssh_keys: id.pub\n",
        "fleet.yaml:4:3: there is no setting ssh_keys",
    ),
    "an unknown default": (
        "golden: golden.qcow2\ndefaults: {colour: red}\nmachines: [name: a]\n",
        "fleet.yaml:2:12: there is no setting colour",
    ),
    "a name among the defaults": (
        "golden: golden.qcow2\ndefaults: {name: a}\nmachines: [name: a]\n",
        "fleet.yaml:2:12: there is no setting name",
    ),
    "another schema": (
        f"schema: unclone.fleet/2\n{TOP}- name: a\n",
        "fleet.yaml:1:9: schema: this version reads unclone.fleet/1",
    ),
    "no golden image": ("machines: [name: a]\n", "fleet.yaml:1:1: the fleet has no golden image"),
    "no machines": ("golden: golden.qcow2\n", "fleet.yaml:1:1: the fleet has no machines"),
    "machines are none": (
        "golden: golden.qcow2\nmachines: []\n",
        "fleet.yaml:2:11: machines: the list is empty",
    ),
    "machines are empty": (
        "golden: golden.qcow2\nmachines:\n",
        "fleet.yaml:2:10: machines: empty, where a list belongs",
    ),
    "machines are a mapping": (
        "golden: golden.qcow2\nmachines: {a: b}\n",
        "fleet.yaml:2:11: machines: a mapping, where a list belongs",
    ),
    "a machine is text": (f"{TOP}- web-01\n", "fleet.yaml:3:3: text, where a machine belongs"),
    "no name": (f"{TOP}- mode: copy\n", "fleet.yaml:3:3: a machine without a name"),
    "a number as name": (
        f"{TOP}- name: 17\n",
        "fleet.yaml:3:9: name: a number, where text belongs",
    ),
    "a path as name": (
        f"{TOP}- name: ../x\n",
        "fleet.yaml:3:9: '../x' cannot be the name of a machine",
    ),
    "an option as name": (
        f"{TOP}- name: -rf\n",
        "fleet.yaml:3:9: '-rf' cannot be the name of a machine",
    ),
    "no host name": (
        f"{TOP}- name: web_1\n",
        "fleet.yaml:3:9: web_1 cannot be a host name: an underscore is not allowed in a host name",
    ),
    "a name twice": (
        f"{TOP}- name: web-2\n- name: web-{{}}\n  count: 3\n",
        "fleet.yaml:4:9: web-2 is the name of a machine already: fleet.yaml:3:9",
    ),
    "a host name twice": (
        f"{TOP}- name: a\n- name: b\n  hostname: A\n",
        "fleet.yaml:4:9: A is the host name of a machine already: fleet.yaml:3:9",
    ),
    "one host name for two": (
        f"{TOP}- name: a-{{}}\n  count: 2\n  hostname: a\n",
        "fleet.yaml:3:9: a is the host name of a machine already: fleet.yaml:3:9",
    ),
    "braces": (
        f"{TOP}- name: 'a{{x}}'\n",
        "fleet.yaml:3:9: name a{x}: braces stand for the number of the machine, once",
    ),
    "a pattern without count": (
        f"{TOP}- name: 'a-{{}}'\n",
        "fleet.yaml:3:9: name a-{} has a number, and nothing says how many",
    ),
    "a count without pattern": (
        f"{TOP}- name: a\n  count: 2\n",
        "fleet.yaml:3:9: name a names one machine, and count says 2",
    ),
    "count 0": (
        f"{TOP}- name: 'a{{}}'\n  count: 0\n",
        "fleet.yaml:4:10: count: 0, where a whole number from 1 belongs",
    ),
    "count -1": (
        f"{TOP}- name: 'a{{}}'\n  count: -1\n",
        "fleet.yaml:4:10: count: -1, where a whole number from 1 belongs",
    ),
    "count in words": (
        f"{TOP}- name: 'a{{}}'\n  count: ten\n",
        "fleet.yaml:4:10: count: ten, where a whole number from 1 belongs",
    ),
    "an octal count": (
        f"{TOP}- name: 'a{{}}'\n  count: 010\n",
        "fleet.yaml:4:10: count: 010, where a whole number from 1 belongs",
    ),
    "half a machine": (
        f"{TOP}- name: 'a{{}}'\n  count: 1.5\n",
        "fleet.yaml:4:10: count: 1.5, where a whole number from 1 belongs",
    ),
    "a list as count": (
        f"{TOP}- name: 'a{{}}'\n  count: [1]\n",
        "fleet.yaml:4:10: count: a list, where a whole number from 1 belongs",
    ),
    "too many": (
        f"{TOP}- name: 'a{{}}'\n  count: 100001\n",
        "fleet.yaml:3:9: count 100001: from 1 to 100,000 machines can be made in one go",
    ),
    "too many together": (
        f"{TOP}- name: b\n- name: 'a{{}}'\n  count: 100000\n",
        "fleet.yaml:4:3: more than 100,000 machines",
    ),
    "a start alone": (
        f"{TOP}- name: a\n  start: 3\n",
        "fleet.yaml:4:3: start: nothing says how many",
    ),
    "a wrong mode": (
        f"{TOP}- name: a\n  mode: overly\n",
        "fleet.yaml:4:9: mode: overly is none of overlay, reflink, copy",
    ),
    "a flag as user": (
        f"{TOP}- name: a\n  user: no\n",
        "fleet.yaml:4:9: user: true or false, where text, or a list of texts belongs",
    ),
    "text as flag": (
        f"{TOP}- name: a\n  strict: 'yes'\n",
        "fleet.yaml:4:11: strict: text, where true or false belongs",
    ),
    "a list as time zone": (
        f"{TOP}- name: a\n  timezone: [UTC]\n",
        "fleet.yaml:4:13: timezone: a list, where text belongs",
    ),
    "an empty value": (
        f"{TOP}- name: a\n  user:\n",
        "fleet.yaml:4:8: user: empty, where text, or a list of texts belongs",
    ),
    "text as values": (
        f"{TOP}- name: a\n  set: role=web\n",
        "fleet.yaml:4:8: set: text, where a mapping of names to texts belongs",
    ),
    "a number as value": (
        f"{TOP}- name: a\n  set: {{port: 80}}\n",
        "fleet.yaml:4:15: set port: a number, where text belongs",
    ),
    "a missing image": (
        "golden: gone.qcow2\nmachines: [name: a]\n",
        "fleet.yaml:1:9: golden: there is no gone.qcow2",
    ),
    "a folder as image": (
        "golden: sub\nmachines: [name: a]\n",
        "fleet.yaml:1:9: golden: sub is a folder",
    ),
    "a missing definition": (
        f"{TOP}- name: a\n  definition: gone.xml\n",
        "fleet.yaml:4:15: definition: there is no gone.xml",
    ),
    "a missing password": (
        f"{TOP}- name: a\n  password-file: gone\n",
        "fleet.yaml:4:18: password-file: there is no gone",
    ),
    "two passwords": (
        f"{TOP}- name: a\n  password-file: golden.qcow2\n  generate-password: true\n",
        "fleet.yaml:3:3: generate-password: password-file has a password already",
    ),
    "text as a flag": (
        f"{TOP}- name: a\n  generate-password: 'yes'\n",
        "fleet.yaml:4:22: generate-password: text, where true or false belongs",
    ),
    "a file for the guest that is not there": (
        f"{TOP}- name: a\n  write-file: [/etc/x=gone]\n",
        "fleet.yaml:4:16: write-file: there is no gone",
    ),
    "a key for nobody": (
        f"{TOP}- name: a\n  user-key: id.pub\n",
        "fleet.yaml:4:13: user-key: id.pub is not NAME=FILE, or a list of them",
    ),
    "an unknown mode of the seed": (
        f"{TOP}- name: a\n  dsmode: nett\n",
        "fleet.yaml:4:11: dsmode: nett is none of local, net",
    ),
    "a missing key": (
        f"{TOP}- name: a\n  ssh-key: [id.pub, gone.pub]\n",
        "fleet.yaml:4:21: ssh-key: there is no gone.pub",
    ),
    "no key": (
        f"{TOP}- name: a\n  ssh-key: pw\n",
        "fleet.yaml:4:12: ssh-key: pw holds a line that is no SSH public key",
    ),
    "standard input": (
        f"{TOP}- name: a\n  user-data: '-'\n",
        "fleet.yaml:4:14: user-data: there is no -",
    ),
    "no MAC prefix": (
        f"{TOP}- name: a\n  oui: 52:54\n",
        "fleet.yaml:4:8: oui: '52:54' is not the beginning of a MAC address",
    ),
    "no machine-id": (
        f"{TOP}- name: a\n  machine-id: mine\n",
        (
            "fleet.yaml:4:15: machine-id: 'mine' is none of auto, remove, empty, uninitialized, "
            "random, nor 32 hexadecimal digits"
        ),
    ),
    "one machine-id for two": (
        f"{TOP}- name: a-{{}}\n  count: 2\n  machine-id: {'a' * 32}\n",
        "fleet.yaml:3:9: machine-id: it is the id of a machine already: fleet.yaml:3:9",
    ),
    "an unknown step": (
        f"{TOP}- name: a\n  enable: qqqqqqqq\n",
        "fleet.yaml:3:3: there is no step called 'qqqqqqqq'; `unclone steps` lists them.",
    ),
    "an empty password": (
        f"{TOP}- name: a\n  password-file: empty\n",
        "fleet.yaml:3:3: empty is empty",
    ),
    "which golden image": (
        "golden: {a: golden.qcow2, b: other.qcow2}\nmachines: [name: a]\n",
        "fleet.yaml:2:12: golden: nothing says which image",
    ),
    "an unknown golden image": (
        "golden: {a: golden.qcow2, b: other.qcow2}\nmachines: [{name: a, golden: c}]\n",
        "fleet.yaml:2:30: golden: there is no golden image c",
    ),
    "a golden image without image": (
        "golden: {a: {mode: copy}}\nmachines: [name: a]\n",
        "fleet.yaml:1:13: golden a: it has no image",
    ),
    "no address": (
        f"{TOP}- name: a\n  address: [192.0.2.1/24, 192.0.2.300/24]\n",
        "fleet.yaml:4:27: address: 192.0.2.300/24 is no address",
    ),
    "an address without prefix": (
        f"{TOP}- name: a\n  address: 2001:db8::1\n",
        "fleet.yaml:4:12: address: 2001:db8::1 has no prefix length",
    ),
    "a gateway with a prefix": (
        f"{TOP}- name: a\n  gateway: 192.0.2.1/24\n",
        "fleet.yaml:4:12: gateway: 192.0.2.1/24 is no address",
    ),
    "a gateway alone": (
        f"{TOP}- name: a\n  gateway: 192.0.2.1\n",
        "fleet.yaml:4:12: gateway: the machine has no address",
    ),
    "an address of no card": (
        f"{TOP}- name: a\n  address: 192.0.2.9/24\n",
        "fleet.yaml:4:12: address: nothing says which network card has it",
    ),
    "an address and a network-config": (
        f"{TOP}- name: a\n  address: 192.0.2.9/24\n  network-config: net.yaml\n",
        "fleet.yaml:4:12: address: network-config describes the network already",
    ),
    "an address and no seed": (
        f"{TOP}- name: a\n  address: 192.0.2.9/24\n  seed: never\n",
        "fleet.yaml:4:12: address: the machine gets no seed (seed: never)",
    ),
    "an address twice": (
        (
            "golden: golden.qcow2\ndefaults: {definition: golden.xml}\nmachines:\n"
            "- {name: a, address: '2001:db8::1/64'}\n- {name: b, address: '2001:DB8:0::1/48'}\n"
        ),
        "fleet.yaml:5:22: 2001:db8::1 is the address of a machine already: fleet.yaml:4:22",
    ),
    "one address for two": (
        (
            "golden: golden.qcow2\ndefaults: {definition: golden.xml, address: 192.0.2.9/24}\n"
            "machines:\n- {name: 'a{}', count: 2}\n"
        ),
        "fleet.yaml:4:3: 192.0.2.9 is the address of a machine already: fleet.yaml:4:3",
    ),
    "a table and a name": (
        f"{TOP}- table: golden.xml\n  name: a\n",
        "fleet.yaml:4:3: name: the table has a column for the names",
    ),
    "a missing table": (
        f"{TOP}- table: gone.csv\n",
        "fleet.yaml:3:10: table: there is no gone.csv",
    ),
}
