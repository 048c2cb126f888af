"""Pages made of elements: whatever is put in as text comes out as text, by construction."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

from remediate.domain.text import printable

#: What an element holds: others, and text from anywhere.
Child = Element | str


def element(tag: str, *children: Child, **attributes: str | float) -> Element:
    """Return an element; `class_` is the attribute `class`, and `_` in the name of an attribute is `-`."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): _text(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + _text(child)
        else:
            made.text = (made.text or "") + _text(child)
    return made


def page(title: str, style: str, *body: Child) -> str:
    """Return a whole page that needs nothing else, and that a browser lets do nothing: no scripts, no addresses."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width"),
        element("title", title),
        element("style", style),
    )
    document = element("html", head, element("body", *body), lang="en")
    return f"<!doctype html>\n{tostring(document, encoding='unicode', method='html')}\n"


def _text(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, int) else f"{value:.1f}"
