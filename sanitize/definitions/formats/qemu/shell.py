"""A shell script read for one thing: with which words it starts a program. Nothing is executed.

Variables and arrays that are assigned words in the file are followed; what only a running shell
knows (``$1``, ``$(...)``, arithmetic, a variable that is assigned twice) stays unknown.

References: POSIX.1-2017 XCU 2 (Shell Command Language), 2.2 (quoting), 2.3 (tokens), 2.6.2
(parameter expansion), 2.7.4 (here-documents); the Bash manual on arrays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.qemu.words import Char, Word

if TYPE_CHECKING:
    from unclone.sanitize.definitions.text.source import Source

#: Words; a script that starts a machine has far fewer.
WORD_LIMIT = 20_000
#: What variables may grow to, so that ``A=$A$A`` does not fill memory. In characters.
VALUE_LIMIT = 20_000
#: How often variables may be made of variables, and what all of them come to. In characters.
NESTING_LIMIT = 100
TOTAL_LIMIT = 300_000
#: A command line is shorter: Linux passes 2 MiB at most. In characters.
SIZE_LIMIT = 256 * 2**10

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_BRACED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^{}$`\"'\\\s]*)|(\[[@*]\]))?\}")
_HERE = re.compile(r"<<(-?)[ \t]*(\\?[\w.]+|'[^'\n]+'|\"[^\"\n]+\")")
_OPERATOR = re.compile(r"(?:\d*[<>]&\d*-?|&>>?|\d*>>|\d*<>|\d*>\||<<<|\d*[<>]|&&|\|\||;;|[;&|()])")
#: One step through what stands in brackets: escaped, quoted, or one character.
_BRACKETED = re.compile(r"\\.|'[^']*'|.", re.DOTALL)
_ESCAPED_IN_QUOTES = frozenset('$`"\\')


@dataclass(frozen=True, slots=True)
class Use:
    """A variable in a word. ``default``: what stands in ``${NAME:-here}``."""

    name: str  # with "[@]" for all words of an array
    start: int
    end: int
    context: str
    default: tuple[Char, ...] | None = None


Part = Char | Use


@dataclass(slots=True)
class Command:
    """A simple command: its words, variables replaced by what they were assigned."""

    words: list[Word] = field(default_factory=list)
    background: bool = False


def commands(source: Source) -> list[Command]:
    """The commands in *source*, in the order of the text.

    Raises RefusedError for quotes and brackets that do not end, and where a continued line is the
    last: the file is cut off.
    """
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._at = 0
        self._commands: list[Command] = []
        self._command = Command()
        self._variables: dict[str, list[Word] | None] = {}  # None: assigned, but unknown
        self._arrays: dict[str, list[Word]] = {}
        self._documents: list[tuple[str, bool]] = []  # here-documents that begin at the next line
        self._count = 0
        self._total = 0
        self._depths: dict[str, int] = {}

    def read(self) -> list[Command]:
        text = self._text
        if len(text) > SIZE_LIMIT:
            raise RefusedError(
                f"{self._source.shown} has more than {SIZE_LIMIT // 2**10} KiB",
                hint="That is no script that starts a machine.",
            )
        while self._at < len(text):
            char = text[self._at]
            if char in " \t\r":
                self._at += 1
            elif text.startswith(("\\\n", "\\\r\n"), self._at):
                self._at = text.index("\n", self._at) + 1
                if self._at == len(text):
                    self._refuse(self._at, "it ends in the middle of a command")
            elif char == "#":
                end = text.find("\n", self._at)
                self._at = end if end >= 0 else len(text)
            elif char == "\n":
                self._end()
                self._at += 1
                self._skip_documents()
            elif here := _HERE.match(text, self._at):
                self._documents.append((here[2].strip("\\'\""), bool(here[1])))
                self._at = here.end()
            elif operator := _OPERATOR.match(text, self._at):
                self._operator(operator)
            else:
                self._word()
        self._end()
        if self._documents:
            self._refuse(len(text), "a here-document does not end")
        return self._commands

    def _operator(self, operator: re.Match[str]) -> None:
        self._at = operator.end()
        if any(c in operator[0] for c in "<>"):
            if not operator[0].endswith(("-", *"0123456789")):
                self._skip_space()
                if self._at < len(self._text) and self._text[self._at] != "\n":
                    self._expanded(self._raw())  # the file of a redirection is no argument
            return
        self._command.background = operator[0] == "&"
        self._end()

    def _word(self) -> None:
        start = self._at
        assignment = _ASSIGNMENT.match(self._text, start)
        if assignment is None or not self._may_assign():
            self._command.words += self._expanded(self._raw())
            return
        name, more = assignment[1], bool(assignment[2])
        self._at = assignment.end()
        if self._text[self._at : self._at + 1] == "(":
            self._array(name, more=more)
            return
        empty = self._text[self._at : self._at + 1] in tuple(" \t\r\n;&|()<>") or (
            self._at == len(self._text)
        )
        value = [] if empty else self._expanded(self._raw(), split=False)
        known = value[0] if value else Word((), self._at, self._at)
        chars = known.chars
        if more:
            before = self._variables.get(name)
            chars = (*(before[0].chars if before else ()), *chars)
        used = self._mentioned(start)
        depth = 1 + max((self._depths.get(each, 0) for each in used), default=0)
        self._depths[name] = max(depth, self._depths.get(name, 0) if more else 0)
        if len(chars) > VALUE_LIMIT or depth > NESTING_LIMIT:
            self._refuse(start, "a variable that grows without end")
        again = name in self._variables and not more and name not in used
        self._variables[name] = None if again else [Word(chars, known.start, known.end)]

    def _may_assign(self) -> bool:
        """Words before a command, and the arguments of ``export``, are assignments."""
        return all(word.value in _BEFORE_COMMANDS for word in self._command.words)

    def _mentioned(self, start: int) -> set[str]:
        """The variables that an assignment uses: ``OPTS="$OPTS -m 1G"`` adds to one."""
        return set(re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", self._text[start : self._at]))

    def _array(self, name: str, *, more: bool) -> None:
        start, words = self._at, list(self._arrays.get(name, ())) if more else []
        self._at += 1
        while True:
            self._skip_blank()
            if self._at >= len(self._text):
                self._refuse(start, "a bracket does not end")
            if self._text[self._at] == ")":
                self._at += 1
                break
            if _OPERATOR.match(self._text, self._at):
                self._refuse(self._at, "an operator between the words of an array")
            words += self._expanded(self._raw())
        self._arrays[name] = words

    def _raw(self) -> list[Part]:
        """The word at the present place; the last part says where it stands, quotes included."""
        start = self._at
        parts: list[Part] = []
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char in " \t\r\n;&|()<>":
                break
            if char == "'":
                self._single(parts)
            elif char == '"':
                self._double(parts)
            elif char == "\\":
                self._escape(parts)
            elif char in "$`":
                parts.append(self._dollar(""))
            else:
                parts.append(Char(char, self._at, self._at + 1))
                self._at += 1
        self._count += 1
        if self._count > WORD_LIMIT:
            self._refuse(start, f"more than {WORD_LIMIT} words")
        if self._at == start:
            self._refuse(start, "it cannot be understood")
        parts.append(Char("", start, self._at, "word"))  # where the word stands, quotes included
        return parts

    def _escape(self, parts: list[Part]) -> None:
        at, text = self._at, self._text
        if at + 1 >= len(text):
            self._refuse(at, "it ends in the middle of a command")
        if text.startswith(("\\\n", "\\\r\n"), at):
            self._at = text.index("\n", at) + 1
            return
        parts.append(Char(text[at + 1], at, at + 2))
        self._at = at + 2

    def _single(self, parts: list[Part]) -> None:
        start = self._at
        end = self._text.find("'", start + 1)
        if end < 0:
            self._refuse(start, "a quote does not end")
        parts += [Char(self._text[n], n, n + 1, "'") for n in range(start + 1, end)]
        self._at = end + 1

    def _double(self, parts: list[Part]) -> None:
        start, text = self._at, self._text
        at = start + 1
        while text[at : at + 1] != '"':
            if at >= len(text):
                self._refuse(start, "a quote does not end")
            if text[at] in "$`":
                self._at = at
                parts.append(self._dollar('"'))
                at = self._at
            elif text.startswith(("\\\n", "\\\r\n"), at):
                at = text.index("\n", at) + 1
            elif text[at] == "\\" and text[at + 1 : at + 2] in _ESCAPED_IN_QUOTES:
                parts.append(Char(text[at + 1 : at + 2], at, at + 2, '"'))
                at += 2
            else:
                parts.append(Char(text[at], at, at + 1, '"'))
                at += 1
        self._at = at + 1

    def _dollar(self, context: str) -> Part:
        at, text = self._at, self._text
        if braced := _BRACED.match(text, at):
            self._at = braced.end()
            default = None
            if braced[2] is not None:
                default = tuple(Char(text[n], n, n + 1, "}") for n in range(*braced.span(3)))
            name = braced[1] + (braced[4] or "")
            return Use(name, at, braced.end(), context, default)
        if text[at] == "$" and (name_ := _NAME.match(text, at + 1)):
            self._at = name_.end()
            return Use(name_[0], at, name_.end(), context)
        if text[at] == "`":
            tick = text.find("`", at + 1)
            if tick < 0:
                self._refuse(at, "a quote does not end")
            self._at = tick + 1
        elif text[at + 1 : at + 2] in ("(", "{"):
            self._at = self._closing(at + 1)
        elif text[at + 1 : at + 2] in tuple("0123456789@*#?$!-"):
            self._at = at + 2
        elif text[at + 1 : at + 2] == "'" and not context:
            end = re.compile(r"\$'(?:[^'\\]|\\.)*+'", re.DOTALL).match(text, at)
            if end is None:
                self._refuse(at, "a quote does not end")
            self._at = end.end()
        else:
            self._at = at + 1
            return Char("$", at, at + 1, context)
        return Char("", at, self._at, context)

    def _closing(self, start: int) -> int:
        """Behind the bracket that ends the one at *start*; quotes are respected."""
        opening, ending = ("(", ")") if self._text[start] == "(" else ("{", "}")
        depth = 0
        for part in _BRACKETED.finditer(self._text, start):
            depth += (part[0] == opening) - (part[0] == ending)
            if depth == 0:
                return part.end()
        return self._refuse(start, "a bracket does not end")

    def _expanded(
        self,
        parts: list[Part],
        *,
        split: bool = True,
    ) -> list[Word]:
        """The words that one becomes: variables replaced, and split where they are not quoted."""
        whole = parts[-1]
        start, end = (whole.start, whole.end) if isinstance(whole, Char) else (0, 0)
        words: list[list[Char]] = [[]]
        quoted = self._text[start:end].startswith(("'", '"'))
        for part in parts[:-1]:
            if isinstance(part, Char):
                words[-1].append(part)
                continue
            for number, chunk in enumerate(self._value(part, split=split)):
                if number:
                    words.append([])
                self._total += len(chunk)
                if self._total > TOTAL_LIMIT:
                    self._refuse(start, "variables that grow without end")
                words[-1] += [
                    c
                    if not c.char or part.start <= c.start < part.end  # its own default
                    else Char(c.char, part.start, part.end, part.context, c)
                    for c in chunk
                ]
        self._count += len(words)
        if self._count > WORD_LIMIT or sum(map(len, words)) > VALUE_LIMIT:
            self._refuse(start, "more than any command line has")
        return [Word(tuple(chars), start, end) for chars in words if chars or quoted]

    def _value(self, use: Use, *, split: bool) -> list[tuple[Char, ...]]:
        """The words that a variable in a word stands for."""
        unknown = (Char("", use.start, use.end, use.context),)
        if use.name.endswith("]"):
            array = self._arrays.get(use.name[:-3])
            return [unknown] if array is None else [word.chars for word in array]
        assigned = self._variables.get(use.name, [])
        if assigned:
            chars = assigned[0].chars
        else:
            chars = unknown if assigned is None or use.default is None else use.default
        return _split(chars) if split and not use.context else [chars]

    def _end(self) -> None:
        if self._command.words:
            self._commands.append(self._command)
        self._command = Command()

    def _skip_space(self) -> None:
        while self._text[self._at : self._at + 1] in (" ", "\t"):
            self._at += 1

    def _skip_blank(self) -> None:
        """White space, lines and comments, as between the words of an array."""
        match = re.compile(r"(?:\s|\\\r?\n|#[^\n]*)*+").match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _skip_documents(self) -> None:
        for ending, tabs in self._documents:
            while True:
                if self._at >= len(self._text):
                    self._refuse(self._at, "a here-document does not end")
                end = self._text.find("\n", self._at)
                end = end if end >= 0 else len(self._text)
                line = self._text[self._at : end].rstrip("\r")
                self._at = min(end + 1, len(self._text))
                if (line.lstrip("\t") if tabs else line) == ending:
                    break
        self._documents.clear()

    def _refuse(self, offset: int, what: str) -> NoReturn:
        raise RefusedError(
            f"{self._source.position(min(offset, len(self._text)))}: cannot read this command: "
            f"{what}",
            hint="Is the file complete? A file with nothing but the command is read best.",
        )


_BEFORE_COMMANDS = frozenset(
    ("export", "readonly", "local", "declare", "typeset", "if", "then", "else", "do", "{", "!")
)


def _split(chars: tuple[Char, ...]) -> list[tuple[Char, ...]]:
    """As the shell splits what an unquoted variable holds, at white space."""
    words: list[list[Char]] = [[]]
    for char in chars:
        if char.char and char.char in " \t\n":
            words.append([])
        else:
            words[-1].append(char)
    return [tuple(word) for word in words]
