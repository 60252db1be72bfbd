import os
import subprocess
import sys

import pytest

from attribution_bench.models.keras_start import _native_stderr_closed


def test_native_notes_go_nowhere_and_stderr_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    with _native_stderr_closed():
        os.write(2, b"a note\n")
    with pytest.raises(ValueError, match="kept"), _native_stderr_closed():
        raise ValueError("kept")
    os.write(2, b"a word\n")
    assert capfd.readouterr().err == "a word\n"


def test_importing_keras_is_silent() -> None:
    code = "from attribution_bench.models.keras_start import import_keras; print(import_keras().__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("keras\n", "")
