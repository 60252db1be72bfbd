"""Text as it reaches a terminal: without control characters of the files it came from, in any encoding."""

import codecs
import contextlib
import functools
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from attribution_bench.errors import JobWarning, OutputError, PluginWarning
from attribution_bench.foreign_warnings import OWN

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult

PLAIN = {"↑": "^", "↓": "v", "−": "-", "–": "-", "×": "x", "·": ".", "…": "..."}
"""What stands for letters of ours that an encoding lacks."""
PLAIN_LETTERS = "attribution_bench.plain_letters"
"""Name of the handler by which a stream writes what its encoding lacks."""
STDOUT, STDERR = 1, 2
"""Descriptors of a process, to which libraries below Python and other processes write."""


def printable(text: str) -> str:
    r"""Return a text with what is no printable character, but an end of line, as an escape such as ``\x1b``.

    Control characters move the cursor or give the terminal orders, bidirectional ones change the order of what is read.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else _escape(letter) for letter in text)


def say(text: str) -> None:
    """Print a line of text on stdout, at once."""
    print(printable(text), file=own_stdout(), flush=True)


def say_json(content: Mapping[str, Any], default: Callable[[Any], Any] | None = None) -> None:
    """Print a JSON object as a line of stdout, at once; `default` as `json.dumps` takes it."""
    print(json.dumps(content, default=default), file=own_stdout(), flush=True)


def note(text: str) -> None:
    """Print a line of text on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def console(*, stderr: bool = False) -> "Console":
    """Return a console that reads no markup in what it prints, and prints no control characters of others."""
    from rich.console import Console, RenderHook

    class PrintableHook(RenderHook):
        """Hook that makes everything that is printed printable."""

        def process_renderables(self, renderables: "list[ConsoleRenderable]") -> "list[ConsoleRenderable]":
            return [_Printable(renderable) for renderable in renderables]

    file = None if stderr else own_stdout()
    made = Console(stderr=stderr, file=file, markup=False, emoji=False, highlight=False)
    made.push_render_hook(PrintableHook())
    return made


def own_stdout() -> TextIO:
    """Return the stdout of a command, which holds nothing but what the command says there."""
    own: TextIO = getattr(sys.stdout, "own", sys.stdout)
    return own


def with_own_stdout(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command on whose stdout nobody else prints: what models and libraries print there goes to stderr.

    That of processes which it starts goes there too.
    """

    @functools.wraps(command)
    def kept_apart(*args: Any, **kwargs: Any) -> None:
        if sys.stdout is None:  # closed by whoever started this process
            command(*args, **kwargs)
            return
        own = _moved_stdout()
        of_others: Any = _OfOthers(_Own(own))
        sys.stdout = of_others
        try:
            command(*args, **kwargs)
        finally:
            sys.stdout = own

    return kept_apart


def open_stderr() -> None:
    """Open stderr where whoever started this process has closed it: what is written there is lost.

    Else the next file that is opened would have its descriptor, and notes would go to stdout.
    """
    if sys.stderr is not None:
        return
    # The lowest descriptor that is free is opened: that of stdin or stdout first, where these are closed, too.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < STDERR:
        pass
    os.set_inheritable(descriptor, True)
    sys.stderr = os.fdopen(descriptor, "w")


@contextlib.contextmanager
def readable_output() -> Iterator[None]:
    """Let a command write to streams of any encoding; its warnings are printed without control characters.

    What the encoding of the locale lacks becomes plain letters or an escape, where Python would stop with an error.
    """
    codecs.register_error(PLAIN_LETTERS, _plain_letters)
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    handlers = [stream.errors for stream in streams]
    former = warnings.formatwarning
    for stream in streams:
        stream.reconfigure(errors=PLAIN_LETTERS)

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        # The place in our code means nothing to whoever runs a command.
        own = issubclass(category, (*OWN, JobWarning, PluginWarning))
        return printable(f"caution: {message}\n" if own else former(message, category, filename, lineno, line))

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = former
        for stream, errors in zip(streams, handlers, strict=True):
            # The descriptor of stdout may lead to another kind of file by now, of which its stream knows nothing.
            with contextlib.suppress(OSError):
                if not stream.closed:
                    stream.reconfigure(errors=errors)


class _OfOthers:
    """Stands for stdout to models and libraries: stderr, whatever that is at the moment."""

    def __init__(self, own: "_Own") -> None:
        self.own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


class _Own:
    """A command's stdout, which raises OutputError where it cannot be written, such as on a full disk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        with self._written():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what was kept back."""
        with self._written():
            self._stream.flush()

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # nobody reads any more, which ends a command without a word
            raise
        except OSError as error:
            # What the stream still holds would be an error again as the process ends.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise OutputError(f"cannot write to standard output: {error.strerror or error}") from error


def _moved_stdout() -> TextIO:
    """Return a stream to where this process's stdout leads, whose descriptor leads to stderr from then on.

    It is not led back: libraries may hold what they print until the process ends. A stream that has no such descriptor
    is returned as it is.
    """
    stream = sys.stdout
    if (_descriptor(stream), _descriptor(sys.stderr)) != (STDOUT, STDERR):
        return stream
    stream.flush()
    own = os.fdopen(os.dup(STDOUT), "w", encoding=stream.encoding, errors=stream.errors)
    os.dup2(STDERR, STDOUT)
    return own


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # of a stream in memory, or closed
        return None


class _Printable:
    """What a console prints, with every text of it made printable."""

    def __init__(self, content: "ConsoleRenderable") -> None:
        self._content = content

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        for segment in console.render(self._content, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or _escape(letter) for letter in lacking), error.end
