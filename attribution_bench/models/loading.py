"""Models opened from what a user can type: a file, a callable, or a built-in architecture. Nothing is unpickled."""

import contextlib
import hashlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from attribution_bench.errors import AttributionBenchError, ModelError
from attribution_bench.models.adapt import NoModelError, as_sequence_model
from attribution_bench.models.adapters import find_catalogued, get_catalogued, read_catalogue
from attribution_bench.models.catalogue import get_model, list_models
from attribution_bench.models.model_files import read_exported, read_keras
from attribution_bench.models.sequence_model import Layout, SequenceModel
from attribution_bench.models.unreadable import OTHER_FORMATS, PICKLES, PYTHON, advice, pickled, python_code
from attribution_bench.models.untrusted.beginnings import ARCHIVE, EMPTY_ARCHIVE, LONGEST, is_tar, other_kind
from attribution_bench.models.weight_files import SAFETENSORS, load_weights
from attribution_bench.sequences.alphabet import ALPHABETS, DNA, Alphabet

KERAS_FILES = (".keras", ".h5", ".hdf5")
EXPORTED = ".pt2"
KNOWN = (*KERAS_FILES, EXPORTED, *PICKLES, SAFETENSORS, *OTHER_FORMATS)
"""Suffixes of files that are models or weights, whether they are read here or not."""
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
NOT_IN_LABELS = ("length", "framework")
"""Options that records have by themselves."""
FORMS = "a .pt2, .keras or .h5 file, package.module:callable, or a model of `attribution-bench models`"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from; `open` builds it."""

    kind: Literal["file", "callable", "built-in", "catalogued"]
    name: str
    """A path, ``package.module:callable``, or a registered name of an architecture or a catalogued model."""
    options: tuple[tuple[str, int | str], ...] = ()
    """Options of what builds the model, such as ``length``."""
    weights: Path | None = None
    """File of weights for the model that is built."""

    @property
    def label(self) -> str:
        """Short name for tables and records: without the folder, and without the length, which has a column."""
        if self.kind == "file":
            return Path(self.name).name
        given = [f"{key}={value}" for key, value in self.options if key not in NOT_IN_LABELS]
        if self.weights is not None:
            given.append(f"weights={self.weights.name}")
        return f"{self.name}?{'&'.join(given)}" if given else self.name

    @property
    def length(self) -> int | None:
        """Length that the source states."""
        length = dict(self.options).get("length")
        return length if isinstance(length, int) else None

    @property
    def default_length(self) -> int | None:
        """Length that a built-in architecture is built for where none is stated, or that a catalogued model takes."""
        if self.kind == "catalogued":
            with self._asked():
                return get_catalogued(self.name).adapter.default_length(self.name, **dict(self.options))
        if self.kind != "built-in":
            return None
        parameter = inspect.signature(get_model(self.name)).parameters.get("length")
        return parameter.default if parameter is not None and isinstance(parameter.default, int) else None

    @property
    def default_target(self) -> str | None:
        """Target of a catalogued model for whoever gives none, as on the command line."""
        return get_catalogued(self.name).card.target if self.kind == "catalogued" else None

    @property
    def default_alphabet(self) -> Alphabet:
        """Letters that a catalogued model takes; DNA of others, which do not say."""
        if self.kind != "catalogued":
            return DNA
        with self._asked():
            own = self._sequence_options()["alphabet"]
            return own if isinstance(own, Alphabet) else ALPHABETS[own]

    @property
    def default_effects(self) -> Any:
        """Effects of variants that suit a catalogued model; None for differences of numbers."""
        if self.kind != "catalogued":
            return None
        with self._asked():
            return get_catalogued(self.name).adapter.effects(self.name, **dict(self.options))

    def default_genes(self, genome: Any) -> Any:
        """Return the genes on whose strands a catalogued model scores variants of a genome; None for the strand ``+``.

        Raises
        ------
        ModelError
            Those that it has are of another genome.
        """
        if self.kind != "catalogued":
            return None
        with self._asked():
            return get_catalogued(self.name).adapter.genes(self.name, genome, **dict(self.options))

    @property
    def identity(self) -> str:
        """Digest of the model's file, whatever its name.

        Of other models it is one of the name, the options, the source file that defines the callable, if there is one,
        and the file of weights.

        Raises
        ------
        ModelError
            A file cannot be read.
        """
        paths = [] if self.weights is None else [self.weights]
        if self.kind == "file":
            paths.append(Path(self.name))
        elif self.kind == "callable":
            defined_in = getattr(_imported(self.name)[0], "__file__", None)
            paths += [] if defined_in is None else [Path(defined_in)]
        with _readable(", ".join(map(str, paths))):
            digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        if self.kind == "file":
            return digests[0]
        # A callable may make anything of a length; to others the sequences give it.
        apart = () if self.kind == "callable" else NOT_IN_LABELS
        options = sorted(option for option in self.options if option[0] not in apart)
        return hashlib.sha256(json.dumps([self.name, options, digests]).encode()).hexdigest()

    def open(
        self,
        *,
        length: int | None = None,
        framework: str = "torch",
        device: str | None = None,
        layout: Layout | None = None,
        alphabet: Alphabet | None = None,
        sequence_input: str | int | None = None,
    ) -> SequenceModel:
        """Build or read the model.

        Parameters
        ----------
        length
            Length to build for, where the source takes one: an architecture, or a callable with a ``length`` argument.
        framework
            Of a built-in architecture.
        device, layout, alphabet, sequence_input
            As in `as_sequence_model`; the alphabet is by default that of a catalogued model, or DNA.

        Raises
        ------
        ModelError
            The file or the callable cannot be used, or would need code to be unpickled or evaluated.
        MissingDependencyError
            The framework is not installed; the message names the extra.
        """
        ways = {"file": self._read, "callable": self._call, "built-in": self._build, "catalogued": self._adapt}
        model = ways[self.kind](length, framework)
        if self.weights is not None and self.kind != "catalogued":  # an adapter gives its model the weights itself
            load_weights(model, self.weights)
        given: dict[str, Any] = {
            "device": device,
            "layout": layout,
            "alphabet": alphabet,
            "sequence_input": sequence_input,
        }
        if self.kind == "catalogued":
            with self._asked():
                known = self._sequence_options()
            given |= {name: value for name, value in known.items() if given.get(name) is None}
        try:
            return as_sequence_model(model, **given)
        except NoModelError as error:
            raise ModelError(f"what {self.name} returns is no model: {error}") from error

    def prepare(self, framework: str) -> None:
        """Import what `open` imports, as far as that is known beforehand: the framework, or the callable's module.

        Raises
        ------
        ModelError
            The module cannot be imported.
        ImportError
            The framework is not installed.
        """
        if self.kind == "callable":
            _imported(self.name)
        elif self.kind == "file":
            importlib.import_module("torch" if self._is_exported else "keras")
        elif self.kind == "built-in":
            importlib.import_module(str(dict(self.options).get("framework", framework)))

    def _build(self, length: int | None, framework: str) -> Any:
        options: dict[str, Any] = {"framework": framework, **dict(self.options)}
        if length is not None:
            if self.length is not None and self.length != length:
                raise ModelError(
                    f"{self.name} is asked for with length={self.length}, but for sequences of {length} letters; "
                    "leave one of them out"
                )
            options["length"] = length
        builder = get_model(self.name)
        try:
            inspect.signature(builder).bind(**options)
        except TypeError as error:
            raise ModelError(
                f"{self.name} cannot be built with {', '.join(options)}: {error}; "
                f"it takes {', '.join(inspect.signature(builder).parameters)}"
            ) from error
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        with _named(f"{self.name} cannot be built with {given}"):
            return builder(**options)

    def _call(self, length: int | None, framework: str) -> Any:
        _, build = _imported(self.name)
        options: dict[str, Any] = dict(self.options)
        if length and "length" in _parameters(build):
            options["length"] = length
        with _named(f"{self.name}({options or ''}) failed"), _current_folder_importable():
            return build(**options)

    def _adapt(self, length: int | None, framework: str) -> Any:
        found = get_catalogued(self.name)
        card, options = found.card, dict(self.options)
        stated = options.pop("length", None)
        any_length = card.length is None or not card.fixed
        takes = [*card.options, *(() if card.weights else ("weights",)), *(("length",) if any_length else ())]
        unknown = [*(key for key in options if key not in card.options), *(("weights",) if self.weights else ())]
        unknown = [key for key in unknown if key not in takes]
        if unknown:
            raise ModelError(f"{self.name} has no option {unknown[0]}; it takes {', '.join(takes) or 'none'}")
        if not card.weights and self.weights is None:
            raise ModelError(
                f"{card.package} has the architecture of {self.name}, and no weights; give a file of them: "
                f"{self.name}?weights=FILE"
            )
        wanted = [asked for asked in (stated, length) if asked is not None]
        if not any_length and any(asked != card.length for asked in wanted):
            raise ModelError(f"{self.name} takes sequences of {card.length} letters, not {wanted[0]}")
        if len(set(wanted)) > 1:
            raise ModelError(
                f"{self.name} is asked for with length={stated}, but for sequences of {length} letters; "
                "leave one of them out"
            )
        given: dict[str, Any] = {**options, **({} if self.weights is None else {"weights": self.weights})}
        with self._asked():
            asked = next(iter(wanted), found.adapter.default_length(self.name, **options))
        if any_length and asked is not None:
            given["length"] = asked
        with self._asked():
            return found.open(**given)

    def _read(self, length: int | None, framework: str) -> Any:
        path = Path(self.name)
        return read_exported(path) if self._is_exported else read_keras(path)

    @property
    def _is_exported(self) -> bool:
        return Path(self.name).suffix.lower() == EXPORTED

    def _sequence_options(self) -> Mapping[str, Any]:
        """Return what an adapter says of how its model takes sequences; call it within `_asked`."""
        found = get_catalogued(self.name)
        return {"alphabet": found.card.alphabet} | dict(found.adapter.sequence_options(self.name, **dict(self.options)))

    def _asked(self) -> contextlib.AbstractContextManager[None]:
        """Name the model and the options given in whatever its adapter fails with."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.options)
        return _named(f"{self.name} cannot be opened{given and f' with {given}'}")


def model_source(text: str) -> ModelSource:
    """Tell what a text names: a file, ``package.module:callable``, or the name of an architecture or catalogued model.

    A callable and a name may be followed by ``?option=value&option=value``; ``weights=FILE`` gives the PyTorch model
    that is built the weights of a .safetensors file, or of a file of torch.save that holds weights alone.

    Raises
    ------
    ModelError
        It names none of these, the file is missing or cannot be read, or it would have to be unpickled, which can run
        any code. Of adapters that cannot be used, which may have the name, the error has notes.
    """
    with _readable(text):
        path = Path(text)
        suffix = "" if "?" in text else path.suffix.lower()
        if suffix in KNOWN and not path.exists():
            raise ModelError(f"there is no model file {text}")
        if suffix in (*KERAS_FILES, EXPORTED) and path.is_file():
            return ModelSource("file", text)
        if suffix in PICKLES and path.is_file() and not is_tar(path):
            raise ModelError(pickled(path))
        name, _, query = text.partition("?")
        file, _, attribute = name.rpartition(":")
        if file.endswith(PYTHON):
            raise ModelError(python_code(Path(file), attribute))
        kind = _kind(name)
        if kind is not None:
            options = dict(_options(name, query))
            weights = options.pop("weights", None)
            return ModelSource(kind, name, tuple(options.items()), None if weights is None else _weights(str(weights)))
        if text and path.exists():
            said = advice(path)
            if said is not None:
                raise ModelError(said)
            raise ModelError(f"{text!r} names no model: it is {_content(path)}; give {FORMS}")
    catalogue = read_catalogue()
    names = [*list_models(), *catalogue.names]
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise catalogue.noted(ModelError(f"{text!r} names no model; give {FORMS}: {', '.join(names)}{hint}"))


def _kind(name: str) -> Literal["callable", "built-in", "catalogued"] | None:
    """Tell a callable, an architecture and a catalogued model apart by name; None for none of them."""
    if name in list_models():
        return "built-in"
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", name):
        return "callable"
    return None if find_catalogued(name) is None else "catalogued"


def _weights(text: str) -> Path:
    """Return the path of a file of weights; raise ModelError where there is none."""
    path = Path(text)
    if not path.is_file():
        raise ModelError(f"there is no file of weights {text}")
    return path


def _imported(name: str) -> tuple[Any, Any]:
    """Import ``package.module:callable``, also from the current folder; returns the module and the callable."""
    module_name, _, attribute = name.partition(":")
    try:
        with _current_folder_importable():
            module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may fail in any way; the failure is named and re-raised
        raise ModelError(f"{module_name!r} cannot be imported: {type(error).__name__}: {error}") from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ModelError(f"{module_name!r} has no callable {attribute!r}; name a function that returns the model")
    return module, found


def _parameters(build: Any) -> Collection[str]:
    """Return the names of a callable's parameters; none of one that does not tell."""
    try:
        return inspect.signature(build).parameters
    except (TypeError, ValueError):  # functions and classes that are written in C need not have a signature
        return ()


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say what fails, in a ModelError, where code of others raises anything but an error of the suite's own."""
    try:
        yield
    except AttributionBenchError:
        raise
    except Exception as error:  # code of others may fail in any way; the failure is named and re-raised
        raise ModelError(f"{what}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    """Name what cannot be read, as where this user may not look into a folder."""
    try:
        yield
    except AttributionBenchError:
        raise
    except OSError as error:
        raise ModelError(f"cannot read {what}: {error.strerror or error}") from error


def _content(path: Path) -> str:
    """Describe a file or folder that is no model."""
    if path.is_dir():
        return "a folder"
    if not path.is_file():  # opening a pipe would wait for whoever writes into it
        return "no file, but a pipe or a device"
    with path.open("rb") as file:
        beginning = file.read(LONGEST)
    if beginning.startswith((ARCHIVE, EMPTY_ARCHIVE)):
        return "a zip archive of something else"
    if is_tar(path):
        return "an archive of tar; unpack it and name the model in it"
    found = other_kind(beginning)
    return "a file of another kind" if found is None else str(found).removeprefix("it is ")


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    """Let Python find modules of the current folder first, as it does for a script that lies there."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # what was imported may have set another path
            sys.path.remove(folder)


def _options(name: str, query: str) -> tuple[tuple[str, int | str], ...]:
    """Read ``option=value&option=value``; whole numbers become numbers."""
    found: dict[str, int | str] = {}
    for part in query.split("&") if query else ():
        key, _, text = (unquote(piece) for piece in part.partition("="))
        if not key or not text:
            raise ModelError(f"{part!r} is no option of {name}; write option=value, such as {name}?length=2000")
        if key in found:
            raise ModelError(f"the option {key} of {name} is given twice; give it once")
        found[key] = int(text) if WHOLE_NUMBER.fullmatch(text) else text
    length = found.get("length")
    if isinstance(length, str):
        raise ModelError(f"the length of {name} must be a whole number, such as {name}?length=2000, not {length!r}")
    return tuple(found.items())
