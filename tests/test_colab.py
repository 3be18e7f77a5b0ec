"""The Colab bootstrap installs what is missing, holds the runtime's own packages, and is silent elsewhere."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from helpers import colab

RUNTIME = {"torch": "2.14.0+cu130", "torchvision": "0.29.0+cu130", "numpy": "2.0.2", "pandas": "2.2.2",
           "ipykernel": "6.17.1", "ipython": "7.34.0", "tornado": "6.4.2", "requests": "2.32.4",
           "jupyter_client": "7.4.9", "Jupyter-Server": "2.14.0", "transformers": "5.9.1", "plotly": "5.24.1"}


class TestWhere:
    @pytest.mark.parametrize("modules, environment, expected", [
        ([], {}, False), (["google", "google.cloud"], {}, False), (["google.colab"], {}, True),
        ([], {"COLAB_RELEASE_TAG": "release-colab-external"}, True),
    ])
    def test_colab_is_known_by_its_module_or_variable(self, modules, environment, expected):
        assert colab.on_colab(modules, environment) is expected

    def test_elsewhere_the_import_loads_nothing_heavy_and_says_nothing(self):
        script = "import sys, helpers.colab; print({'torch', 'numpy', 'packaging'} & set(sys.modules))"
        environment = {name: value for name, value in os.environ.items() if name != "COLAB_RELEASE_TAG"}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment,
                              cwd=Path(colab.__file__).parents[1])
        assert (done.stdout, done.stderr) == ("set()\n", "")


class TestPlan:
    def test_only_what_is_missing_or_out_of_range_is_asked_for(self):
        todo = colab.plan(["torch>=2.6", "transformers>=5.9,<6", "trl>=1.16,<2", "plotly>=6.0"], RUNTIME)
        assert todo.install == ["trl<2,>=1.16", "plotly>=6.0"] and todo.too_old == []

    def test_torch_numpy_and_jupyter_are_pinned_where_they_are(self):
        assert colab.plan([], RUNTIME).constraints == [
            "ipykernel==6.17.1", "ipython==7.34.0", "jupyter-client==7.4.9", "jupyter-server==2.14.0",
            "numpy==2.0.2", "pandas==2.2.2", "requests==2.32.4", "torch==2.14.0+cu130",
            "torchvision==0.29.0+cu130", "tornado==6.4.2",
        ]

    @pytest.mark.parametrize("name", ["torch", "NumPy", "jupyter-client", "ipykernel"])
    def test_a_held_package_is_never_asked_for_even_if_too_old(self, name):
        todo = colab.plan([f"{name}>=99"], RUNTIME)
        assert todo.install == [] and len(todo.too_old) == 1 and ">=99" in todo.too_old[0]

    def test_what_is_installed_has_the_tested_version(self):
        todo = colab.plan(["trl>=1.16,<2", "plotly>=6.0"], RUNTIME, {"TRL": "1.16.0"})
        assert todo.install == ["trl==1.16.0", "plotly>=6.0"]

    def test_every_library_has_a_tested_version_that_its_requirement_allows(self):
        versions = colab.tested(colab.TESTED.read_text())
        for line in colab.first_section(colab.REQUIREMENTS.read_text()):
            requirement = Requirement(line)
            assert requirement.specifier.contains(versions[requirement.name]), line

    def test_a_held_package_that_is_absent_is_installed(self):
        assert colab.plan(["torch>=2.6"], {}) == colab.Plan(["torch>=2.6"], [], [])

    def test_spelling_of_names_and_prereleases_do_not_matter(self):
        installed = {"Transformer_Lens": "4.3.0", "torch": "2.15.0.dev20260101+cu130"}
        assert colab.plan(["transformer-lens>=4.3,<5", "torch>=2.6"], installed).install == []

    def test_the_section_ends_at_the_second_comment(self):
        text = "# One.\n# Still one.\na>=1\n\nb\n# Two.\nc\n"
        assert colab.first_section(text) == ["a>=1", "b"]

    def test_the_real_requirements_name_the_libraries_and_no_test_tools(self):
        names = {Requirement(line).name for line in colab.first_section(colab.REQUIREMENTS.read_text())}
        assert {"torch", "transformer-lens", "trl", "datasets"} <= names
        assert not names & {"pytest", "jupyterlab", "ruff", "ipykernel"}

    def test_replaced_packages_that_were_imported_are_named(self):
        before = {"plotly": "5.24", "pyarrow": "1", "trl": "1", "scikit-learn": "1"}
        after = {"plotly": "6.0", "pyarrow": "2", "trl": "1", "scikit-learn": "1", "new": "1"}
        assert colab.imported_before(before, after, {"plotly", "trl", "new"}) == ["plotly"]

    def test_a_fresh_kernel_of_colabs_can_go_on_at_once(self):
        """Runtime 2026.01, as its maker lists it; its kernel has `psutil` loaded."""
        runtime = {
            "torch": "2.9.0", "numpy": "2.0.2", "pandas": "2.2.2", "ipykernel": "6.17.1", "ipython": "7.34.0",
            "ipywidgets": "7.7.1", "psutil": "5.9.5", "pyzmq": "26.2.1", "tornado": "6.5.1",
            "traitlets": "5.7.1", "packaging": "25.0", "requests": "2.32.4", "jupyter_client": "7.4.9",
            "platformdirs": "4.5.1", "transformers": "4.57.6", "datasets": "4.0.0", "tokenizers": "0.22.2",
            "huggingface-hub": "0.36.0", "accelerate": "1.12.0", "safetensors": "0.7.0", "tqdm": "4.67.1",
            "scikit-learn": "1.6.1", "scipy": "1.16.3", "einops": "0.8.1", "pydantic": "2.12.3",
            "filelock": "3.20.3", "plotly": "5.24.1", "xxhash": "3.6.0",
        }  # fmt: skip
        todo = colab.plan(colab.first_section(colab.REQUIREMENTS.read_text()), runtime)
        assert {Requirement(one).name for one in todo.install} == {
            "transformer-lens", "trl", "transformers", "datasets", "huggingface-hub", "jaxtyping", "plotly",
            "circuitsvis",
        }  # fmt: skip
        assert todo.too_old == ["ipywidgets 7.7.1 (made for >=8.1)"]


def test_installed_versions_are_the_ones_imported():
    assert colab.installed_versions()["pytest"] == pytest.__version__


class TestInstall:
    @pytest.fixture
    def runtime(self, monkeypatch, tmp_path):
        """A pretended runtime: versions that pip changes, and the calls of pip with their constraints."""
        versions, calls = dict(RUNTIME), []
        requirements = tmp_path / "requirements.txt"
        requirements.write_text("# To run.\ntorch>=2.6\ntrl>=1.16\nnumpy>=3\n# To test.\npytest\n")
        pins = tmp_path / "constraints.txt"
        pins.write_text("# Tested.\ntorch==2.13.0\ntrl==1.16.0\n")

        def pip(command, **options):
            held = Path(command[command.index("--constraint") + 1]).read_text().split()
            calls.append((command, held))
            versions["trl"] = "1.16.0"
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(colab, "REQUIREMENTS", requirements)
        monkeypatch.setattr(colab, "TESTED", pins)
        monkeypatch.setattr(colab, "installed_versions", lambda: dict(versions))
        monkeypatch.setattr(colab.subprocess, "run", pip)
        monkeypatch.setattr(colab.shutil, "which", lambda name: None)
        return calls

    def test_pip_is_called_once_with_the_runtime_held(self, runtime, capsys):
        colab.install_missing()
        colab.install_missing()
        ((command, held),) = runtime
        assert command[:4] == [sys.executable, "-m", "pip", "install"] and command[-1] == "trl==1.16.0"
        assert {"torch==2.14.0+cu130", "numpy==2.0.2"} <= set(held)
        said = capsys.readouterr().out
        assert "numpy 2.0.2 (made for >=3)" in said
        assert "New: trl 1.16.0. Kept: torch 2.14.0+cu130, numpy 2.0.2." in said

    def test_uv_is_called_where_the_runtime_has_it(self, runtime, monkeypatch):
        monkeypatch.setattr(colab.shutil, "which", lambda name: f"/bin/{name}")
        colab.install_missing()
        ((command, held),) = runtime
        assert command[:5] == ["/bin/uv", "pip", "install", "--python", sys.executable]
        assert command[-1] == "trl==1.16.0" and "numpy==2.0.2" in held

    def test_pip_goes_on_where_uv_could_not(self, runtime, monkeypatch, capsys):
        monkeypatch.setattr(colab.shutil, "which", lambda name: f"/bin/{name}")
        pip = colab.subprocess.run
        refused = subprocess.CompletedProcess([], 2, "", "error: File not found: `constraints`\n")
        monkeypatch.setattr(
            colab.subprocess, "run", lambda call, **told: refused if "/bin/uv" in call else pip(call, **told)
        )
        colab.install_missing()
        ((command, _),) = runtime
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        said = capsys.readouterr().out
        assert "uv could not (error: File not found: `constraints`); pip goes on." in said
        assert "New: trl 1.16.0" in said

    def test_a_failing_pip_is_an_error_with_its_last_words(self, runtime, monkeypatch):
        failed = subprocess.CompletedProcess([], 1, "", "noise\n" * 40 + "ERROR: No matching distribution")
        monkeypatch.setattr(colab.subprocess, "run", lambda *args, **options: failed)
        with pytest.raises(RuntimeError, match="(?s)trl==1.16.0.*exit code 1.*No matching") as error:
            colab.install_missing()
        assert str(error.value).count("noise") < 15

    def test_a_replaced_module_in_use_asks_for_a_restart(self, runtime, monkeypatch):
        versions = iter([{**RUNTIME, "trl": "1.0"}, {**RUNTIME, "trl": "1.16"}])
        monkeypatch.setattr(colab, "installed_versions", lambda: next(versions))
        monkeypatch.setitem(sys.modules, "trl", sys)
        with pytest.raises(RuntimeError, match="trl had been imported.*Restart"):
            colab.install_missing()
