"""What is put into the store comes out of it, made once; what does not belong there is refused."""
import json
import os

import pytest
import torch

from helpers.artifacts.store import Artifact, Store, cache_folder


def refuse():
    raise AssertionError("made although it was there")


def shelf_names(store, kind):
    return sorted(path.name for path in (store.root / kind).iterdir() if not path.name.startswith(".lock-"))


class TestGet:
    def test_comes_back_the_same_and_is_made_once(self, store):
        tensors = {"half": torch.randn(3, 4).half(), "wide": torch.randn(2, 3).T, "flag": torch.tensor(True)}
        data = {"text": "ü\u2028", "float": 0.1, "none": None, "list": [1, 2.5, "x"], "tuple": (1, 2)}
        first = store.get("thing", {"seed": 0}, lambda: Artifact(tensors, data))
        again = Store(store.root).get("thing", {"seed": 0}, refuse)
        for artifact in (first, again):
            assert artifact.data == {**data, "tuple": [1, 2]}
            assert set(artifact.tensors) == set(tensors)
            for name, tensor in tensors.items():
                assert artifact.tensors[name].dtype == tensor.dtype
                assert torch.equal(artifact.tensors[name], tensor)

    def test_other_ingredients_or_kind_are_another_entry(self, store):
        for kind, seed in [("a", 0), ("a", 1), ("b", 0)]:
            store.get(kind, {"seed": seed}, lambda kind=kind, seed=seed: Artifact(data=[kind, seed]))
        assert store.get("a", {"seed": 1}, refuse).data == ["a", 1]
        assert store.get("b", {"seed": 0}, refuse).data == ["b", 0]

    def test_parameters_shared_memory_and_empty_artifacts_are_taken(self, store):
        weight = torch.nn.Parameter(torch.ones(4))
        artifact = store.get("shared", {}, lambda: Artifact({"a": weight, "b": weight[:2]}))
        assert artifact.tensors["b"].tolist() == [1, 1] and not artifact.tensors["a"].requires_grad
        assert store.get("empty", {}, Artifact) == Artifact({}, None)

    def test_changing_what_was_served_changes_nothing_stored(self, store):
        artifact = store.get("thing", {}, lambda: Artifact({"a": torch.zeros(3)}, [0]))
        artifact.tensors["a"] += 1
        artifact.data.append(1)
        again = store.get("thing", {}, refuse)
        assert again.tensors["a"].sum() == 0 and again.data == [0]

    def test_the_manifest_says_what_went_in(self, store):
        store.get("thing", {"seed": 3, "words": ["a"], "nan": float("nan")}, Artifact)
        (key,) = shelf_names(store, "thing")
        manifest = json.loads((store.root / "thing" / key / "manifest.json").read_text())
        assert manifest["kind"] == "thing" and manifest["fingerprint"] == key
        assert manifest["ingredients"]["seed"] == 3 and manifest["ingredients"]["words"] == ["a"]
        assert set(manifest["files"]) == {"data.json", "tensors.safetensors"}
        again = {"nan": float("nan"), "words": ["a"], "seed": 3}
        assert store.get("thing", again, refuse) == Artifact({}, None)

    def test_one_artifact_may_be_made_from_another(self, store):
        def outer():
            inner = store.get("inner", {}, lambda: Artifact(data=20))
            return Artifact(data=inner.data + 1)

        assert store.get("outer", {}, outer).data == 21
        assert store.get("inner", {}, refuse).data == 20

    def test_an_error_in_making_passes_through_and_leaves_nothing(self, store):
        with pytest.raises(ZeroDivisionError):
            store.get("thing", {}, lambda: Artifact(data=1 / 0))
        assert shelf_names(store, "thing") == []
        assert store.get("thing", {}, lambda: Artifact(data=1)).data == 1

    @pytest.mark.parametrize("kind", ["", "Upper", "a/b", "..", "a b"])
    def test_kinds_that_are_no_plain_names_are_refused(self, store, kind):
        with pytest.raises(ValueError, match="kind"):
            store.get(kind, {}, refuse)

    def test_data_that_is_not_json_is_refused(self, store):
        with pytest.raises(TypeError, match="plain JSON.*set"):
            store.get("thing", {}, lambda: Artifact(data={1, 2}))
        assert shelf_names(store, "thing") == []


class TestFolder:
    @staticmethod
    def build(place):
        (place / "deep").mkdir()
        (place / "config.json").write_text("{}")
        (place / "deep" / "notes.md").write_text("text")

    def test_is_built_once_and_served_from_its_place(self, store):
        built = []
        folder = store.folder("model", {"seed": 0}, lambda place: built.append(place) or self.build(place))
        again = store.folder("model", {"seed": 0}, refuse)
        assert folder == again and (folder / "deep" / "notes.md").read_text() == "text"
        assert len(built) == 1 and built[0] != folder and not built[0].exists()
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "deep"]

    @pytest.mark.parametrize("spoil, message", [
        (lambda place: (place / "optimizer.pt").write_bytes(b""), "not optimizer.pt"),
        (lambda place: (place / "training_args.bin").write_bytes(b""), "not training_args.bin"),
        (lambda place: (place / "link.json").symlink_to(place / "config.json"), "link.json"),
        (lambda place: (place / "config.json").unlink() or (place / "deep" / "notes.md").unlink(), "no file"),
    ])
    def test_pickles_links_and_nothing_are_refused(self, store, spoil, message):
        with pytest.raises(ValueError, match=message):
            store.folder("model", {}, lambda place: self.build(place) or spoil(place))
        assert shelf_names(store, "model") == []

    def test_an_error_in_building_leaves_nothing(self, store):
        def interrupted(place):
            self.build(place)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.folder("model", {}, interrupted)
        assert shelf_names(store, "model") == []


class TestCacheFolder:
    def test_is_in_the_repository_unless_named(self, monkeypatch, tmp_path):
        monkeypatch.delenv("TOXICITY_LAB_CACHE", raising=False)
        assert cache_folder().name == ".cache"
        assert (cache_folder().parent / "helpers" / "artifacts" / "store.py").is_file()
        monkeypatch.setenv("TOXICITY_LAB_CACHE", str(tmp_path / "with spaces"))
        assert cache_folder() == tmp_path / "with spaces"
        monkeypatch.setenv("TOXICITY_LAB_CACHE", os.path.join("~", "cache"))
        assert cache_folder().is_absolute() and "~" not in str(cache_folder())

    def test_a_file_in_its_place_is_an_error(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(NotADirectoryError, match="TOXICITY_LAB_CACHE"):
            Store(tmp_path / "file")
