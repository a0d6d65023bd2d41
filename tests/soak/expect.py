# SPDX-License-Identifier: MIT
"""What the account must hold: the model of a soak, apart from who does the work.

A writer owns its stacks, so what each must be is known exactly: what the last save wrote that
went well and, for each save since then that was refused or of which nothing is known, that or
the one before.  Never a mixture.
"""
import json

from model import body_of
from saving import HOST, editable

def body_behind(stack):
    """The body of a stack as the account has it: besides its record there are two members."""
    return body_of({key: value for key, value in stack.items()
                    if key not in ("dependencies", "deleted")})


def text_of(record):
    return json.dumps(record, indent=2).encode() + b"\n"


def marked(record, mark):
    """The record with the mark in several fields, and of another length: half of one text and
    half of another has two marks or is no JSON."""
    number = int(mark.rsplit("-", 1)[1])
    server = dict(record.get("server", {}), hostURI=HOST + mark)
    return dict(record, note=mark, twin=mark, tags=[mark] * (1 + number % 7), server=server)


def mark_of(record):
    """The mark that all fields have, or None: a mixture."""
    marks = {record.get("note"), record.get("twin"), *record.get("tags", []),
             record.get("server", {}).get("hostURI", "").removeprefix(HOST)}
    return marks.pop() if len(marks) == 1 and record.get("tags") else None


def fresh(name, number):
    """A stack for the account as it is at the start."""
    return marked(editable(name, number), f"{name}-0")


class Owned:
    """A stack that one writer owns, and what it may hold."""

    def __init__(self, name, stack_id, record):
        self.name, self.id = name, stack_id
        self.allowed = [body_behind(record)]
        self.saves = 0

    def next_mark(self):
        self.saves += 1
        return f"{self.name}-{self.saves}"

    def saved(self, body):
        self.allowed = [body]

    def perhaps_saved(self, body):
        if body not in self.allowed:
            self.allowed.append(body)

    def look(self, record):
        """What is wrong with the record that the account has, or None.  From then on it is that."""
        body = body_behind(record)
        if body not in self.allowed:
            return (f"{self.name}: the account has {shown(body)}, and not one of "
                    f"{[shown(one) for one in self.allowed]}")
        self.allowed = [body]
        return None


def shown(body):
    return {key: body.get(key) for key in ("note", "twin", "server.hostURI")}
