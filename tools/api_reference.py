"""Write the API reference, docs/reference (not committed), from the public names.

A page for each public module, with the names of its ``__all__`` and the public members of its
classes. What a page shows is the docstring, the signature and the types in the sources. A class
that two modules export is described in the first of `MODULES`; the other page refers to it.

A reference in a docstring, such as ``:class:`.Event```, becomes a link. If it names nothing public,
`Reference.defects` has a line about it, and `make docs` fails: a reader cannot look it up.
"""

from __future__ import annotations

import ast
import enum
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"

# In the order of the site.
MODULES = (
    "propchange",
    "propchange.blocking",
    "propchange.twisted",
    "propchange.upnp.standard",
    "propchange.asgi",
    "propchange.metrics",
    "propchange.dropin.async_upnp_client",
    "propchange.dropin.soco",
    "propchange.cohen3",
    "propchange.core",
    "propchange.http",
    "propchange.testing",
)

_KINDS = {
    "class": "class exception data",
    "exc": "exception",
    "meth": "method",
    "func": "function",
    "attr": "attribute property",
    "data": "data",
    "mod": "module",
    "obj": "",
}
# A program gets these objects and does not make them.
_GIVEN = frozenset({"AdvertisedDevice", "MulticastEvents", "SubscriptionRecord"})
_PAGE = re.compile(r"`{0,2}\bdocs/([a-z-]+)\.md\b`{0,2}")  # a page of this site
_ROLE = re.compile(r":(?:py:)?(class|meth|func|attr|mod|exc|data|obj):`([^`]+)`")


def public_modules() -> tuple[str, ...]:
    """Those of `MODULES` that are in the package."""
    return tuple(name for name in MODULES if importlib.util.find_spec(name) is not None)


@dataclass
class Entry:
    """A public name: a class, a function, a member, a constant."""

    name: str  # propchange.Subscription.updates
    kind: str  # the directive of Sphinx's Python domain
    value: Any
    owner: Any = None  # the class or the module in which it is defined
    documented_as: str = ""  # the name under which it is described, if that is another one
    members: list[Entry] = field(default_factory=list)

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]


# --- reading the sources ------------------------------------------------------------------


@functools.cache
def _module_tree(name: str) -> tuple[ast.Module, list[str]]:
    text = Path(inspect.getfile(importlib.import_module(name))).read_text("utf-8")
    return ast.parse(text), text.splitlines()


def _assignments(body: list[ast.stmt], *, of_self: bool) -> Iterator[tuple[str, ast.stmt, str]]:
    """Each name that is assigned to, or each attribute of ``self``; the statement, and the string
    below it."""
    for number, statement in enumerate(body):
        after = body[number + 1] if number + 1 < len(body) else None
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = after.value.value if isinstance(after.value.value, str) else ""
        for target in targets:
            if isinstance(target, ast.Name) and not of_self:
                yield target.id, statement, text
            elif (
                of_self
                and isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
            ):
                yield target.attr, statement, text


@dataclass
class Assigned:
    """An attribute as the sources have it."""

    annotation: str = ""
    text: str = ""


def _comment_of(statement: ast.stmt, lines: list[str]) -> str:
    """The comment at the end of the line, which says what a field of a record is."""
    line = lines[(statement.end_lineno or statement.lineno) - 1][statement.end_col_offset or 0 :]
    found = re.fullmatch(r"\s*# (?!type:|noqa)(.*)", line)
    return found[1].strip() if found else ""


def _read_assignments(
    body: list[ast.stmt], lines: list[str], *, of_self: bool = False
) -> dict[str, Assigned]:
    found: dict[str, Assigned] = {}
    for name, statement, text in _assignments(body, of_self=of_self):
        one = found.setdefault(name, Assigned())
        if isinstance(statement, ast.AnnAssign):
            one.annotation = one.annotation or ast.unparse(statement.annotation)
        one.text = one.text or inspect.cleandoc(text) or _comment_of(statement, lines)
    return found


@functools.cache
def _class_assignments(cls: type) -> dict[str, Assigned]:
    """The attributes of a class, and those that its methods give to ``self``."""
    tree, lines = _module_tree(cls.__module__)
    body: list[ast.stmt] = tree.body
    node: ast.ClassDef | None = None
    for part in cls.__qualname__.split("."):
        classes = [
            each for each in ast.walk(ast.Module(body, [])) if isinstance(each, ast.ClassDef)
        ]
        node = next((each for each in classes if each.name == part), None)
        if node is None:
            return {}
        body = node.body
    found = _read_assignments(body, lines)
    for function in body:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for parent in ast.walk(function):
                for branch in ("body", "orelse", "finalbody"):
                    statements = getattr(parent, branch, None)
                    if isinstance(statements, list):
                        made = _read_assignments(statements, lines, of_self=True)
                        found = {**made, **found}
    return found


# --- the public names ---------------------------------------------------------------------


class Reference:
    """Every public name with its members, and the links between them."""

    def __init__(self) -> None:
        self.modules = {name: importlib.import_module(name) for name in public_modules()}
        self.defects: list[str] = []
        self._homes: dict[int, str] = {}
        for module_name, module in self.modules.items():
            for name in module.__all__:
                value = getattr(module, name)
                if inspect.isclass(value) or inspect.isfunction(value):
                    self._homes.setdefault(id(value), f"{module_name}.{name}")
        self.entries: dict[str, Entry] = {}
        for module_name, module in self.modules.items():
            for name in sorted(module.__all__, key=str.lower):
                self._add(module_name, module, name)
        self._by_ending: dict[str, list[str]] = {}
        for full_name in self.entries:
            parts = full_name.split(".")
            for start in range(len(parts)):
                self._by_ending.setdefault(".".join(parts[start:]), []).append(full_name)

    def _add(self, module_name: str, module: types.ModuleType, name: str) -> None:
        value = getattr(module, name)
        full_name = f"{module_name}.{name}"
        home = self._homes.get(id(value), full_name)
        if inspect.isclass(value):
            kind = "exception" if issubclass(value, BaseException) else "class"
            owner: Any = value
        elif inspect.isfunction(value):
            kind, owner = "function", sys.modules[value.__module__]
        else:
            kind, owner = "data", self._module_of_data(module, name)
        entry = Entry(full_name, kind, value, owner, "" if home == full_name else home)
        self.entries[full_name] = entry
        if inspect.isclass(value) and not entry.documented_as:
            entry.members = list(self._members(full_name, value))
            self.entries.update({member.name: member for member in entry.members})

    @staticmethod
    def _module_of_data(module: types.ModuleType, name: str) -> types.ModuleType:
        """The module that assigns the constant: the package only imports it."""
        tree, _ = _module_tree(module.__name__)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and any((each.asname or each.name) == name for each in node.names)
            ):
                return importlib.import_module(node.module)
        return module

    def _members(self, full_name: str, cls: type) -> Iterator[Entry]:
        """Those that the class has itself or from a base class that is not public."""
        found: dict[str, Entry] = {}
        bases = [
            base
            for base in cls.__mro__
            if base is cls
            or (base.__module__.startswith("propchange") and id(base) not in self._homes)
        ]
        inherited = {
            name
            for base in cls.__mro__
            if base is not cls and id(base) in self._homes
            for name in vars(base)
        }
        for base in bases:
            names = [
                *vars(base),
                *inspect.get_annotations(base),
                *_class_assignments(base),
            ]
            for name in dict.fromkeys(names):
                if name.startswith("_") or name in found:
                    continue
                if base is not cls and name in inherited and name not in vars(base):
                    continue
                value = inspect.getattr_static(cls, name, None)
                found[name] = Entry(f"{full_name}.{name}", _kind(value), value, base)
        order = {"attribute": 0, "property": 1}
        yield from sorted(found.values(), key=lambda each: (order.get(each.kind, 2), each.last))

    def names_in(self, module: str) -> set[str]:
        """The names of a module that the reference has."""
        names = (each.rpartition(".") for each in self.entries)
        return {last for before, _, last in names if before == module}

    def members_of(self, name: str) -> set[str]:
        """The members of a class that the reference has, there or at a public base class."""
        entry = self.entries[name]
        bases = (self._homes.get(id(base), name) for base in entry.value.__mro__)
        return {member.last for home in {name, *bases} for member in self.entries[home].members}

    # --- links ---

    def find(self, target: str, module: str, cls: str = "", kinds: str = "") -> str | None:
        """The public name that a reference in this module and class means; None: nothing public.
        ``kinds``: those that it may have, any if empty."""

        def fits(name: str) -> bool:
            return name in self.entries and (not kinds or self.entries[name].kind in kinds.split())

        target = target.lstrip("~.").removesuffix("()")
        if target in self.modules and (not kinds or kinds == "module"):
            return target
        for name in (target, f"{cls}.{target}", f"{module}.{target}"):
            if fits(name):
                return name
        if target.startswith("propchange."):
            parts = target.split(".")
            for cut in range(len(parts) - 1, 0, -1):
                try:
                    value: Any = importlib.import_module(".".join(parts[:cut]))
                except ImportError:
                    continue
                value = getattr(value, parts[cut], None)
                home = self._homes.get(id(value))
                if home is not None:
                    full_name = ".".join([home, *parts[cut + 1 :]])
                    return full_name if fits(full_name) else None
                return None
        endings = [each for each in self._by_ending.get(target, []) if fits(each)]
        same_class = [each for each in endings if cls and each.startswith(f"{cls}.")]
        same_module = [
            each for each in endings if each.startswith(f"{module}.") and "." in each[len(module) :]
        ]
        first = [each for each in endings if not self.entries[each].documented_as]
        return next(iter([*same_class, *same_module, *first]), None)

    def link(self, text: str, entry_name: str, module: str, cls: str = "") -> str:
        """The docstring with links to public names."""

        def replace(found: re.Match[str]) -> str:
            target = found[2]
            title, _, inside = target.partition(" <")
            target = inside.rstrip(">") if inside else target
            known = self.find(target, module, cls, _KINDS[found[1]])
            shown = title if inside else target.lstrip("~.")
            if target.startswith("~"):
                shown = shown.rpartition(".")[2]
            if known is None:
                is_of_python = shown.split(".")[0] in sys.stdlib_module_names
                if not is_of_python and target not in MODULES:
                    self.defects.append(f"{entry_name}: {found[0]} is not a public name")
                return f"``{shown}``"
            role = "mod" if known in self.modules else "obj"
            if found[1] in {"meth", "func"} and not inside:
                shown += "()"
            return f":py:{role}:`{shown} <{known}>`"

        return _PAGE.sub(
            r":doc:`docs/\1.md </docs/\1>`", _ROLE.sub(replace, _with_code_blocks(text))
        )

    # --- pages ---

    def pages(self) -> dict[str, str]:
        """The text of each page by its file name."""
        made = {f"{name}.rst": self._page(name) for name in self.modules}
        made["propchange.Limits.rst"] = self._limits_page()
        return made

    def _page(self, module_name: str) -> str:
        lines = [f"``{module_name}``", "=" * (len(module_name) + 4), ""]
        lines += [f".. py:module:: {module_name}", ""]
        module = self.modules[module_name]
        lines += [self.link(inspect.cleandoc(module.__doc__ or ""), module_name, module_name), ""]
        entries = [
            entry
            for entry in self.entries.values()
            if entry.name.rpartition(".")[0] == module_name and entry.last in module.__all__
        ]
        lines += [".. list-table::", "   :widths: auto", "   :class: names", ""]
        for entry in entries:
            lines += [f"   * - :py:obj:`{entry.last} <{entry.name}>`"]
            lines += [f"     - {self._first_sentence(entry, module_name)}"]
        lines.append("")
        for entry in entries:
            if entry.name == "propchange.Limits":
                continue
            lines += [*self._describe(entry, module_name), ""]
        return "\n".join(lines)

    def _first_sentence(self, entry: Entry, module: str) -> str:
        text = self._text_of(entry, module).partition("\n\n")[0].replace("\n", " ")
        return re.split(r"(?<=[a-z`)\d][.:]) (?=[A-Z`:])", text, maxsplit=1)[0].rstrip(":")

    def _text_of(self, entry: Entry, module: str) -> str:
        if entry.documented_as:
            return f"The same as :py:obj:`~{entry.documented_as}`."
        cls = entry.name.rpartition(".")[0] if inspect.isclass(entry.owner) else ""
        return self.link(_docstring(entry), entry.name, module, cls)

    def _describe(self, entry: Entry, module: str) -> list[str]:
        if entry.documented_as:
            return [
                f".. py:{entry.kind}:: {entry.last}",
                "",
                textwrap.indent(self._text_of(entry, module), "   "),
            ]
        lines = []
        for number, signature in enumerate(self._signatures(entry)):
            start = f".. py:{entry.kind}:: " if number == 0 else " " * len(f".. py:{entry.kind}:: ")
            lines.append(f"{start}{entry.last}{signature}")
        lines += [f"   :{option}" for option in self._options(entry)]
        lines.append("")
        if entry.kind in {"class", "exception"}:
            bases = [
                f":py:obj:`~{self._homes[id(base)]}`"
                for base in entry.value.__mro__[1:]
                if id(base) in self._homes
            ]
            if bases:
                lines += [f"   Base: {bases[0]}", ""]
        text = self._text_of(entry, module)
        if text:
            lines += [textwrap.indent(text, "   "), ""]
        for member in entry.members:
            lines += [textwrap.indent(line, "   ") for line in self._describe(member, module)]
        return lines

    def _signatures(self, entry: Entry) -> list[str]:
        if entry.kind in {"class", "exception"}:
            shown = self._constructor(entry.value)
            return [shown]
        if entry.kind in {"function", "method"}:
            function = entry.value
            if isinstance(function, classmethod | staticmethod):
                function = function.__func__
            is_bound = entry.kind == "method" and not isinstance(entry.value, staticmethod)
            variants = typing.get_overloads(function) or [function]
            return [_signature(each, without_self=is_bound) for each in variants]
        return [""]

    def _constructor(self, cls: type) -> str:
        """The arguments, unless one that has to be given is of a class that is not public: then the
        programs do not make the objects."""
        if issubclass(cls, enum.Enum) or getattr(cls, "_is_protocol", False):
            return ""
        if cls.__name__ in _GIVEN:
            return ""
        try:
            signature = inspect.signature(cls)
        except (ValueError, TypeError):
            return ""
        for parameter in signature.parameters.values():
            if parameter.default is not parameter.empty:
                continue
            words = re.findall(r"[A-Z]\w+", str(parameter.annotation))
            for word in words:
                value = getattr(sys.modules[cls.__module__], word, None)
                is_ours = getattr(value, "__module__", "").startswith("propchange")
                if inspect.isclass(value) and is_ours and id(value) not in self._homes:
                    return ""
        return _signature(cls, without_self=False, without_return=True)

    def _options(self, entry: Entry) -> Iterator[str]:
        value = entry.value
        if entry.kind in {"function", "method"}:
            inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if inspect.iscoroutinefunction(inner):
                yield "async:"
            if isinstance(value, classmethod):
                yield "classmethod:"
            if isinstance(value, staticmethod):
                yield "staticmethod:"
        elif entry.kind == "property":
            getter = value.fget if isinstance(value, property) else value.func
            annotation = getter.__annotations__.get("return", "")
            if annotation:
                yield f"type: {_annotation_text(annotation)}"
        elif entry.kind == "attribute":
            assigned = _class_assignments(entry.owner).get(entry.last, Assigned())
            annotation = re.sub(r"^(ClassVar|Final)\[(.*)\]$", r"\2", assigned.annotation)
            if annotation:
                yield f"type: {annotation}"
            default = getattr(entry.owner, "__dataclass_fields__", {}).get(entry.last)
            if default is not None and default.default is not MISSING:
                yield f"value: {_value_text(default.default)}"
            if isinstance(value, enum.Enum) and isinstance(value.value, str):
                yield f"value: {value.value!r}"
        elif entry.kind == "data" and isinstance(value, str):
            yield f"value: {value!r}"

    # --- Limits ---

    def _limits_page(self) -> str:
        """The fields of Limits as a table for each group of the source."""
        limits = self.entries["propchange.Limits"]
        members = {member.last: member for member in limits.members}
        _, lines = _module_tree(limits.value.__module__)
        groups: dict[str, list[Entry]] = {}
        group = ""
        for line in lines:
            if found := re.fullmatch(r"    # --- (.+) ---", line):
                group = found[1]
            elif (found := re.match(r"    (\w+): ", line)) and found[1] in members:
                groups.setdefault(group, []).append(members.pop(found[1]))
        page = ["``propchange.Limits``", "=" * 21, "", ".. py:currentmodule:: propchange", ""]
        page += [".. py:class:: Limits(**fields)", ""]
        page += [textwrap.indent(self._text_of(limits, "propchange"), "   "), ""]
        for member in members.values():  # methods
            page += [textwrap.indent(line, "   ") for line in self._describe(member, "propchange")]
        for title, fields in groups.items():
            heading = title[0].upper() + title[1:]
            page += ["", heading, "-" * len(heading), ""]
            page += [".. list-table::", "   :widths: 34 66", "   :class: limits", ""]
            for member in fields:
                described = [f".. py:attribute:: Limits.{member.last}"]
                described += [f"   :{option}" for option in self._options(member)]
                text = self._text_of(member, "propchange")
                page += [
                    f"   * - {described[0]}",
                    *(f"       {each}" for each in described[1:]),
                    "",
                ]
                page += ["     - " + textwrap.indent(text, "       ").lstrip(), ""]
        return "\n".join(page)


def _with_code_blocks(text: str) -> str:
    """Mark what is indented below a paragraph as a program."""
    made: list[str] = []
    is_inside = False
    for line in text.splitlines():
        if line.startswith("    ") and not is_inside and made and not made[-1]:
            paragraph = next((each for each in reversed(made) if each), "")
            if not re.match(r"[-*] |\s|\.\. |\d+\. ", paragraph):
                opening = made[-2].removesuffix(":") if made[-2].endswith("::") else made[-2]
                made[-2:] = [opening, "", ".. code-block:: python", ""]
            is_inside = True
        elif line and not line.startswith(" "):
            is_inside = False
        made.append(line)
    return "\n".join(made)


def _kind(value: Any) -> str:
    if isinstance(value, property | functools.cached_property):
        return "property"
    if isinstance(value, classmethod | staticmethod | types.FunctionType):
        return "method"
    return "attribute"


def _docstring(entry: Entry) -> str:
    value, owner = entry.value, entry.owner
    if entry.kind == "attribute":
        return _class_assignments(owner).get(entry.last, Assigned()).text
    if entry.kind == "data":
        tree, lines = _module_tree(owner.__name__)
        return _read_assignments(tree.body, lines).get(entry.last, Assigned()).text
    if isinstance(value, functools.cached_property):
        value = value.func
    if inspect.isclass(value):
        text = value.__dict__.get("__doc__") or ""
        # What dataclass() writes is the signature.
        text = "" if text.startswith(f"{value.__name__}(") else inspect.cleandoc(text)
        # The options of a class with many are described in full by __init__.
        options = getattr(value.__dict__.get("__init__"), "__doc__", None)
        return f"{text}\n\n{inspect.cleandoc(options)}" if text and options else text
    if isinstance(value, types.FunctionType | classmethod | staticmethod | property):
        # What a method inherits, if it has none: only the class knows it.
        if inspect.isclass(owner):
            value = getattr(owner, entry.last, value)
        return inspect.getdoc(value) or ""
    return inspect.getdoc(value) or ""


class _Shown(str):
    """A text that `inspect` puts into a signature as it stands."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _annotation_text(annotation: Any) -> str:
    if isinstance(annotation, typing.ForwardRef):  # in a NamedTuple
        annotation = annotation.__forward_arg__
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.replace("typing.", "").replace("collections.abc.", "")


def _value_text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if inspect.isfunction(value) or inspect.isclass(value):
        return "…" if "<" in value.__qualname__ else value.__qualname__
    text = repr(value)
    return "…" if text.startswith("<") else text


def _signature(function: Any, *, without_self: bool, without_return: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if without_self else 0 :]
    shown = []
    for parameter in parameters:
        if parameter.name.startswith("_"):
            continue
        if parameter.annotation is not parameter.empty:
            parameter = parameter.replace(annotation=_Shown(_annotation_text(parameter.annotation)))
        if parameter.default is not parameter.empty:
            parameter = parameter.replace(default=_Shown(_value_text(parameter.default)))
        shown.append(parameter)
    returned: Any = signature.return_annotation
    if without_return or returned is signature.empty:
        returned = signature.empty
    else:
        returned = _Shown(_annotation_text(returned))
    # Not signature.replace(): the text of a short signature leaves out the options.
    return str(inspect.Signature(shown, return_annotation=returned))


def write() -> Reference:
    """Write the pages. Those that have not changed keep their time, so that Sphinx skips them."""
    reference = Reference()
    FOLDER.mkdir(exist_ok=True)
    pages = reference.pages()
    for old in set(FOLDER.glob("*.rst")) - {FOLDER / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    return reference


if __name__ == "__main__":
    found = sorted(set(write().defects))
    print(*found, sep="\n")
    sys.exit(1 if found else 0)
