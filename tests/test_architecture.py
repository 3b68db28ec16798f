"""What must be true of the source tree as a whole."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Folders that tools make; what is in them is not ours.
MADE_BY_TOOLS = {".git", ".venv", "node_modules", "build", "dist", "__pycache__", ".genkan", ".hypothesis"}

# Packages come from wherever the reader's own tools look for them, and the tree may lie anywhere.
TRUE_ON_ONE_MACHINE = re.compile(
    r"""(?:pypi|npmjs|pythonhosted)\.(?:org|com)\b
      | \b(?:registry|mirror)\.[a-z-]+\.[a-z]{2,}\b
      | (?<![\w.~/}-])/(?:work|root|home/[a-z]+|Users/[A-Za-z]+)/\w
    """,
    re.VERBOSE,
)


def our_text_files() -> Iterator[tuple[Path, str]]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in MADE_BY_TOOLS and not name.endswith("_cache")]
        for name in names:
            path = Path(folder, name)
            if name == ".git":  # Of a second working tree: it says where the first one is.
                continue
            try:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_rooms_import_only_what_the_architecture_allows() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")

    run = subprocess.run(
        [lint_imports, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr


def test_no_file_names_a_package_registry_or_a_folder_of_one_machine() -> None:
    found = [
        f"{path}:{number}: {match.group()}"
        for path, text in our_text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in TRUE_ON_ONE_MACHINE.finditer(line)
    ]

    assert found == []


def test_lock_files_say_what_to_install_and_not_where_from() -> None:
    locks = [*ROOT.glob("requirements/*.txt"), ROOT / "package-lock.json"]

    found = [lock.name for lock in locks if re.search(r"https?:|resolved|--(extra-)?index", lock.read_text())]

    assert len(locks) > 1
    assert found == []
