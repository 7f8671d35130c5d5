#!/usr/bin/env python3
"""Writes stagewire.1 from the program's own description of its commands, `stagewire --experimental-dump-help`.

    generate.py [--check] PROGRAM

With --check nothing is written: exits 1 when the page is not what would be written.

swift-argument-parser has a generator of its own (`swift package plugin generate-manual`). It is not used: it joins the
lines of examples, writes the day's date, so that no two days agree, has no place for exit status, environment and
files, and builds the package and itself in release mode first, which takes minutes.
"""

import datetime
import difflib
import json
import pathlib
import re
import subprocess
import sys
import textwrap

PAGE = pathlib.Path(__file__).resolve().parent / "stagewire.1"

# What no command knows of itself. mdoc(7), a sentence a line.
HEAD = r"""
.Sh DESCRIPTION
.Nm
runs a streaming pipeline on one machine whose stages are programs in any
language.
A broker starts their workers, routes records among them over a Unix socket, and
ends when the sources have finished and everything is settled.
The pipeline is a YAML file.
"""

TAIL = r"""
.Sh ENVIRONMENT
.Bl -tag -width 6n
.It Ev XDG_RUNTIME_DIR
The directory under which sockets lie, when it is an absolute path.
.It Ev NO_COLOR
When it is set and not empty there is no colour, unless
.Fl \-color Cm always
asks for it.
.It Ev TERM
A terminal called
.Dq dumb
gets neither colour nor a progress line.
.El
.Pp
Workers that the broker starts find these, and no other variables whose names
begin with STAGEWIRE_ but what the pipeline gives them:
.Bl -tag -width 6n
.It Ev STAGEWIRE_SOCKET
Where to connect.
.It Ev STAGEWIRE_STAGE , Ev STAGEWIRE_INSTANCE
Who they are.
.It Ev STAGEWIRE_TOKEN
What proves it, in hexadecimal.
.El
.Sh FILES
.Bl -tag -width 6n
.It Pa $XDG_RUNTIME_DIR/stagewire/PIPELINE.sock
Where the broker of a pipeline listens for workers.
.It Pa /tmp/stagewire-UID/PIPELINE.sock
The same without
.Ev XDG_RUNTIME_DIR .
.It Pa PIPELINE.control.sock
The control socket, beside the workers' one.
.El
.Sh EXIT STATUS
.Bl -tag -width 6n
.It 0
It worked; for
.Cm run :
the pipeline is complete, or was drained after a signal.
.It 1
It failed: the run cannot go on, a frame is malformed, a journal is damaged.
.It 2
The command line or the pipeline file is wrong.
.It 3
The machine lacks something: a socket cannot be bound or nobody answers on it, a
command cannot be started.
.It 128+n
Signal n cut the run short: a second one came, or the drain limit passed.
.El
.Pp
With
.Fl \-json
every command prints one object to standard output, whatever happens:
.Bd -literal -offset indent
{"stagewire": "0.1.0", "command": "run", "ok": true, "result": {...}}
{"stagewire": "0.1.0", "command": "run", "ok": false,
 "errors": [{"code": "environment", "message": "..."}]}
.Ed
.Pp
A failure may have a result, too: what there is of it.
.Sh EXAMPLES
Check a pipeline, then run it and keep the figures:
.Bd -literal -offset indent
stagewire check pipeline.yaml &&
stagewire run pipeline.yaml \-\-json > summary.json
.Ed
.Pp
Under a supervisor, with a structured log:
.Bd -literal -offset indent
stagewire run pipeline.yaml \-\-keep\-running \-\-log\-format json
.Ed
.Pp
Completions for bash, when
.Ql make install
did not install them:
.Bd -literal -offset indent
eval "$(stagewire \-\-generate\-completion\-script bash)"
.Ed
.Sh SEE ALSO
.Xr socat 1 ,
.Xr unix 7
.Pp
In the source tree:
.Pa docs/CONFIGURATION.md
(the pipeline file),
.Pa docs/PROTOCOL.md
(what workers speak).
"""


def escaped(text: str) -> str:
    text = text.replace("\\", "\\e")
    # An option's hyphens are those of ASCII, to be copied into a shell.
    text = re.sub(r"(?<![\w-])--?(?=[a-z])[a-z-]*", lambda match: match[0].replace("-", "\\-"), text)
    text = re.sub(r"`([^`]+)`", lambda match: "\\fB" + match[1] + "\\fP", text)
    return "\\&" + text if text[:1] in (".", "'") else text


def literal(lines: list[str]) -> list[str]:
    plain = [line.replace("\\", "\\e").replace("-", "\\-") for line in textwrap.dedent("\n".join(lines)).split("\n")]
    guarded = ["\\&" + line if line[:1] in (".", "'") else line for line in plain]
    return [".Bd -literal -offset indent", *guarded, ".Ed"]


def sentences(text: str) -> list[str]:
    """Filled text: a sentence begins a line, lines fit 80 columns."""
    lines = []
    for sentence in re.split(r"(?<=[.!?]) +(?=[A-Z`])", " ".join(text.split())):
        lines += textwrap.wrap(escaped(sentence), 80, break_long_words=False, break_on_hyphens=False)
    return ["\\&" + line if line[0] in ".'" else line for line in lines]


def prose(text: str) -> list[str]:
    """Paragraphs; indented lines are literal, and a line that ends with a colon above them is their heading."""
    page = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")) if text.strip() else []:
        lines = paragraph.split("\n")
        filled = [line for line in lines if not line.startswith("  ")]
        indented = [line for line in lines if line.startswith("  ")]
        if filled:
            page.append(".Pp")
        if filled[:1] in (["EXAMPLES:"], ["EXAMPLE:"]):
            page.append(".Sy " + filled.pop(0).rstrip(":").capitalize() + " :")
        page += sentences(" ".join(filled))
        if indented:
            page += literal(indented)
    return page


def names(argument: dict) -> str:
    """`Fl h , Fl \\-help` and the like."""
    flags = []
    for name in argument.get("names", []):
        flags.append("Fl " + ("\\-" if name["kind"] == "long" else "") + name["name"].replace("-", "\\-"))
    return " , ".join(flags)


def values(argument: dict) -> list[str]:
    if "allValues" in argument and argument["kind"] == "option":
        default = argument.get("defaultValue")
        marked = [value + " (the default)" if value == default else value for value in argument["allValues"]]
        return sentences(f"One of {', '.join(marked)}.")
    if "defaultValue" in argument:
        return sentences(f"{argument['defaultValue']} by default.")
    return []


def shown(command: dict) -> list[dict]:
    """Arguments without those that every command has."""
    everywhere = {"version", "help"}
    return [a for a in command.get("arguments", []) if a["shouldDisplay"] and
            (a["kind"] == "positional" or a["preferredName"]["name"] not in everywhere)]


def synopsis(path: list[str], command: dict) -> list[str]:
    lines = [".Nm", ".Cm " + " ".join(path)]
    for argument in shown(command):
        value = argument["valueName"]
        if argument["kind"] == "positional":
            text = "Ar " + value
        else:
            text = "Fl " + ("\\-" if argument["preferredName"]["kind"] == "long" else "")
            text += argument["preferredName"]["name"].replace("-", "\\-")
            text += " Ar " + value if argument["kind"] == "option" else ""
        text += " ..." if argument["isRepeating"] else ""
        lines.append((".Op " if argument["isOptional"] else ".") + text)
    return lines


def section(path: list[str], command: dict) -> list[str]:
    page = [".Ss stagewire " + " ".join(path), *synopsis(path, command), ".Pp", *sentences(command["abstract"])]
    discussion = command.get("discussion", "")
    # Examples come last, behind the options that they use.
    examples = re.search(r"^EXAMPLES?:$", discussion, re.MULTILINE)
    end = examples.start() if examples else len(discussion)
    page += prose(discussion[:end])
    arguments = shown(command)
    if arguments:
        page += [".Bl -tag -width 6n"]
        for argument in arguments:
            value = " Ar " + argument["valueName"] if argument["kind"] != "flag" else ""
            page.append(".It " + (names(argument) + value).strip())
            page += sentences(argument.get("abstract", "")) + values(argument)
            page += sentences(argument["discussion"]) if argument.get("discussion") else []
        page.append(".El")
    return page + prose(discussion[end:])


def leaves(command: dict, path: list[str]):
    """The commands that do something, with what is typed for them."""
    children = [c for c in command.get("subcommands", []) if c["shouldDisplay"] and c["commandName"] != "help"]
    for child in children:
        yield from leaves(child, path + [child["commandName"]])
    if path and not children:
        yield path, command


def page(root: dict, version: str, date: str) -> str:
    commands = list(leaves(root, []))
    lines = [
        '.\\" Written by docs/man/generate.py: `make man`.',
        f".Dd {date}", ".Dt STAGEWIRE 1", f".Os Stagewire {version}",
        ".Sh NAME", ".Nm stagewire", ".Nd " + root["abstract"][0].lower() + root["abstract"][1:].rstrip("."),
        ".Sh SYNOPSIS",
    ]
    for path, _ in commands:
        lines += [".Nm", ".Cm " + " ".join(path), ".Op Ar ..."]
    lines += [".Nm", ".Op Fl \\-version", ".Op Fl \\-help"]
    lines += [HEAD.strip()] + (prose(root["discussion"]) if root.get("discussion") else [])
    lines += [".Pp", "Every command explains itself with", ".Fl \\-help .", ".Sh COMMANDS"]
    for path, command in commands:
        lines += section(path, command)
    return "\n".join(lines) + TAIL


def main() -> None:
    check = sys.argv[1:2] == ["--check"]
    program = sys.argv[-1]
    if len(sys.argv) != (3 if check else 2):
        sys.exit(__doc__)

    def output(*arguments: str) -> str:
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

    root = json.loads(output("--experimental-dump-help"))["command"]
    version = json.loads(output("version", "--json"))["result"]["version"]
    old = PAGE.read_text() if PAGE.exists() else ""
    # The date is that of the last change: writing the same again leaves no difference.
    written = re.search(r"^\.Dd (.*)$", old, re.MULTILINE)
    new = page(root, version, written[1] if written else "")
    if new == old:
        return
    if check:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "now", "generated"))
        sys.exit(f"not ok: {PAGE.name} is not what the program says of itself; run `make man`")
    today = datetime.date.today()
    PAGE.write_text(page(root, version, f"{today:%B} {today.day}, {today.year}"))


if __name__ == "__main__":
    main()
