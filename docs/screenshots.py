"""Pictures of the page with the default model, for the documents: `make screenshots`."""

import json
import shutil
import subprocess
import sys
from typing import Any

from benchmarks.processes import ROOT, running

PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "light": ("en", {"color_scheme": "light", "viewport": {"width": 820, "height": 1160}}),
    "dark": ("en", {"color_scheme": "dark", "viewport": {"width": 820, "height": 900}}),
    "phone": ("es", {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True}),
}


def main() -> None:
    """Write docs/images/page-{light,dark,phone}.png: the answer, the form, and the answer on a phone in Spanish."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("error: chromium is not on this machine: apt-get install chromium")
    folder = ROOT / "docs/images"
    folder.mkdir(exist_ok=True)
    with running() as service:
        for name, (language, options) in PICTURES.items():
            answer = [["press", "Enter"], ["wait", "#answer h2"], ["scroll", "#answer h2"]]
            # Enter in a field sends the form.
            steps = [["focus", "#Age"], *answer] if name != "dark" else []
            asked = {
                "chromium": chromium,
                "address": f"{service.url}/?lang={language}&example=1",
                "options": options,
                "steps": [*steps, ["picture", str(folder / f"page-{name}.png")]],
            }
            command = [ROOT / "deploy/.venv/bin/python", ROOT / "tests/service/browser.py"]
            subprocess.run(command, input=json.dumps(asked), text=True, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
