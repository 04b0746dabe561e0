"""What the tests of reports share: a strict reader of pages, and an ensemble with its members."""

import html.parser
import pathlib

import pytest

from experiments.reports import report


class Page(html.parser.HTMLParser):
    """Parses a report strictly: balanced tags, unique ids; collects what the tests ask for."""

    VOID = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.open, self.ids, self.images, self.references = [], [], [], []
        self.tables, self.text = [], []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self._attributes(tag, dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("small", "br"):
            self.handle_data(" ")

    def handle_startendtag(self, tag, attrs):
        self._attributes(tag, dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    def _attributes(self, tag, attrs):
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.references += [attrs[key] for key in ("src", "href") if key in attrs]
        if tag in ("img", "image"):
            self.images.append(attrs.get("src") or attrs["href"])

    def row(self, table: int, name: str) -> list[str]:
        """Cells of the row whose first cell begins with a name, white space collapsed."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.tables[table]]
        return next(row for row in rows if row[0].split(" ")[0] == name)


@pytest.fixture(scope="session")
def read_page():
    """Return the class that parses a page."""
    return Page


@pytest.fixture
def page_of(tmp_path):
    """Return a function that reports on folders and parses the page."""
    return lambda *folders, **options: Page(report(folders, tmp_path / "page.html", **options).page)


@pytest.fixture(scope="session")
def stacked(make_run, tmp_path_factory) -> Page:
    """Page of two members, and a stack of them and of a third one that is not there."""
    root = tmp_path_factory.mktemp("runs")
    size = {"classes": 200, "images": 10_000}
    runs = [
        make_run(root / "alphanet_v4", top1=48.0, **size),
        make_run(root / "v4b", "alphanet/alphanet_v4b", top1=46.0, seed=1, **size),
    ]
    members = [
        {"name": name, "run": f"elsewhere/{run}", "top1": top1, "top3": 60.0, "top5": 70.0}
        for name, run, top1 in (
            ("alphanet_v4", "alphanet_v4", 48.0),
            ("alphanet_v4b", "v4b", 46.0),
            ("alphanet_v4c", "alphanet_v4c", 49.4),
        )
    ]
    members = [member | {"parameters": 11255496} for member in members]
    options = {"top1": 51.0, "epochs": 3, "members": members}
    runs.append(make_run(root / "alphastack", "alphanet/alphastack", **options, **size))
    return Page(report(runs, root / "page.html").page)
