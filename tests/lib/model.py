# SPDX-License-Identifier: MIT
"""An account and a mount of it as plain values: what each step must lead to.

Written from the rules alone (base, merge, what is shown), so that it can be wrong only by itself.
Every record has flat fields; a body is what would be sent of it, as a dict.
"""
import json

READ_ONLY = ("_id", "createdAt", "lastModified")


def body_of(record):
    """The fields that count: no _id, dates or masks; server's members one by one."""
    fields = {key: value for key, value in record.items() if key not in READ_ONLY}
    server = fields.pop("server", {})
    fields.update({f"server.{key}": value for key, value in server.items()
                   if key != "systemToken"})
    return fields


def merge(base, ours, theirs):
    """(what comes of it, the fields in conflict)"""
    result, conflicts = {}, []
    for key in [*ours, *(key for key in theirs if key not in ours),
                *(key for key in base if key not in ours and key not in theirs)]:
        was, mine, other = base.get(key), ours.get(key), theirs.get(key)
        if mine == was or mine == other:
            value = other
        elif other == was:
            value = mine
        else:
            conflicts.append(key)
            continue
        if value is not None:
            result[key] = value
    return result, conflicts


class Version:
    """One state of a record: its body, and whether a save of the mount's made it of the one
    before."""

    def __init__(self, raw, own, by=None):
        self.raw = raw
        self.by = by  # the process whose save that was
        self.record = json.loads(raw)
        self.body = body_of(self.record)
        self.modified = self.record["lastModified"]
        self.own = own


SAVED_PER_STACK = 8
REFUSED_PER_STACK = 8


class Stack:
    """A stack as a mount knows it."""

    def __init__(self, raw):
        self.served = [Version(raw, own=False)]  # the newest is what is shown
        # (process, modified): the text's body and which PUT it was, 0: none; the oldest first
        self.saved = {}
        self.sent = 0
        self.refused = {}  # process: its text that was refused, until what comes next
        self.token = None

    @property
    def shown(self):
        return self.served[-1]

    def serve(self, raw, own=False, by=None):
        version = Version(raw, own, by)
        if version.modified != self.shown.modified or version.body != self.shown.body:
            self.served.append(version)

    def save(self, process, body, modified, sent):
        self.refused.pop(process, None)
        _, before = self.saved.pop((process, modified), (None, 0))
        if len(self.saved) == SAVED_PER_STACK:
            del self.saved[next(iter(self.saved))]
        self.sent += sent
        self.saved[process, modified] = body, self.sent if sent else before

    def last_saved(self, process, modified):
        """What the process has saved last, if that named the same version; what was no PUT is not
        one that it goes on from."""
        body, sent = self.saved.get((process, modified), (None, 0))
        newer = any(who == process and other > sent for (who, _), (_, other) in self.saved.items())
        return None if modified is None or newer else body

    def refuse(self, process, text):
        self.refused.pop(process, None)
        if len(self.refused) == REFUSED_PER_STACK:
            del self.refused[next(iter(self.refused))]
        self.refused[process] = text

    def undoes(self, process, text, version):
        """Whether the text may undo that save: of others none that comes after a refusal, where it
        may be a backup put back."""
        refused = self.refused.get(process)
        return (version.own and
                (refused is None or text.startswith(refused) or version.by == process))

    def base(self, process, text, body, modified):
        """What a text is an edit of; None when that is not known; "fresh" when it says none."""
        if self.last_saved(process, modified) is not None:
            return self.last_saved(process, modified)
        for number in range(len(self.served) - 1, -1, -1):
            version = self.served[number]
            if (version.body, version.modified) == (body, modified):
                while number + 1 < len(self.served) and \
                        self.undoes(process, text, self.served[number + 1]):
                    number += 1
                return self.served[number].body
        if modified is None:
            return "fresh"
        for version in reversed(self.served):
            if version.modified == modified:
                return version.body
        return None

    def outcome(self, process, text, fresh):
        """("sent", body) or ("nothing", None) or ("conflict", fields) for a save of text.

        fresh: the record that the service has now, as a Version.
        """
        record = json.loads(text)
        body, modified = body_of(record), record.get("lastModified")
        base = self.base(process, text, body, modified)
        if base == "fresh":
            base = fresh.body
        if body == fresh.body:
            return "nothing", None
        if base is None:
            return "conflict", [key for key in {*body, *fresh.body}
                                if body.get(key) != fresh.body.get(key)]
        merged, conflicts = merge(base, body, fresh.body)
        if conflicts:
            return "conflict", conflicts
        if merged == fresh.body:
            return "nothing", None
        return "sent", merged
