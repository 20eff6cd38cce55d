"""A secret and a token, and how an issuer may quote them."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

SECRET = "hunter2/+ &\"<é>'Qx9Zk4Lm"
TOKEN = "0paque-t0ken.0f~the_issuer/4711+x=="

ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a sentence": lambda s: f"invalid secret '{s}' for acme",
    "in capitals": str.upper,
    "cut": lambda s: f"no such secret: {s[:10]}…",
    "in a URL": lambda s: quote(s, safe=""),
    "in a URL, in small letters": lambda s: quote(s, safe="").lower(),
    "in a form": lambda s: "client_secret=" + quote_plus(s),
    "in HTML": html.escape,
    "in JSON": lambda s: json.dumps({"client_secret": s}),
    "in Basic": lambda s: base64.b64encode(f"acme:{s}".encode()).decode(),
    "in Basic, encoded": lambda s: base64.b64encode(f"acme:{quote_plus(s)}".encode()).decode(),
    "in base64": lambda s: base64.b64encode(s.encode()).decode(),
    "in base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "in base64 of a body": lambda s: base64.b64encode(f"xid=acme&s={s}&".encode()).decode(),
    "in base64 of another": lambda s: base64.b64encode(f"id=acme&s={s}&z".encode()).decode(),
    "in hex": lambda s: s.encode().hex(),
    "twice": lambda s: f"{s} and {base64.b64encode(s.encode()).decode()}",
}


def forms(secret: str) -> list[str]:
    """Return what may be left of no echo: every spelling, without what stands around it."""
    pure = ["as it is", "in a URL", "in HTML", "in Basic", "in Basic, encoded", "in hex"]
    found = [ECHOES[how](secret) for how in pure] + [quote_plus(secret), json.dumps(secret)[1:-1]]
    for before in range(3):
        encoded = base64.b64encode(b"?" * before + secret.encode() + b"???").decode()
        inner = encoded[-(-before * 8 // 6) : (before + len(secret.encode())) * 8 // 6]
        found += [inner, inner.replace("+", "-").replace("/", "_")]
    return found


def shown_forms(text: str, secret: str) -> list[str]:
    """Return those of which *text* has nine characters in a row, one more than is let by."""
    low = text.lower()
    return [
        form
        for form in forms(secret)
        if any(form.lower()[i : i + 9] in low for i in range(len(form) - 8))
    ]
