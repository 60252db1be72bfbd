"""Archives of torch.export: read whole, checked, and written anew for PyTorch.

Three layouts are known: that of PyTorch 2.9 and later with the bytes of each tensor, that of 2.8 with one file of
torch.save for all weights, and that of 2.6 and 2.7 without folders. Each is written as it was read, but of what was
checked alone.
"""

import io
import json
import re
from typing import Any, BinaryIO

import torch

from attribution_bench.models.untrusted.exported_program import DEVICE, DTYPE, checked_program, path
from attribution_bench.models.untrusted.grammar import boolean, listed, mapped, matching, parsed, record, union, whole
from attribution_bench.models.untrusted.refused import Damaged, Refused, part, shown
from attribution_bench.models.untrusted.tensor_pickle import check_extent, read_tensors
from attribution_bench.models.untrusted.zip_archive import folder_of, read_members, write_members

FOLDER = "model/"
PICKLE = "data.pkl"
"""Member of every file of torch.save."""
PROGRAM, INPUTS = "models/model.json", "data/sample_inputs/model.pt"
KINDS = {"weights": "weight", "constants": "tensor"}
"""Folders of tensors, each with what the names of its members begin with."""
ABOUT = re.compile(r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)")
"""Members about the archive itself."""
LEFT_OUT = re.compile(r"extra/[^\x00-\x1f\x7f]+")
"""Members that the author of the file added: texts that nothing here reads."""
OLD_PROGRAM, OLD_VERSION = "serialized_exported_program.json", "version"
OLD_STATES = ("serialized_state_dict.pt", "serialized_constants.pt")
OLD_INPUTS = "serialized_example_inputs.pt"
BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2, 29: 1, 30: 1, 31: 1,
    32: 1, 33: 1, 34: 4, 35: 8,
}  # fmt: skip
"""Bytes of a value by the number that the format gives to its type."""


def _not_pickled(value: Any) -> bool:
    if value is not False:
        raise Refused("it holds a pickled object among its tensors, as subclasses of torch.Tensor and scripts are")
    return False


STORED_SIZE = union({"as_int": whole(0, 1 << 62)})
STORED_SIZES = listed(STORED_SIZE)
TENSORS = record({"config": mapped(path, record({
    "path_name": matching(r"(weight|tensor)_\d{1,9}", "tensor of this archive; it may be code or a pickled object"),
    "is_param": boolean,
    "use_pickle": _not_pickled,
    "tensor_meta": record({
        "dtype": DTYPE, "sizes": STORED_SIZES, "requires_grad": boolean, "device": DEVICE, "strides": STORED_SIZES,
        "storage_offset": STORED_SIZE, "layout": whole(7, 7),
    }),
}))})  # fmt: skip


def checked_archive(file: BinaryIO) -> bytes:
    """Return an archive of torch.export as PyTorch may read it.

    Raises
    ------
    Refused
        It is damaged, or holds something that is not known to be harmless.
    """
    members = read_members(file)
    if OLD_PROGRAM in members:
        return write_members(_old(members))
    folder = folder_of(members)
    inner = {name.removeprefix(folder): content for name, content in members.items()}
    return write_members({FOLDER + name: content for name, content in _new(inner).items()})


def _new(members: dict[str, bytes]) -> dict[str, bytes]:
    """Return the members of an archive with folders, of PyTorch 2.8 or later."""
    if PICKLE in members:
        raise Refused(
            "torch.save wrote it, and not torch.export.save; if it holds weights alone (a state_dict), call it .pt and "
            "name what builds the model, my_models:build?weights=FILE"
        )
    for name in members:
        if not _is_known(name):
            raise Refused(
                f"it holds {shown(name)}, which is code or a pickled object, or of a format newer than this reader"
            )
    if members.get("archive_format") != b"pt2" or members.get("archive_version", b"0") != b"0":
        raise Refused("it states a format or version of the archive that this reader does not know")
    if members.get("byteorder", b"little") != b"little":
        raise Refused("its tensors are not stored in little-endian order")
    checked = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "byteorder": b"little",
        ".data/version": b"6\n",
        PROGRAM: _program(members, PROGRAM),
        INPUTS: _inputs(_member(members, INPUTS)),
    }
    for folder in KINDS:
        pickled = f"data/{folder}/model.pt"
        if pickled in members:
            checked[pickled] = _state(members[pickled])
        else:
            checked.update(_tensors(members, folder))
    return checked


def _is_known(name: str) -> bool:
    """Whether an archive with folders may have a member of this name."""
    if ABOUT.fullmatch(name) or LEFT_OUT.fullmatch(name) or name in (PROGRAM, INPUTS):
        return True
    return any(
        re.fullmatch(rf"data/{folder}/(model\.pt|model_{folder}_config\.json|{prefix}_\d{{1,9}})", name)
        for folder, prefix in KINDS.items()
    )


def _tensors(members: dict[str, bytes], folder: str) -> dict[str, bytes]:
    """Return the tensors of one folder with their descriptions, each of which has been compared with its bytes."""
    name = f"data/{folder}/model_{folder}_config.json"
    description = _member(members, name)
    with part(name):
        config = TENSORS(parsed(description))
    checked = {name: json.dumps(config).encode()}
    types: dict[str, int] = {}
    for described in config["config"].values():
        member, about = f"data/{folder}/{described['path_name']}", described["tensor_meta"]
        content = _member(members, member)
        dtype = about["dtype"]
        if dtype not in BYTES or types.setdefault(member, dtype) != dtype:
            raise Refused(f"it states a type for {shown(member)} that this reader does not know, or two types")
        if len(content) % BYTES[dtype]:
            raise Damaged(f"{shown(member)} has {len(content)} bytes, which is no whole number of values")
        with part(member):
            check_extent(
                [size["as_int"] for size in about["sizes"]],
                [stride["as_int"] for stride in about["strides"]],
                about["storage_offset"]["as_int"],
                len(content) // BYTES[dtype],
            )
        checked[member] = content
    return checked


def _old(members: dict[str, bytes]) -> dict[str, bytes]:
    """Return the members of an archive without folders, of PyTorch 2.6 or 2.7."""
    for name in members:
        if name not in (*OLD_STATES, OLD_INPUTS, OLD_PROGRAM, OLD_VERSION) and not re.fullmatch(
            r"extra_files/.+", name
        ):
            raise Refused(f"it holds {shown(name)}, which this reader does not know")
    version = _member(members, OLD_VERSION)
    if not re.fullmatch(rb"\d{1,4}\.\d{1,4}", version):
        raise Refused(f"it states the version {shown(version)}")
    return {
        OLD_VERSION: version,
        OLD_PROGRAM: _program(members, OLD_PROGRAM),
        **{name: _state(_member(members, name)) for name in OLD_STATES},
        OLD_INPUTS: _inputs(_member(members, OLD_INPUTS)),
    }


def _program(members: dict[str, bytes], name: str) -> bytes:
    """Return the program in a member."""
    content = _member(members, name)
    with part(name):
        return checked_program(content)


def _state(content: bytes) -> bytes:
    """Return a file of torch.save with tensors by their paths, written by the PyTorch of this process."""
    tensors = read_tensors(content) if content else {}
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise Refused("it holds something else than tensors among its weights or constants")
    return _saved({path(key): tensor for key, tensor in tensors.items()})


def _inputs(content: bytes) -> bytes:
    """Return a file of torch.save with the inputs of an example, in the same way."""
    if not content:
        return b""
    inputs = read_tensors(content)
    match inputs:
        case (tuple(), dict()):
            return _saved(inputs)
    raise Refused("it holds something else than arguments as its example")


def _saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _member(members: dict[str, bytes], name: str) -> bytes:
    try:
        return members[name]
    except KeyError:
        raise Damaged(f"it lacks {name}") from None
