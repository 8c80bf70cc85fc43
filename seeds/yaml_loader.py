"""Text to YAML nodes, as the pure-Python loader of PyYAML reads it: the one cloud-init uses.

libyaml is ten times as fast and accepts texts that the pure loader refuses: a tab as a separator
or before a comment, ``?`` inside flow collections, ``|#``, U+FEFF. cloud-init then drops the whole
file at boot. So libyaml reads only texts of a small, plain form, on which the two were compared
(``benchmarks/fuzz_yaml.py``), and everything else, errors included, is the pure loader's.

References: cloud-init 26.2 ``cloudinit/util.py`` ``load_yaml`` (``yaml.safe_load``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from yaml.nodes import Node

#: Deeper nesting would overflow the stack where nodes are composed and made into values.
DEEPEST = 100

_FAST: type[yaml.SafeLoader] | None = getattr(yaml, "CSafeLoader", None)
_QUOTED = r'"[ !#-\[\]-~]{0,800}"'
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9_./-]{0,800}"
_VALUE = rf"(?:{_QUOTED}|{_PLAIN})"
_KEY = "[A-Za-z_][A-Za-z0-9_-]{0,99}"
_LINE = re.compile(
    rf" {{0,40}}(?:- ){{0,9}}(?:{_KEY}:(?: {_VALUE})?|{_VALUE})|#cloud-config|"  # or nothing
)


class _Loader(yaml.SafeLoader):
    """Refuses nesting that would overflow the stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
            raise yaml.MarkedYAMLError(
                problem=f"values are nested more than {DEEPEST} deep",
                problem_mark=event.start_mark,
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def is_plain_form(text: str) -> bool:
    """Whether *text* has only lines that both loaders read the same way."""
    return all(map(_LINE.fullmatch, text.split("\n")))


def documents(text: str) -> tuple[Node, ...]:
    """The root node of each document in *text*.

    Raises ``yaml.YAMLError``, and for input made to do harm what
    :data:`unclone.seeds.yaml_text.CONSTRUCTION_ERRORS` lists.
    """
    if _FAST is not None and is_plain_form(text):
        try:
            return _composed(_FAST(text))
        except yaml.YAMLError:
            pass  # the pure loader has its own words, and the last one
    return _composed(_Loader(text))


def _composed(loader: yaml.SafeLoader) -> tuple[Node, ...]:
    found = []
    try:
        while loader.check_node():
            found.append(loader.get_node())
    finally:
        loader.dispose()
    return tuple(node for node in found if node is not None)
