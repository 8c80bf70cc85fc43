"""click's help in another markup than text: what the man pages and the site have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class MarkupFormatter(click.HelpFormatter, ABC):
    """Writes what click formats, each part as a subclass spells it; wraps and indents nothing."""

    @abstractmethod
    def spell_usage(self, prog: str, args: str) -> str: ...

    @abstractmethod
    def spell_heading(self, heading: str) -> str: ...

    @abstractmethod
    def spell_prose(self, lines: Sequence[str], *, first: bool) -> str:
        """A paragraph; *first*: of its section."""

    @abstractmethod
    def spell_verbatim(self, lines: Sequence[str]) -> str:
        """A paragraph whose lines stay as they are."""

    @abstractmethod
    def spell_term(self, term: str, text: str) -> str:
        """A term, and what it means."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:  # noqa: ARG002 (click's signature)
        self.write(self.spell_usage(prog, args))

    def write_heading(self, heading: str) -> None:
        self.write(self.spell_heading(heading))

    def write_text(self, text: str) -> None:
        for number, paragraph in enumerate(text.strip("\n").split("\n\n")):
            lines = paragraph.splitlines()
            if lines[0].strip() == "\b":  # click's mark of a paragraph that is not to be wrapped
                self.write(self.spell_verbatim(lines[1:]))
            else:
                self.write(self.spell_prose(lines, first=number == 0))

    def write_dl(
        self,
        rows: Iterable[tuple[str, str]],
        col_max: int = 30,  # noqa: ARG002 (click's signature)
        col_spacing: int = 2,  # noqa: ARG002 (click's signature)
    ) -> None:
        for term, text in rows:
            self.write(self.spell_term(term, text))

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self.write_heading(name)
        yield

    @contextmanager
    def indentation(self) -> Iterator[None]:
        yield
