"""What a server keeps for good is not searched for garbage again and again while requests wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import gc, sys
from genkan.cli import main
try:
    main(["dev", "--port", "0", "--json", "--data", sys.argv[1]])
finally:
    print(json.dumps([gc.get_freeze_count(), gc.isenabled()]))
"""


def test_what_is_there_when_a_server_is_ready_is_set_apart_and_garbage_is_collected_still(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"import json{PROGRAM}", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ready"]
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    frozen, collects = json.loads(out.splitlines()[-1])
    assert frozen > 20_000
    assert collects
