"""Turns README.md into what tests/shell/58-readme.sh runs.

usage: readme.py script README PORT    a shell script of all ```sh blocks; 8080 becomes PORT, and `make run` is left out
       readme.py c README              the ```c block
       readme.py links README          the files that are linked to

In a block, lines that begin with "# → " are what the command before them prints."""
import re
import shlex
import sys

SHOWN = "# → "
TELL = r"""
expect() {   # WANTED COMMAND
    found=$(eval "$2") || { echo "README: this fails: $2" >&2; exit 1; }
    [ "$found" = "$1" ] || { printf 'README: %s\nprints:\n%s\nREADME says:\n%s\n' "$2" "$found" "$1" >&2; exit 1; }
}
"""


def blocks(text, kind):
    return re.findall(r"^```%s\n(.*?)^```$" % kind, text, re.M | re.S)


def commands(block):
    """(command, what it prints or None), in order."""
    lines = block.splitlines()
    while lines:
        command, shown = lines.pop(0), []
        while command.endswith("\\"):
            command += "\n" + lines.pop(0)
        while lines and lines[0].startswith(SHOWN):
            shown.append(lines.pop(0)[len(SHOWN):])
        yield command, "\n".join(shown) if shown else None


def script(text, port):
    out = ["set -euo pipefail", TELL]
    for block in blocks(text, "sh"):
        for command, shown in commands(block):
            command = command.replace("8080", port)
            if command == "make run":
                continue
            out.append("echo %s" % shlex.quote("$ " + command))
            out.append(command if shown is None else "expect %s %s" % (shlex.quote(shown), shlex.quote(command)))
    return "\n".join(out)


def main():
    what, text = sys.argv[1], open(sys.argv[2], encoding="utf-8").read()
    if what == "script":
        print(script(text, sys.argv[3]))
    elif what == "c":
        print(*blocks(text, "c"), sep="\n")
    else:
        print(*re.findall(r"\]\(([^)]+)\)", text), sep="\n")


main()
