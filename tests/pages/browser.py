"""Pages in a real browser: a script looks at one after it has loaded, and the browser may complain about nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=3000"


def seen_in_a_browser(page: str, script: str, folder: Path, before: str = "", width: int = 1280) -> dict[str, Any]:
    """What a script finds out about a page, in the fields of its object `seen`.

    Args:
        before: a script that runs before the page loads.
        folder: for the page and the browser's profile.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    probe = f"""<script>{before}
window.addEventListener("load", () => {{
const seen = {{}};{script}
document.body.insertAdjacentHTML("beforeend", `<pre id="seen"></pre>`);
document.getElementById("seen").textContent = JSON.stringify(seen);
}});
</script>"""
    file = folder / "page with spaces.html"
    file.write_text(page.replace("</head>", probe + "</head>"), encoding="utf-8")
    words = [f"--window-size={width},900", f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    command = [browser, *FLAGS.split(), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    return dict(json.loads(html.unescape(re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)[-1])))
