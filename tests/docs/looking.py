"""What several tests of pages look at: names that lead somewhere, and pictures without numbers."""

import importlib
import re


def leads_somewhere(dotted):
    """Whether a dotted path leads to something: a module, or an attribute of one.

    Attributes come first: `layers.init` is a public name, and was the path of a module once.
    """
    first, *rest = dotted.split(".")
    path, thing = first, importlib.import_module(first)
    for name in rest:
        path = f"{path}.{name}"
        if not hasattr(thing, name):
            try:
                importlib.import_module(path)
            except ModuleNotFoundError:
                return False
        thing = getattr(thing, name)
    return True


def outline(path):
    """The elements of a picture and its words; numbers may differ in their last digits."""
    # Matplotlib notes the date there, unless told not to.
    text = re.sub(r"<metadata>.*?</metadata>", "", path.read_text("utf-8"), flags=re.DOTALL)
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    return re.findall(r"<(\w+)", text), [re.sub(r"[-\d.e+]+", "#", word) for word in words]
