"""Names of neurons in pages become links, and nothing else of a page changes."""

import re

import pytest

from helpers.course.neuron_links import link_pages, with_links

PAGE = """<!DOCTYPE html>
<html><head><title>L1.2</title><style>a { content: "L1.2"; }</style></head><body>
<!-- L1.2 --><p>See L1.2, and (L0.3) &amp; L1.2&#46; Not L9.1, xL1.2, L1.2.5 or L1.99999.</p>
<table><tr><td title='a > b, L1.2'>L1.2</td><td><a href="#L1.2">L1.2</a></td></tr></table>
<pre><span>"L0.3"</span></pre><svg><text>L1.2</text></svg><br/>
<script>const name = "L1.2 </p>";</script>
<div class="plot" id="f"></div>
<script type="application/json" id="f-data">{"text": ["L0.3", "L1.2", "L9.9"]}</script>
</body></html>
"""


def exists(layer: int, index: int) -> bool:
    return layer < 2 and index < 10


def test_names_in_text_link_and_all_else_stays():
    linked = with_links(PAGE, "explorer.html", exists)
    below = re.search(r'<p class="neurons">.*?</p>', linked)
    assert below and below[0].count("<a ") == 2 and "L9.9" not in below[0]
    assert linked[: below.start()].endswith("</script>")
    rest = linked.replace(below[0], "")
    assert rest.count('<a href="explorer.html#') == 5
    assert re.sub(r'<a href="explorer.html#(L\d+\.\d+)">\1</a>', r"\1", rest) == PAGE


def test_a_page_is_linked_once(tmp_path):
    (tmp_path / "explorer.html").write_text('{"shape": {"layers": 2, "heads": 1, "neurons": 10}} L1.2')
    (tmp_path / "01.html").write_text("<p>L1.2 and L2.0</p>")
    for _ in range(2):
        link_pages(tmp_path, "explorer.html")
        assert (tmp_path / "01.html").read_text() == '<p><a href="explorer.html#L1.2">L1.2</a> and L2.0</p>'
    assert (tmp_path / "explorer.html").read_text().endswith("} L1.2")


def test_an_explorer_that_names_no_shape_is_refused(tmp_path):
    (tmp_path / "explorer.html").write_text("<p></p>")
    with pytest.raises(ValueError, match="does not say"):
        link_pages(tmp_path, "explorer.html")
