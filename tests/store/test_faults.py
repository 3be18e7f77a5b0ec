"""Killed writers, damaged files, full disks, rival processes: nothing is lost, nothing wrong is served."""
import errno
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch

from helpers.artifacts import store as store_module
from helpers.artifacts.files import DiskFull
from helpers.artifacts.store import Artifact, Store, StoreWarning

REPOSITORY = Path(store_module.__file__).resolve().parents[2]
INGREDIENTS = {"seed": 0, "rate": 0.5}


def make():
    return Artifact({"a": torch.arange(8.0), "b": torch.ones(2, dtype=torch.int64)}, {"words": ["x", "y"]})


def build(place):
    (place / "weights.json").write_text("[1, 2, 3]")
    (place / "notes.md").write_text("text")


def is_right(artifact):
    same = all(torch.equal(artifact.tensors[name], tensor) for name, tensor in make().tensors.items())
    return same and artifact.data == make().data


def left_over(store):
    """Everything in the cache but complete entries and locks."""
    return [path.name for path in store.root.glob("*/*") if path.name.startswith(".work-")]


def entries(store):
    return [path for path in store.root.glob("*/*") if not path.name.startswith(".")]


@pytest.fixture
def no_flush(monkeypatch):
    """Does not wait for the disk, where hundreds of entries are written; no power is cut here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class TestKilledWriter:
    STEPS = [(os, "fsync"), (os, "rename"), (os, "open"), (Path, "mkdir"), (Path, "write_text"),
             (safetensors.torch, "save_file"), (shutil, "rmtree")]

    @pytest.mark.parametrize("damaged", [False, True])
    def test_at_every_step_of_writing(self, tmp_path, fork, damaged, no_flush):
        """The writer is killed before and after its first, second, ... step, until it gets through."""
        for moment in range(200):
            store = Store(tmp_path / str(moment))
            if damaged:
                store.get("thing", INGREDIENTS, make)
                (entries(store)[0] / "data.json").write_text("[]")
            status = self.die_at(moment, store, fork)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StoreWarning)
                assert is_right(store.get("thing", INGREDIENTS, make)), moment
            assert left_over(store) == [] and len(entries(store)) == 1, moment
            if os.WIFEXITED(status):
                break
            assert os.WTERMSIG(status) == signal.SIGKILL
        assert os.WEXITSTATUS(status) == 0 and moment > 20

    def die_at(self, moment, store, fork):
        def body():
            warnings.simplefilter("ignore")
            countdown = [moment]

            def tick():
                if countdown[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                countdown[0] -= 1

            def deadly(real):
                def step(*args, **kwargs):
                    tick()
                    result = real(*args, **kwargs)
                    tick()
                    return result

                return step

            for place, name in self.STEPS:
                setattr(place, name, deadly(getattr(place, name)))
            store.get("thing", INGREDIENTS, make)

        return os.waitpid(fork(body), 0)[1]

    def test_in_the_middle_of_building_a_folder(self, store, fork):
        def endless(place):
            with (place / "weights.json").open("w") as file:
                while True:
                    file.write("[1, 2")
                    file.flush()
                    time.sleep(0.01)

        pid = fork(lambda: store.folder("model", INGREDIENTS, endless))
        while not any(path.stat().st_size for path in store.root.glob("*/.work-*/new/files/weights.json")):
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert len(left_over(store)) == 1 and entries(store) == []

        store.get("other", {}, Artifact)  # any later call sweeps
        assert left_over(store) == []
        assert (store.folder("model", INGREDIENTS, build) / "weights.json").read_text() == "[1, 2, 3]"

    def test_a_living_writer_is_not_swept(self, store):
        def build_while_others_come(place):
            build(place)
            store.get("other", {}, Artifact)
            assert len(left_over(store)) == 1

        assert (store.folder("model", {}, build_while_others_come) / "notes.md").is_file()


class TestDamage:
    @pytest.mark.parametrize("name", ["manifest.json", "data.json", "tensors.safetensors"])
    def test_any_flipped_byte_is_noticed_and_mended(self, store, name, no_flush):
        store.get("thing", INGREDIENTS, make)
        file = entries(store)[0] / name
        intact = file.read_bytes()
        for offset in [*range(0, len(intact), 7), len(intact) - 1]:
            flipped = bytearray(intact)
            flipped[offset] ^= 1
            file.write_bytes(flipped)
            with pytest.warns(StoreWarning, match="damaged"):
                artifact = store.get("thing", INGREDIENTS, make)
            assert is_right(artifact) and file.read_bytes() == intact

    @pytest.mark.parametrize("harm", [
        lambda entry: (entry / "tensors.safetensors").unlink(),
        lambda entry: (entry / "manifest.json").unlink(),
        lambda entry: (entry / "manifest.json").write_text(""),
        lambda entry: (entry / "manifest.json").write_text("[]"),
        lambda entry: (entry / "data.json").write_bytes(b""),
        lambda entry: (entry / "extra.json").write_text("{}"),
        lambda entry: shutil.rmtree(entry) or entry.mkdir(),
        lambda entry: shutil.rmtree(entry) or entry.write_text("a file"),
        lambda entry: shutil.rmtree(entry) or entry.symlink_to("nowhere"),
        lambda entry: shutil.rmtree(entry) or os.mkfifo(entry),
        *(
            lambda entry, name=name, put=put: (entry / name).unlink() or put(entry / name)
            for name in ("manifest.json", "data.json", "tensors.safetensors")
            for put in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere"),
                        lambda path: path.symlink_to("."))
        ),
    ])
    def test_missing_truncated_added_and_replaced_files(self, store, harm):
        store.get("thing", INGREDIENTS, make)
        harm(entries(store)[0])
        with pytest.warns(StoreWarning, match="damaged"):
            assert is_right(store.get("thing", INGREDIENTS, make))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert is_right(store.get("thing", INGREDIENTS, lambda: pytest.fail("made again")))

    @pytest.mark.parametrize("name", ["manifest.json", "data.json"])
    def test_a_file_that_cannot_be_read(self, store, name, monkeypatch):
        store.get("thing", INGREDIENTS, make)
        read, locked = open, entries(store)[0].stat().st_ino

        def refuse(path, *args, **kwargs):
            if path.name == name and path.parent.stat().st_ino == locked:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return read(path, *args, **kwargs)

        monkeypatch.setattr(Path, "open", refuse)
        monkeypatch.setattr(Path, "read_bytes", lambda path: path.open("rb").read())
        with pytest.warns(StoreWarning, match="cannot be read.*Permission denied"):
            assert is_right(store.get("thing", INGREDIENTS, make))

    def test_an_entry_in_another_s_place_is_not_served(self, store):
        store.get("thing", {"seed": 1}, lambda: Artifact(data="other"))
        (other,) = entries(store)
        store.get("thing", INGREDIENTS, make)
        (mine,) = set(entries(store)) - {other}
        shutil.rmtree(mine)
        shutil.copytree(other, mine)
        with pytest.warns(StoreWarning, match="manifest is not the one written"):
            assert is_right(store.get("thing", INGREDIENTS, make))

    def test_a_folder_is_checked_each_time_it_is_asked_for(self, store):
        folder = store.folder("model", INGREDIENTS, build)
        (folder / "weights.json").write_text("[1, 2, 4]")
        with pytest.warns(StoreWarning, match="wrong checksum: files/weights.json"):
            folder = store.folder("model", INGREDIENTS, build)
        assert (folder / "weights.json").read_text() == "[1, 2, 3]"

    def test_a_failed_repair_does_not_serve_the_damaged_entry(self, store):
        store.get("thing", INGREDIENTS, make)
        (entries(store)[0] / "data.json").write_text('{"words": []}')
        with pytest.warns(StoreWarning), pytest.raises(ZeroDivisionError):
            store.get("thing", INGREDIENTS, lambda: Artifact(data=1 / 0))
        with pytest.warns(StoreWarning):
            assert is_right(store.get("thing", INGREDIENTS, make))

    def test_what_was_served_does_not_change_with_the_file(self, store):
        artifact = store.get("thing", INGREDIENTS, make)
        file = entries(store)[0] / "tensors.safetensors"
        with file.open("r+b") as handle:
            handle.seek(-64, os.SEEK_END)
            handle.write(b"\xff" * 64)
        assert is_right(artifact)


class TestReadOnlyCache:
    @pytest.fixture
    def shared(self, store, monkeypatch):
        """A complete cache in which nothing can be written, whoever we are."""
        store.get("thing", INGREDIENTS, make)
        store.folder("model", INGREDIENTS, build)
        (store.root / "thing" / ".work-left-over").mkdir()

        def refuse(*args, **kwargs):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(store.root))
        for place, name in ((os, "mkdir"), (os, "rename"), (store_module, "FileLock"), (Path, "mkdir")):
            monkeypatch.setattr(place, name, refuse)
        return store

    def test_what_is_there_is_served(self, shared):
        assert is_right(shared.get("thing", INGREDIENTS, lambda: pytest.fail("made again")))
        assert (shared.folder("model", INGREDIENTS, build) / "notes.md").read_text() == "text"

    def test_what_is_missing_or_damaged_is_said_before_it_is_made(self, shared):
        with pytest.raises(PermissionError, match="is missing, and this cache.*TOXICITY_LAB_CACHE"):
            shared.get("thing", {"seed": 1}, lambda: pytest.fail("made in vain"))
        (entries(shared)[0] / "manifest.json").write_text("")
        (entries(shared)[1] / "manifest.json").write_text("")
        with pytest.raises(PermissionError, match="is damaged .its manifest.*TOXICITY_LAB_CACHE"):
            shared.get("thing", INGREDIENTS, lambda: pytest.fail("made in vain"))


class TestFullDisk:
    @pytest.mark.parametrize("place, name, error", [
        (os, "fsync", OSError(errno.ENOSPC, "No space left on device")),
        (os, "rename", OSError(errno.ENOSPC, "No space left on device")),
        (Path, "write_text", OSError(errno.EDQUOT, "Disk quota exceeded")),
        (safetensors.torch, "save_file", safetensors.SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)")),
    ])
    def test_is_said_clearly_and_leaves_nothing(self, store, monkeypatch, place, name, error):
        def full(*args, **kwargs):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(place, name, full)
            with pytest.raises(DiskFull, match="(?s)thing .*GB are free.*TOXICITY_LAB_CACHE") as caught:
                store.get("thing", INGREDIENTS, make)
        assert caught.value.errno == errno.ENOSPC and caught.value.__cause__ is error
        assert left_over(store) == [] and entries(store) == []
        assert is_right(store.get("thing", INGREDIENTS, make))

    def test_is_named_after_the_entry_that_did_not_fit(self, store):
        def full(place):
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(DiskFull, match="making inner"):
            store.get("outer", {}, lambda: Artifact(data=str(store.folder("inner", {}, full))))

    def test_on_a_real_disk_of_one_megabyte(self, tmp_path):
        script = """if True:
            import sys, torch
            from pathlib import Path
            from safetensors.torch import save_file
            from helpers.artifacts import Artifact, DiskFull, Store
            store = Store(Path(sys.argv[1]))
            big = torch.zeros(1_000_000)

            def refused(call):
                try:
                    call()
                except DiskFull as error:
                    assert "TOXICITY_LAB_CACHE" in str(error), error
                else:
                    raise AssertionError("stored 4 MB on 1 MB")
                assert not [path for path in store.root.glob("*/*") if not path.name.startswith(".lock-")]

            refused(lambda: store.get("thing", {}, lambda: Artifact({"a": big})))
            refused(lambda: store.get("thing", {}, lambda: Artifact(data="x" * 4_000_000)))
            refused(lambda: store.folder("model", {}, lambda at: save_file({"a": big}, at / "a.safetensors")))
            small = store.get("thing", {}, lambda: Artifact({"a": big[:1000]}))
            assert small.tensors["a"].numel() == 1000
            print("held")
        """
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = 'mount -t tmpfs -o size=1m tmpfs "$0" || exit 77; exec "$@"'
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(disk)]
        if not shutil.which("unshare"):
            pytest.skip("needs unshare to mount a disk of its own")
        done = subprocess.run(
            [*command, sys.executable, "-c", script, str(disk)],
            capture_output=True, text=True, cwd=REPOSITORY, timeout=120,
        )
        if done.returncode == 77 or done.stderr.startswith("unshare:"):
            pytest.skip("may not mount a disk here")
        assert done.stdout == "held\n", done.stderr


class TestRivals:
    def test_several_processes_at_once_make_it_once_and_get_the_same(self, store, fork, tmp_path):
        barrier = multiprocessing.get_context("fork").Barrier(4)

        def slow():
            with (tmp_path / "made").open("a") as log:
                log.write("made\n")
            time.sleep(0.3)
            return Artifact({"a": torch.tensor(list(os.urandom(64)))}, data=os.getpid())

        def body(number):
            barrier.wait()
            artifact = store.get("thing", INGREDIENTS, slow)
            got = hashlib.sha256(artifact.tensors["a"].numpy().data).hexdigest()
            (tmp_path / f"got-{number}").write_text(f"{got} {artifact.data}")

        children = [fork(lambda number=number: body(number)) for number in range(4)]
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
        assert (tmp_path / "made").read_text() == "made\n"
        assert len({(tmp_path / f"got-{number}").read_text() for number in range(4)}) == 1

    def test_different_entries_do_not_wait_for_one_another(self, store, fork):
        barrier = multiprocessing.get_context("fork").Barrier(2)

        def body(seed):
            barrier.wait(timeout=30)  # both are inside their make at once, or this raises
            return Artifact(data=seed)

        children = [fork(lambda s=s: store.get("thing", {"seed": s}, lambda: body(s))) for s in range(2)]
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]

    def test_the_one_that_waits_says_so_and_takes_over_from_a_killed_one(self, store, fork, tmp_path):
        def never():
            (tmp_path / "inside").write_text("")
            time.sleep(60)
            return Artifact()

        pid = fork(lambda: store.get("thing", INGREDIENTS, never))
        while not (tmp_path / "inside").exists():
            time.sleep(0.01)
        killer = fork(lambda: time.sleep(1.5) or os.kill(pid, signal.SIGKILL))
        with pytest.warns(StoreWarning, match="Another process is making thing"):
            assert is_right(store.get("thing", INGREDIENTS, make))
        os.waitpid(killer, 0)
        os.waitpid(pid, 0)
        assert is_right(store.get("thing", INGREDIENTS, make)) and left_over(store) == []
