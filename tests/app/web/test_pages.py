"""The web door over a real socket: pages, their twin, their files, and the headers that guard them."""

import hashlib
import json
import re
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

import pytest
from shown_fleet import MARKUP, marked_up
from traces import trace
from web_house import House, web_house
from web_site import Site

from app.modalities.plugin import discover
from app.store.records import TraceRecord
from app.web.pages import PAGES

WEB = Path(__file__).parents[3] / "app" / "web"
STATIC = WEB / "static"
VENDOR = tomllib.loads((STATIC / "vendor" / "vendor.toml").read_text())["asset"]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A router whose history holds markup wherever a word can stand."""
    with web_house(marked_up_traces()) as house:
        yield house


def marked_up_traces() -> list[TraceRecord]:
    now = time.time()
    strange = {"model": MARKUP, "original_model": MARKUP, "node_id": MARKUP, "tags": [MARKUP], "error_message": MARKUP}
    words = {"engine": MARKUP, "endpoint": MARKUP, "policy": MARKUP, "user_agent": MARKUP, "notes": [MARKUP]}
    return [
        trace(number, timestamp=now - 60 * number, status="failed" if number % 3 == 0 else "completed", modality=MARKUP,
              latency_ms=100.0, completion_tokens=10, decode_ms=50.0, **strange, **words)
        for number in range(1, 30)
    ]  # fmt: skip


def fetch(url: str, headers: dict[str, str] | None = None) -> tuple[int, Message, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Reader(HTMLParser):
    """Collects every element with its attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_every_page_bans_foreign_code_and_framing(house: House, path: str) -> None:
    status, headers, _ = fetch(house.url + path)
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert status == 200
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_markup_in_every_name_tag_and_error_stays_text(site: Site) -> None:
    site.snapshot, site.traces = marked_up()
    page = Reader(fetch(site.url + "/dashboard")[2].decode())
    assert " ".join(page.words).count(MARKUP) > 30
    only_text(page)


@pytest.mark.parametrize("path", [page.path for page in PAGES[1:]])
def test_markup_in_the_history_stays_text_on_every_page(house: House, path: str) -> None:
    only_text(Reader(fetch(house.url + path)[2].decode()))


def only_text(page: Reader) -> None:
    assert [attrs["src"] for tag, attrs in page.elements if tag == "img"] == [
        attrs for attrs in [favicon(page)] if attrs
    ]
    for _, attrs in page.elements:
        assert not [name for name in attrs if name == "style" or name.startswith("on")]


def favicon(page: Reader) -> str | None:
    return next(attrs["href"] for tag, attrs in page.elements if tag == "link" and attrs.get("rel") == "icon")


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_no_page_has_an_inline_script_or_style(house: House, path: str) -> None:
    page = Reader(fetch(house.url + path)[2].decode())
    assert not [tag for tag, attrs in page.elements if tag == "style" or (tag == "script" and not attrs.get("src"))]


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_everything_a_page_names_is_served_here_and_may_be_kept_for_ever(house: House, path: str) -> None:
    page = Reader(fetch(house.url + path)[2].decode())
    named = {
        attrs.get("src") or attrs.get("href") for tag, attrs in page.elements if tag in {"link", "script", "img", "use"}
    }
    paths = {path.partition("#")[0] for path in named if path}
    assert len(paths) >= 6
    for path in paths:
        assert path.startswith("/static/")
        status, headers, _ = fetch(house.url + path)
        assert (status, headers["cache-control"]) == (200, "public, max-age=31536000, immutable")


def test_every_font_of_the_stylesheet_is_one_of_our_files() -> None:
    urls = re.findall(r'url\("([^"]+)"\)', (STATIC / "herd.css").read_text())
    assert len(urls) == 2
    assert all((STATIC / url).is_file() for url in urls)


def test_every_icon_that_a_template_draws_is_in_the_sprite() -> None:
    sources = [file.read_text() for file in [*WEB.rglob("*.html"), *WEB.glob("*.py")]]
    drawn = {modality.icon for modality in discover()}
    drawn |= {name for text in sources for name in re.findall(r'icon(?:\(|=)"([a-z-]+)"', text)}
    drawn |= {name for text in sources for name in re.findall(r', "(memory-stick|gpu|cpu)"\)', text)}
    drawn |= {"box"}
    sprite = (STATIC / "vendor" / "lucide-1.62.0" / "icons.svg").read_text()
    assert len(drawn) > 10
    assert not [name for name in drawn if f'id="{name}"' not in sprite]


def test_a_file_without_its_fingerprint_is_asked_about_again_and_then_costs_nothing(site: Site) -> None:
    _, headers, _ = fetch(site.url + "/static/herd.css")
    assert headers["cache-control"] == "no-cache"
    status, _, body = fetch(site.url + "/static/herd.css", {"if-none-match": headers["etag"]})
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["nothing.css", "../view.py", "%2e%2e/view.py", "..%2fview.py", "vendor", "//etc/passwd", "herd.css%00"]
)
def test_no_path_reaches_a_file_that_is_not_an_asset(site: Site, path: str) -> None:
    assert fetch(f"{site.url}/static/{path}")[0] in {400, 404}


def test_the_favicon_is_found_where_browsers_look_for_it(site: Site) -> None:
    status, headers, body = fetch(site.url + "/favicon.ico")
    assert (status, headers["content-type"]) == (200, "image/svg+xml")
    assert body.startswith(b"<svg")


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_no_page_has_a_link_that_leads_nowhere(house: House, path: str) -> None:
    page = Reader(fetch(house.url + path)[2].decode())
    links = {(attrs["href"] or "").partition("#")[0] for tag, attrs in page.elements if tag == "a"}
    links = {link if link.startswith("/") else path + link for link in links if link}
    assert {item.path for item in PAGES} <= links
    assert {link: status for link in links if (status := fetch(house.url + link)[0]) != 200} == {}


def test_the_json_twin_is_the_struct_of_the_page(site: Site) -> None:
    status, headers, body = fetch(site.url + "/dashboard/api/fleet")
    twin = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert [node["name"] for node in twin["nodes"]] == ["kitchen-mini", "mac-studio", "workstation", "old-laptop"]
    assert len(twin["requests"]) == 30


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_element_ids_are_unique(house: House, path: str) -> None:
    page = Reader(fetch(house.url + path)[2].decode())
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("asset", VENDOR, ids=lambda asset: asset["name"])
def test_vendored_files_are_the_ones_that_were_vendored(asset: dict[str, dict[str, str]]) -> None:
    folder = STATIC / "vendor" / f"{asset['name']}-{asset['version']}"
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert sums == asset["files"]
    assert "LICENSE" in sums


def test_nothing_vendored_is_unaccounted_for() -> None:
    folders = {file.name for file in (STATIC / "vendor").iterdir() if file.is_dir()}
    assert folders == {f"{asset['name']}-{asset['version']}" for asset in VENDOR}


def test_own_scripts_never_turn_text_into_markup_by_assignment() -> None:
    for script in STATIC.glob("*.js"):
        text = script.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
