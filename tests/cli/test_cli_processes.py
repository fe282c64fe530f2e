"""The command line as a user starts it: exit codes, signals, missing packages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("agnostic-rand")
MODULE = (sys.executable, "-m", "agnostic_rand.cli")


def started(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not SCRIPT.exists(), reason="the package is not installed with its script")
def test_the_script_runs(folder):
    done = started(SCRIPT, "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("agnostic-rand ")


def test_the_module_runs_and_lists_backends(folder):
    done = started(*MODULE, "backends")
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_the_install_command_is_told(package):
    code = f"import sys; sys.modules[{package!r}] = None; from agnostic_rand.cli.__main__ import main; main()"
    done = started(sys.executable, "-c", code)
    assert done.returncode == 2
    assert "pip install 'agnostic-rand[cli]'" in done.stderr
    assert package in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_is_broken_itself_keeps_its_error(folder):
    (folder / "typer.py").write_text("import a_package_that_is_not_installed")
    done = started(sys.executable, "-c", "from agnostic_rand.cli.__main__ import main; main()")
    assert done.returncode == 1
    assert "No module named 'a_package_that_is_not_installed'" in done.stderr


def test_the_library_s_errors_end_a_process_with_2_and_a_message(folder):
    done = started(*MODULE, "cascade", "nothing:there", "--data", "data.npz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the module 'nothing'")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_fault_of_the_users_code_keeps_its_traceback(folder):
    done = started(*MODULE, "cascade", "usermodels:fails", "--data", "data.npz")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "a fault of the user's own" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
def test_ctrl_c_on_a_slow_model_ends_with_130_and_no_traceback(folder):
    words = (*MODULE, "cascade", "usermodels:Slow", "--data", "data.npz", "--draws", "1000", "--batch-size", "1")
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A parent in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "explaining\n":
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors


def test_the_help_page_imports_no_framework():
    code = (
        "import sys; from agnostic_rand.cli.app import app;"
        "print([name for name in ('torch', 'matplotlib', 'pandas', 'scipy.stats') if name in sys.modules])"
    )
    assert started(sys.executable, "-c", code).stdout.strip() == "[]"
