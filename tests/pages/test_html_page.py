"""The page is one file: it escapes what it is given, names what is missing and asks no network for anything."""

import base64
import re
from typing import Literal

import jinja2
import matplotlib
import pytest
from matplotlib.figure import Figure

from nnunetv2_dale.pages.html_page import figure_data_uri, png_data_uri, render_page

matplotlib.use("Agg")


def drawn_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_png_data_uri_holds_the_bytes() -> None:
    assert base64.b64decode(png_data_uri(b"\x89PNG").split(",")[1]) == b"\x89PNG"


@pytest.mark.parametrize(("image_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_figure_becomes_the_same_bytes_every_time(image_format: Literal["svg", "png"], start: bytes) -> None:
    first, second = (figure_data_uri(drawn_figure(), image_format=image_format) for _ in range(2))
    assert first == second
    assert base64.b64decode(first.split(",")[1]).startswith(start)


def test_base_page_escapes_and_asks_for_nothing() -> None:
    page = render_page("base.html.j2", "nnunetv2_dale.pages", {"title": "<b>a & b</b>"})
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render_page("base.html.j2", "nnunetv2_dale.pages", {})


def test_parts_print_cells_notes_and_figures() -> None:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("nnunetv2_dale.pages", "templates"), autoescape=True)
    page = environment.from_string(
        '{% from "page_parts.html.j2" import figure, note, facts, table %}'
        '{{ figure("data:,", "what it shows", "what to see") }}'
        '{{ note("be careful", "warning") }}{{ facts([("seed", 3)]) }}'
        "{{ table('cases', [{'name': 'case'}, {'name': 'Dice', 'numeric': true}],"
        " [['<a>', {'text': '0.9', 'sort': 0.912}]]) }}"
    ).render()
    assert 'alt="what it shows"' in page
    assert "<figcaption>what to see</figcaption>" in page
    assert 'class="note warning"' in page
    assert "<dt>seed</dt><dd>3</dd>" in page
    assert "&lt;a&gt;" in page
    assert 'data-sort="0.912"' in page
    assert 'class="sortable ' in page
