"""The book: nothing is fetched, links arrive, what is searched is found, all is there without scripts."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from nbformat.v4 import new_markdown_cell

from helpers.course.book import claims, contents, figures, glossary, paper, teaching
from helpers.course.book.bind import bind, read_run
from helpers.course.book.glossary import Marker
from helpers.course.book.make import stored_book
from helpers.course.pages import inline, notebook_page
from helpers.course.series import NOTEBOOKS
from tests.course.builders import figure_output, small

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "link": "href",
    "source": "src",
    "video": "src",
    "object": "data",
}


class Tags(HTMLParser):
    """What a page loads, links to and calls by an id; and what it says without its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads, self.links, self.ids, self.quiet, self.said = [], [], [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in LOADS and found.get(LOADS[tag]):
            self.loads.append(found[LOADS[tag]])
        if tag in ("a", "form") and (found.get("href") or found.get("action")):
            self.links.append(found.get("href") or found["action"])
        if "id" in found:
            self.ids.append(found["id"])
        self.quiet += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.quiet -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.quiet:
            self.said.append(data)


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> dict[str, Tags]:
    """The book of the stored notebooks, page by page."""
    folder = tmp_path_factory.mktemp("book")
    stored_book(folder)
    pages = {path.name: Tags(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.html"))}
    pages["folder"] = folder
    return pages


@pytest.fixture
def folder(book) -> Path:
    return book["folder"]


@pytest.fixture
def pages(book) -> dict[str, Tags]:
    return {name: page for name, page in book.items() if name != "folder"}


def test_no_page_loads_anything_from_elsewhere(pages, folder):
    assert len(pages) > 8
    for name, page in pages.items():
        for address in page.loads:
            assert address.startswith("data:") or (folder / address).is_file(), f"{name} loads {address}"
        text = (folder / name).read_text(encoding="utf-8")
        styles = " ".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
        assert not re.search(r"@import|url\((?!['\"]?data:)", styles), f"the styles of {name} load something"


def test_every_link_within_the_book_arrives(pages):
    for name, page in pages.items():
        for link in page.links:
            if re.match(r"\w+:", link):
                continue
            target, _, anchor = link.partition("#")
            assert (target or name) in pages, f"{name} links to {link}: there is no such page"
            assert not anchor or unquote(anchor) in pages[target or name].ids, (
                f"{name} links to {link}: no such place"
            )


def test_no_place_is_named_twice(pages):
    for name, page in pages.items():
        twice = {one for one in page.ids if page.ids.count(one) > 1}
        assert not twice, f"{name}: {sorted(twice)}"


def test_each_page_leads_to_its_sections_to_the_series_and_on(pages, folder):
    names = [path.stem for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]
    for before, name in zip(["index", *names], names, strict=False):
        page, text = pages[f"{name}.html"], (folder / f"{name}.html").read_text(encoding="utf-8")
        assert {f"{other}.html" for other in names} <= set(page.links)
        headings = [
            one.anchor
            for one in contents.parse(name, contents.MAIN.search(text)[1]).sections
            if one.level == 2
        ]
        assert len(headings) > 2 and {f"#{one}" for one in headings} <= {unquote(link) for link in page.links}
        assert f'<a rel="prev" href="{before}.html">' in text


def test_each_claim_leads_to_the_cell_that_settles_it_and_back(pages):
    ledger = json.loads((NOTEBOOKS / "claims.json").read_text(encoding="utf-8"))
    for row in ledger:
        if row["value"] is None or row["id"] == "N7":
            continue
        cell = f"{row['notebook']}.html"
        assert f"{cell}#claim-{row['id']}" in pages["claims.html"].links
        assert f"claims.html#{row['id']}" in pages[cell].links


def test_all_that_matters_is_there_without_scripts(pages):
    said = {name: " ".join(" ".join(page.said).split()) for name, page in pages.items()}
    assert "Preference tuning is built from scratch" in said["index.html"]
    assert "adjudicate" in said["index.html"] and "agrees" in said["index.html"]
    assert all(
        f" {one} " in f" {said['claims.html']} " or one in said["claims.html"] for one in ("A1", "B8", "N7")
    )
    assert "Glossary" in said["glossary.html"] and "AUROC" in said["glossary.html"]
    assert "The search needs scripts" in said["search.html"]


def test_the_search_holds_the_sections_the_terms_and_the_claims(folder):
    text = (folder / "search-data.js").read_text(encoding="utf-8")
    found = json.loads(text.removeprefix("window.BOOK = ").rstrip(";\n"))
    hits = {
        (one["page"], one["section"])
        for one in found
        if "logit lens" in (one["section"] + one["text"]).lower()
    }
    assert any(page.startswith("06_") for page, _ in hits) and ("glossary.html", "logit lens") in hits
    assert any(one["page"] == "claims.html" and one["section"].startswith("A7 ·") for one in found)
    assert not any("<" in one["section"] and ">" in one["section"] for one in found)


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the library as a browser would, in node")
def test_the_library_finds_a_word_by_its_beginning_and_in_spite_of_a_slip(folder):
    script = """
    const fs = require("fs"), vm = require("vm"), place = { window: {} };
    const MiniSearch = require(process.argv[1] + "/minisearch.js");
    vm.runInNewContext(fs.readFileSync(process.argv[1] + "/search-data.js", "utf8"), place);
    const index = new MiniSearch({ fields: ["section", "title", "text"], idField: "id" });
    index.addAll([...place.window.BOOK].map((section, id) => ({ ...section, id })));
    const options = { prefix: true, fuzzy: 0.15, combineWith: "AND", boost: { section: 3, title: 2 } };
    for (const query of ["perplex", "perplexty", "zzzqqq"]) {
      const hits = index.search(query, options).map(hit => place.window.BOOK[hit.id].section);
      console.log(hits.slice(0, 9).join("|"));
    }"""
    done = subprocess.run(["node", "-e", script, str(folder)], capture_output=True, text=True, check=True)
    begun, slipped, nothing = done.stdout.split("\n")[:3]
    assert "perplexity" in begun and "perplexity" in slipped and nothing == ""


def test_the_start_shows_the_runs_own_figure_and_counts_its_own_ledger(folder):
    index = (folder / "index.html").read_text(encoding="utf-8")
    entries = json.loads((NOTEBOOKS / "claims.json").read_text(encoding="utf-8"))
    assert 'id="figure-1-data"' in index and "Toxicity against perplexity" in index
    ours = sum(row["id"].startswith("A") and row["verdict"] == "agrees" for row in entries)
    assert f'<th scope="row">{claims.PAPERS["A"]}</th><td class="num">{ours}</td>' in index


def test_binding_again_changes_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    bind(read_run(NOTEBOOKS, "pocket", notebooks=NOTEBOOKS), folder)
    assert {path.name for path in folder.iterdir()} == set(before)
    changed = [path.name for path in folder.iterdir() if path.read_bytes() != before[path.name]]
    assert set(changed) <= {"index.html", "claims.html"}, "the model's label may differ, nothing else"


# -- the glossary


TABLE = "| word | what it means |\n|---|---|\n| probe | a regression |\n| activation $m$ | how strongly |\n"
TABLE += (
    "| key vector, value vector | what it reads; what it writes |\n| own, shared text | its own; base's |\n"
)


def test_a_row_may_hold_several_terms():
    found = {term.word: term.meaning for term in glossary.terms(TABLE)}
    assert found["value vector"] == "what it writes" and found["shared text"] == "base's"
    assert found["own text"] == "its own" and found["activation $m$"] == "how strongly"


def test_a_term_is_explained_once_where_prose_first_uses_it():
    marker = Marker(glossary.terms(TABLE), inline)
    first = marker.mark(
        "<h2>The probe</h2><p><code>probe</code> Probes read; a probe-like <a href='x'>probe</a>.</p>"
    )
    assert (
        first.count('class="term"') == 1
        and ">Probes</a><span" in first
        and "</b>: a regression</span>" in first
    )
    assert "<h2>The probe</h2>" in first and "<code>probe</code>" in first
    assert marker.mark("<p>The probe again.</p>") == "<p>The probe again.</p>"
    assert 'href="glossary.html#term-value-vector"' in marker.mark("<p>Value vectors and unprobed.</p>")


def test_an_explanation_can_be_reached_by_keyboard_and_read_out():
    marked = Marker(glossary.terms(TABLE), inline).mark("<p>A probe.</p>")
    assert re.search(
        r'<a aria-describedby="(tip-[\w-]+)" class="term" href=[^>]+>probe</a>'
        r'<span class="tip" id="\1" role="tooltip">',
        marked,
    ) or (
        'aria-describedby="tip-term-probe"' in marked
        and 'id="tip-term-probe"' in marked
        and 'role="tooltip"' in marked
    )


# -- what is made from pages


def figure_page(tmp_path: Path, alt: str) -> Path:
    notebook = small("1")
    notebook.cells[1].outputs = [figure_output(alt)]
    path = tmp_path / "03_three.html"
    path.write_text(notebook_page(notebook, "03_three"), encoding="utf-8")
    return path


def test_figures_are_found_in_a_page_with_their_text(tmp_path):
    (one,) = figures.drawings(figure_page(tmp_path, 'It "rises" & falls.'))
    assert (one.file, one.alt) == ("03-01.svg", 'It "rises" & falls.')
    assert one.figure["data"][0]["y"] == [1, 2, 1] and one.title == "</script> rises"


def test_on_paper_figures_are_pictures_and_links_stay_within(tmp_path):
    figure_page(tmp_path, "It rises.")
    (tmp_path / "03-01.svg").write_text("<svg><title>It rises.</title></svg>")
    index = '<main id="book-main"><a href="03_three.html">a</a><a href="03_three.html#x">b</a></main>'
    (tmp_path / "index.html").write_text(index, encoding="utf-8")
    whole = paper.whole(tmp_path, tmp_path)
    assert "<script" not in whole and re.search(r'<img src="file:[^"]+03-01\.svg" alt="It rises\."', whole)
    assert 'href="#03_three--"' in whole and 'href="#03_three--x"' in whole and 'id="03_three--"' in whole


def test_without_a_browser_pdf_and_figures_are_refused_at_once(monkeypatch, capsys):
    monkeypatch.setattr("helpers.course.pictures.browser", lambda: None)
    assert paper.main() == 1 and "Chromium" in capsys.readouterr().err
    monkeypatch.setattr(figures, "pages_at_hand", lambda: Path("none"))
    assert figures.main() == 1 and "Chromium" in capsys.readouterr().err


def test_the_minutes_of_a_course_are_summed_from_what_notebooks_say():
    notebook = small("1", "2")
    notebook.cells.append(new_markdown_cell("**Goal:** x. **Minutes:**\n8\n\n" + "word " * 360))
    notebook.cells.append(new_markdown_cell("**Minutes:** 5"))
    one = teaching.minutes_of(notebook, 1.5)
    assert (one.exercises, one.run) == (13, 1.5) and 2.6 <= one.read <= 2.9
    found, titles = {"00": one, "01": one}, {"00": ("A", "00_a"), "01": ("B", "01_b")}
    told = teaching.sessions(
        {"First": ("00", "01"), "None of it there": ("07",), "Then": ("01",)}, found, titles
    )
    assert (
        "| 1 · First |" in told and "| 26 | 3.0 |" in told and "| 2 · Then |" in told and "None" not in told
    )
