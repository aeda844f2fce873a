"""One self-contained HTML page: figures become data URIs, templates share one base, no network is asked."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import jinja2

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with every common form of colour blindness; in the order series are drawn.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def png_data_uri(png: bytes) -> str:
    """Return the bytes of a PNG file as the value of an `src` attribute."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def figure_data_uri(figure: Figure, *, image_format: Literal["svg", "png"] = "svg", dots_per_inch: int = 110) -> str:
    """Return a Matplotlib figure as the value of an `src` attribute.

    Args:
        figure: drawn figure; it is not closed here.
        image_format: "svg" for line drawings, "png" for figures that hold images or many thousand marks.
        dots_per_inch: resolution of a PNG, and of what an SVG holds as pixels.
    """
    import matplotlib

    # No date and a fixed salt: the same figure gives the same bytes.
    metadata = {"Date": None} if image_format == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "nnunetv2_dale", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=image_format, dpi=dots_per_inch, bbox_inches="tight", metadata=metadata)
    if image_format == "png":
        return png_data_uri(buffer.getvalue())
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def render_page(template: str, package: str, context: Mapping[str, Any]) -> str:
    """Fill a template of a package; it can extend `base.html.j2` and import the macros of `page_parts.html.j2`.

    Everything in `context` is escaped. A name the template uses and `context` lacks is an error, not an empty place.

    Args:
        template: file name inside the package's `templates` folder, such as "page.html.j2".
        package: package that holds the template, such as "nnunetv2_dale.report".
        context: the names the template uses; `base.html.j2` itself needs `title` only.
    Returns:
        the page, to be written as UTF-8.
    Raises:
        jinja2.TemplateNotFound: no such template.
        jinja2.UndefinedError: a name is missing from `context`.
    """
    return _templates_of(package).get_template(template).render(context)


@functools.cache  # compiling the templates takes longer than filling them
def _templates_of(package: str) -> jinja2.Environment:
    packages = dict.fromkeys([package, "nnunetv2_dale.pages"])
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "templates") for name in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
