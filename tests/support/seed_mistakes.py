"""The mistakes of tests/seeds/mistakes.yaml, and the table of them in docs/seeds.md.

``python -m tests.support.seed_mistakes`` prints the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from unclone.seeds import Seed

SOURCE = Path(__file__).parent.parent / "seeds" / "mistakes.yaml"


@dataclass(frozen=True)
class Mistake:
    """One wrong file, and what has to be said about it."""

    title: str
    file: str
    content: bytes
    says: str
    hint: str

    @property
    def seed(self) -> Seed:
        """A seed that is right but for this file."""
        files = {"user-data": b"#cloud-config\n{}\n", "meta-data": b'instance-id: "i-1"\n'}
        files[self.file] = self.content
        return Seed(files["user-data"], files["meta-data"], files.get("network-config"))


def mistakes() -> list[Mistake]:
    """All of them, in order."""
    return [
        Mistake(
            title=entry["mistake"],
            file=entry["file"],
            content=(
                entry["content"] + "#" * entry.get("repeat", 0) + entry.get("then", "")
            ).encode("latin-1"),
            says=entry["says"],
            hint=entry["hint"],
        )
        for entry in yaml.safe_load(SOURCE.read_text())
    ]


def table() -> str:
    """The Markdown table."""
    rows = [
        f"| {_cell(m.title)} | `{_cell(m.says)}` | {_cell(m.hint) or ' '} |" for m in mistakes()
    ]
    return "\n".join(["| mistake | what it says | what to do |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(table())
