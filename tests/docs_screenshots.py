"""Writes the pictures of docs/images/: every page of `herd dev`, wide and light, and the overview in the dark as well.

    python tests/docs_screenshots.py [--requests 20000] [--port 22590]

Look at each of them afterwards.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(1, str(Path(__file__).resolve().parent))

from browsing import Visit, chromium

from app.web.pages import PAGES

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
BYTES_MOST = 250_000
TALLEST = 1300
SETTLE_S = 25.0
"""Long enough for some live requests."""


def wait_for_nodes(url: str, count: int = 3) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            fleet = httpx.get(f"{url}/dashboard/api/fleet", trust_env=False, timeout=5).json()
            if sum(node["state"] == "online" for node in fleet["nodes"]) >= count:
                return
        except (httpx.HTTPError, KeyError, ValueError):
            pass
        time.sleep(0.5)
    raise SystemExit("the fleet of `herd dev` did not come up")


def picture(browser: object, url: str, path: str, name: str, scheme: str = "light") -> None:
    visit = Visit(browser, url, scheme=scheme)
    page = visit.open(path)
    if page.locator("[data-live]").count():
        page.wait_for_selector("[data-live=on]")
    page.wait_for_timeout(1500)
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": 1440, "height": min(tall, TALLEST)})
    page.wait_for_timeout(500)
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file)
    visit.close()
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)} {size // 1000} kB{'  TOO LARGE' if size > BYTES_MOST else ''}")
    for said in (*visit.complaints, *visit.foreign):
        print(f"  {path}: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--port", type=int, default=22590)
    told = parser.parse_args()
    url = f"http://127.0.0.1:{told.port}"
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="herd-pictures-") as home:
        command = [sys.executable, "-m", "app.cli", "dev", "--port", str(told.port), "--data-dir", home]
        dev = subprocess.Popen([*command, "--requests", str(told.requests)], cwd=ROOT, env=os.environ)
        try:
            wait_for_nodes(url)
            time.sleep(SETTLE_S)
            with chromium() as browser:
                for page in PAGES:
                    picture(browser, url, page.path, page.name)
                newest = httpx.get(f"{url}/dashboard/api/traces", trust_env=False).json()["traces"][0]["request_id"]
                picture(browser, url, f"/dashboard/requests/{newest}", "request")
                picture(browser, url, "/dashboard", "overview-dark", scheme="dark")
        finally:
            dev.send_signal(signal.SIGTERM)
            dev.wait(30)


if __name__ == "__main__":
    main()
