"""The control API as one page to read: no script, nothing from elsewhere.

It shows the OpenAPI document, and knows nothing else of the operations.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --dim: #666; --link: #0550ae }
@media (prefers-color-scheme: dark) { :root { --dim: #aaa; --link: #79b8ff } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.3rem; margin-top: 2.5rem; text-transform: capitalize }
a { color: var(--link) } nav a { display: inline-block; margin-right: 1rem }
code, pre { font: .875em/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
pre { background: var(--soft); padding: .7rem; border-radius: .4rem; overflow-x: auto;
  overflow-wrap: normal }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0;
  padding: .5rem .8rem }
summary { cursor: pointer } summary span { display: inline-block; margin-left: .5rem;
  color: var(--dim) }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
.verb { display: inline-block; min-width: 4.2rem; font-weight: 700 }
dl { margin: 0 } dt { margin-top: .4rem } dd { margin: 0 0 0 1.2rem; color: var(--dim) }
dt small { color: var(--dim) }
"""

_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What a browser is told beside the page: it may load nothing, and no page may show it."""


def render(document: Mapping[str, Any]) -> str:
    """Writes the page.

    Args:
        document: The OpenAPI document.
    """
    title = f"{document['info']['title']} {document['info']['version']}: control API"
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<header><h1>{escape(title)}</h1>",
            f"<p>{escape(document['info']['description'])} All paths stand below ",
            f"<code>{escape(document['servers'][0]['url'])}</code>. The same for programs: ",
            '<a href="openapi.json">openapi.json</a>.</p>',
            *_contents(document),
            "</header><main>",
            *_operations(document),
            '<section id="schemas"><h2>Schemas</h2>',
            *_schemas(document["components"]["schemas"]),
            "</section></main></body></html>",
        ]
    )


def _contents(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<nav>"
    for tag in (*(each["name"] for each in document["tags"]), "schemas"):
        yield f'<a href="#{escape(tag)}">{escape(tag)}</a>'
    yield "</nav>"


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    found = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    order = {each["name"]: place for place, each in enumerate(document["tags"])}
    found.sort(key=lambda each: order[each[2]["tags"][0]])
    for tag, members in groupby(found, key=lambda each: each[2]["tags"][0]):
        yield f'<section id="{escape(tag)}"><h2>{escape(tag)}</h2>'
        for path, method, operation in members:
            yield from _operation(path, method, operation)
        yield "</section>"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}"><summary>'
    yield f'<code><span class="verb">{method.upper()}</span>{escape(path)}</code>'
    yield f"<span>{escape(operation['summary'])}</span></summary>"
    for paragraph in operation["description"].split("\n\n"):
        yield f"<p>{_prose(paragraph)}</p>"
    if operation["parameters"]:
        yield "<h3>Parameters</h3><dl>"
        for each in operation["parameters"]:
            needed = "" if each["required"] else ", optional"
            kind = f"{each['in']}, {_type(each['schema'])}{needed}"
            yield _entry(each["name"], kind, each.get("description", ""))
        yield "</dl>"
    if "requestBody" in operation:
        yield "<h3>Body</h3>"
        yield from _content(operation["requestBody"]["content"])
    yield "<h3>Answers</h3><dl>"
    for status, answer in operation["responses"].items():
        yield f"<dt><code>{status}</code></dt><dd>{_prose(answer['description'])}"
        if int(status) < 400:  # noqa: PLR2004 - of HTTP: below are successes
            yield from _content(answer.get("content", {}))
        yield "</dd>"
    yield "</dl></details>"


def _content(content: Mapping[str, Any]) -> Iterator[str]:
    for media, given in content.items():
        yield f"<p><code>{escape(media)}</code>: {_type(given['schema'])}</p>"
        if "example" in given:
            example = json.dumps(given["example"], indent=2, ensure_ascii=False)
            yield f"<pre>{escape(example)}</pre>"


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code>'
        yield f"<span>{_prose(schema.get('description', ''))}</span></summary><dl>"
        required = schema.get("required", ())
        for member, kind in schema.get("properties", {}).items():
            needed = "" if member in required else ", optional"
            yield _entry(member, f"{_type(kind)}{needed}", kind.get("description", ""))
        yield "</dl></details>"


def _entry(name: str, kind: str, words: str) -> str:
    """Writes one member; its kind is HTML already."""
    return f"<dt><code>{escape(name)}</code> <small>{kind}</small></dt><dd>{_prose(words)}</dd>"


def _type(schema: Mapping[str, Any]) -> str:
    """Names a type, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return _values(schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}" if schema.get("items") else "array"
    return escape(str(schema.get("type", "any")))


def _values(values: Iterable[object]) -> str:
    return " | ".join(f"<code>{escape(str(each))}</code>" for each in values if each is not None)


def _prose(text: str) -> str:
    """Writes text, with what stands in backquotes as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
