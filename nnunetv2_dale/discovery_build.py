"""Build time only: what puts the start-up file of `discovery` into the wheel, and makes links absolute for PyPI.

setuptools loads this module by its path before the package can be imported, so it imports nothing of the package.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info
from setuptools.command.install import install

START_UP_FILE = "nnunetv2_dale.pth"
# Python executes a line of a .pth file that starts with "import". An error there would print a traceback at every start
# of Python, also of programs that have nothing to do with nnU-Net; `try` needs lines of its own, hence the `exec`.
START_UP_LINE = (
    "import os; os.environ.get('NNUNETV2_DALE_NO_AUTODISCOVERY') or exec("
    r'"try:\n from nnunetv2_dale.discovery import append_trainer_folder\n append_trainer_folder()\n'
    r'except Exception:\n pass")'
    "\n"
)


class BuildWithDiscovery(build_py):
    """`build_py` that also writes `nnunetv2_dale.pth` at the top of the wheel, editable or not."""

    def run(self) -> None:
        """Build the packages, then write the start-up file where `pip` will unpack it into site-packages."""
        super().run()
        self._start_up_file().parent.mkdir(parents=True, exist_ok=True)
        self._start_up_file().write_text(START_UP_LINE, encoding="utf-8")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what `run` writes, so that an install that records its files knows about the start-up file too."""
        outputs = list(super().get_outputs(include_bytecode))
        return outputs if self.editable_mode else [*outputs, str(self._start_up_file())]

    def _start_up_file(self) -> Path:
        # An editable wheel is made of `install_lib`; what is written to `build_lib` stays behind.
        unpacked_wheel = str(cast(install, self.get_finalized_command("install")).install_lib)
        return Path(unpacked_wheel if self.editable_mode else self.build_lib) / START_UP_FILE


class MetadataForIndex(egg_info):
    """`egg_info` whose long description, the README, has absolute links: an index shows it without the repository."""

    def finalize_options(self) -> None:
        """Turn the links before the metadata are written."""
        super().finalize_options()
        metadata = self.distribution.metadata
        metadata.long_description = with_absolute_links(metadata.long_description or "", metadata.url or "")


def with_absolute_links(readme: str, repository: str) -> str:
    """The Markdown text with links and pictures of files of the repository turned into addresses there.

    Args:
        repository: the address of the repository; none leaves the text as it is.
    """

    def turned(link: re.Match[str]) -> str:
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({repository.rstrip('/')}/{kind}/main/{link[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+://|#)([^)\s]+)\)", turned, readme) if repository else readme
