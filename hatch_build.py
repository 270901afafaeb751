"""The compiled build: `PROPCHANGE_COMPILE=1 pip install .` makes a wheel for this platform.

Without that variable the wheel is pure Python, and this hook does nothing. It is the project's own:
hatch-mypyc compiles below src, where the compiled files would hide later edits.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OFF = ("", "0", "no", "false")


class CompiledBuildHook(BuildHookInterface[Any]):
    """Adds the compiled modules of tools/compiled_build.py to the wheel."""

    PLUGIN_NAME = "custom"

    def _wanted(self) -> bool:
        return os.environ.get("PROPCHANGE_COMPILE", "").lower() not in OFF

    def dependencies(self) -> list[str]:
        """What pip installs for the build, on top of hatchling: mypyc, and what the compiled
        modules import, whose types it reads."""
        if not self._wanted():
            return []
        return ["mypy>=2.4,<2.5", "setuptools", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what was compiled. Ends the build if it cannot."""
        if not self._wanted():
            return
        sys.path.insert(0, str(Path(self.root, "tools")))
        from compiled_build import BuildError, build

        self._place = tempfile.TemporaryDirectory()
        target = Path(self._place.name)
        try:
            if version == "editable":
                raise BuildError(
                    "an editable installation is not compiled, since compiled files would hide "
                    "edits: leave out -e, or leave out PROPCHANGE_COMPILE"
                )
            compiled = build(target, Path(self.root, "src"))
        except BuildError as error:
            sys.exit(f"PROPCHANGE_COMPILE: {error}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in compiled:
            build_data["force_include"][str(path)] = str(path.relative_to(target))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled; the wheel has it."""
        if self._wanted():
            self._place.cleanup()
