"""LaTeX as MathML, which browsers typeset without a font or a script from elsewhere."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from itertools import pairwise
from xml.etree import ElementTree

from markupsafe import Markup

#: attributes that are the default in MathML Core where latex2mathml writes them
_DEFAULTS = ("stretchy", "fence", "form", "columnalign", "xmlns", "display", "displaystyle")
_SINGLE = re.compile(r"<mrow>(<(mi|mn|mo)>[^<]*</\2>)</mrow>")


@lru_cache(maxsize=4096)
def mathml(latex: str, display: bool = False) -> Markup:
    """A `<math>` element, large (`display`) or for running text; the LaTeX itself as code where it cannot be converted."""
    from latex2mathml.converter import convert_to_element

    try:
        element = convert_to_element(latex.replace(r"\operatorname{", r"\mathrm{"))
    except Exception:  # its own exceptions have no common base
        return Markup("<code>{}</code>").format(latex)
    for part in element.iter():
        _tidy(part)
    for part in list(element.iter()):
        _spaced(part)
    if len(element) == 1 and element[0].tag == "mrow":
        element[:] = list(element[0])
    if display:
        element.set("displaystyle", "true")
    text = ElementTree.tostring(element, encoding="unicode", short_empty_elements=False)
    return Markup(_SINGLE.sub(r"\1", text))


def _tidy(part: ElementTree.Element) -> None:
    # latex2mathml leaves character references in texts, to be unescaped after serialising; unescaping them before, each by
    # itself, keeps a "<" in a text from becoming a tag
    for slot in ("text", "tail"):
        if getattr(part, slot):
            setattr(part, slot, html.unescape(getattr(part, slot)))
    for attribute in _DEFAULTS:
        if part.get(attribute) != "false":  # as of parentheses that are not to grow
            part.attrib.pop(attribute, None)
    if part.tag == "mo" and (part.text or "").isalpha():
        part.tag = "mi"  # max and min: a name, not an operator with room on both sides
    letters = list(part)
    if part.tag == "mrow" and len(letters) > 1 and letters[0].get("mathvariant") == "normal" and all(
        c.tag in ("mi", "mn") and not len(c) and (c.tag == "mn" or c.get("mathvariant") == "normal") for c in letters
    ):  # fmt: skip
        word = "".join(html.unescape(c.text or "") for c in letters)
        part.clear()
        part.tag, part.text = "mi", word


def _spaced(part: ElementTree.Element) -> None:
    """A thin space between the name of a function and its argument where no parenthesis parts them: ln x, not lnx."""
    if part.tag not in ("math", "mrow", "mstyle"):  # the parts of others have places: a base, what stands below it
        return
    for name, argument in reversed(list(pairwise(part))):
        named = name[0] if name.tag in ("msub", "munder") else name
        begins = argument[0] if argument.tag == "mrow" and len(argument) else argument
        if named.tag == "mi" and len(named.text or "") > 1 and begins.tag not in ("mo", "mspace"):
            part.insert(list(part).index(argument), ElementTree.Element("mspace", width="0.17em"))
