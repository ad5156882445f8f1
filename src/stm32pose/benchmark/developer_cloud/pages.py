"""What a sign-in page holds: its forms with every hidden field, its title, its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

SILENT = ("script", "style", "noscript", "template")
ALARM = ("error", "alert", "danger", "invalid", "feedback")


@dataclass
class Form:
    """A form of a page.

    Attributes:
        action, method: where it goes.
        fields: what a browser would send unfilled: hidden and preset inputs, and the first named button.
        texts, passwords: names of the inputs to fill in, in order.
    """

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    button: tuple[str, str] | None = None


@dataclass
class Page:
    """Attributes: `title`, `forms`, all visible `text`, and `alarms`: the texts of elements marked as errors."""

    title: str = ""
    forms: list[Form] = field(default_factory=list)
    text: str = ""
    alarms: list[str] = field(default_factory=list)

    @property
    def sign_in(self) -> Form | None:
        """The form that asks for a password."""
        return next((form for form in self.forms if form.passwords), None)

    @property
    def words(self) -> str:
        """What the page says: its error, or its title and text."""
        return " ".join(self.alarms) or ": ".join(part for part in (self.title, self.text) if part)


def read_page(html: str) -> Page:
    """Parse a page; broken HTML gives what can be found in it."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    parser.page.text = " ".join(" ".join(parser.texts).split())
    parser.page.title = " ".join(parser.page.title.split())
    parser.page.alarms = [" ".join(alarm.split()) for alarm in parser.page.alarms if alarm.strip()]
    return parser.page


class _Parser(HTMLParser):
    VOID = ("input", "br", "img", "meta", "link", "hr")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(values.get("action", ""), values.get("method", "get").lower())
            self.page.forms.append(self._form)
        elif tag in ("input", "button") and self._form is not None:
            _add_input(self._form, tag, values)
        if tag in self.VOID:
            return
        marks = f"{values.get('class', '')} {values.get('id', '')} {values.get('role', '')}".lower()
        alarm = tag not in ("html", "body", "form") and any(word in marks for word in ALARM)
        if alarm:
            self.page.alarms.append("")
        self._open.append((tag, alarm))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        # A tag that was never opened closes nothing; one that was closes what is left open inside it.
        if any(name == tag for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        tags = [name for name, _ in self._open]
        if any(name in SILENT for name in tags):
            return
        if "title" in tags:
            self.page.title += data
            return
        self.texts.append(data)
        if any(alarm for _, alarm in self._open) and self.page.alarms:
            self.page.alarms[-1] += data


def _add_input(form: Form, tag: str, values: dict[str, str]) -> None:
    name = values.get("name", "")
    kind = values.get("type", "submit" if tag == "button" else "text").lower()
    if not name:
        return
    if kind == "password":
        form.passwords.append(name)
    elif kind in ("text", "email", "tel"):
        form.texts.append(name)
    elif kind in ("submit", "image"):
        # A browser sends only the button that was pressed.
        form.button = form.button or (name, values.get("value", ""))
    elif kind == "hidden" or (kind in ("checkbox", "radio") and "checked" in values):
        form.fields[name] = values.get("value", "on" if kind != "hidden" else "")
