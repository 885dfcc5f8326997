"""Every way in which a library writes a secret without meaning harm is scrubbed."""

import base64
import html
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulcan_contract.task import Connection, SecretRef
from vulcan_runner.secrets import Scrubber, Secrets, git_scrubber

SECRETS = [
    "s3cret-Value_99",
    "a<b>&c'd\"e",
    'back\\slash"quote',
    'it\'s\\"both"',
    "pässwörd🔑ß",
    "tab\there",
    "x+y/z=&?#%41",
    "ÿÿþþ>>>???~~~",
]
TEXTS = st.text(st.characters(codec="utf-8"), min_size=8, max_size=40).filter(lambda text: len(text.strip("\r\n")) >= 8)


def _encoded(text: str) -> list[str]:
    """In base64 of both alphabets, with padding and without."""
    both = [f(text.encode()).decode() for f in (base64.b64encode, base64.urlsafe_b64encode)]
    return [*both, *(text.rstrip("=") for text in both)]


def _for_html(text: str) -> str:
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _written(secret: str) -> dict[str, list[str]]:
    """By the name of a form: the secret as it stands in a text of that form, and nothing else."""
    inner, as_is = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    quoted = [quote(secret), quote(secret, safe="")]
    return {
        "plain": [secret],
        "url": [*quoted, *(re.sub("%..", lambda found: found[0].lower(), text) for text in quoted)],
        "html": [
            html.escape(secret), html.escape(secret, quote=False), html.escape(secret).replace("&#x27;", "&#39;"),
            html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        ],
        "json": [inner, as_is, _for_html(inner), _for_html(as_is)],
        "json in json": [json.dumps(inner)[1:-1], json.dumps(as_is, ensure_ascii=False)[1:-1]],
        "repr": [repr(secret)[1:-1], repr(secret.encode())[2:-1], repr(f"'\"{secret}")[4:-1]],
        "json in repr": [repr(inner)[1:-1]],
        "repr in json": [json.dumps(repr(secret)[1:-1])[1:-1]],
        "base64": _encoded(secret),
    }  # fmt: skip


@pytest.mark.parametrize("form", list(_written("")))
@pytest.mark.parametrize("secret", SECRETS)
def test_every_form_is_scrubbed(secret: str, form: str) -> None:
    scrub = Scrubber([secret])
    for said in _written(secret)[form]:
        assert scrub.text(f"before {said}, after") == "before ***, after", said


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("user", ["u", "robot", "svc-42", "jürgen"])
def test_basic_authentication_of_a_known_user_leaves_nothing(secret: str, user: str) -> None:
    scrub = Scrubber([secret], [user])
    for said in _encoded(f"{user}:{secret}"):
        assert scrub.text(f"Authorization: Basic {said} x") == "Authorization: Basic *** x"


@given(TEXTS, st.text(st.characters(codec="utf-8"), max_size=12), st.text(st.characters(codec="utf-8"), max_size=5))
def test_base64_of_more_than_the_secret_keeps_at_most_an_edge(secret: str, before: str, after: str) -> None:
    """Of whoever else the user is, in whatever document: at most a character at each end of the secret is left."""
    scrub, alone = Scrubber([secret]), len(before.encode())
    for said in _encoded(f"{before}{secret}{after}"):
        clean = scrub.text(f" {said} ")
        assert "***" in clean
        whole = clean.split("***")
        kept = len(whole[0].strip()) - alone * 8 // 6
        assert kept <= 2


def test_a_short_password_is_known_behind_the_users_of_its_connection(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for name, text in {"login": "admin", "pw": "abcd", "username": "other"}.items():
        (tmp_path / "s" / name).write_text(text)
    fields = {"user": SecretRef("s", "login"), "password": SecretRef("s", "pw")}
    connection = Connection("trino", {"user": "root"}, {"password": fields["password"]})
    for used, users in (((connection,), ("root", "other")), ((Connection("trino", {}, fields),), ("admin", "other"))):
        scrub = Secrets(tmp_path).scrubber(used)
        for user in users:
            assert scrub.text(base64.b64encode(f"{user}:abcd".encode()).decode()) == "***", user


def test_basic_authentication_of_git_is_known(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("robot\n")
    (tmp_path / "password").write_text("hush")
    assert git_scrubber(tmp_path).text(base64.b64encode(b"robot:hush").decode()) == "***"


def test_a_short_secret_blanks_no_words_out() -> None:
    text = "SELECT order_id, customer FROM shop.orders JOIN shop.days USING (day)"
    assert Scrubber(["rder", "ABCD"]).text(text) == text.replace("rder", "***")
