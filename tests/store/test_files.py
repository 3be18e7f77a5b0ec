"""Files: whole or not at all; every writer's way of saying that the disk is full is understood."""

import errno
import json
import os

import pytest
from safetensors import SafetensorError

from helpers.artifacts import DiskFull, disk_full_said, seal, unseal, write_json, write_whole


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, broken):
    path = tmp_path / "new" / "rows.json"
    write_json(path, {"text": "é\u2028"})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, full)
        with pytest.raises(OSError, match="No space left"):
            write_json(path, {})
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half a character: \ud800")
    assert json.loads(path.read_text(encoding="utf-8")) == {"text": "é\u2028"}
    assert list(path.parent.iterdir()) == [path]


def test_every_flipped_bit_of_a_sealed_line_is_noticed():
    value = {"text": "é\u2028", "none": None, "numbers": [1, 2.5, 1e-300, float("inf")]}
    line = seal(value).encode()
    assert unseal(line) == value and b"\n" not in line
    for place in range(len(line)):
        for bit in range(8):
            with pytest.raises(ValueError):
                unseal(line[:place] + bytes([line[place] ^ 1 << bit]) + line[place + 1 :])
        with pytest.raises(ValueError):
            unseal(line[:place])


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    SafetensorError("I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 139392 vs 139284"),
])  # fmt: skip
def test_every_writers_way_to_say_full_is_understood(tmp_path, error):
    message = "(?s)while writing a .*GB are free.* Make room"
    with (
        pytest.raises(DiskFull, match=message) as caught,
        disk_full_said("writing b", tmp_path, "Never said."),
        disk_full_said("writing a", tmp_path / "not" / "there", "Make room."),
    ):
        raise error
    assert caught.value.errno == errno.ENOSPC and caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("unrelated"), PermissionError(errno.EACCES, "denied")])
def test_other_errors_pass_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, disk_full_said("writing", tmp_path, ""):
        raise error
    assert caught.value is error
