# SPDX-License-Identifier: MIT
"""Interactive editors, driven as a person drives them: open, edit, save, edit, save again, quit.

Each reports what it showed when it saved.  All run without any configuration of a user's.
"""
import pathlib
import re
from dataclasses import dataclass

from terminal import Terminal, TerminalError

ESC = "\x1b"


def ctrl(char):
    return chr(ord(char.upper()) & 0x1f)


@dataclass
class Outcome:
    """What a program made of a save: whether it believes that it went well, and what it said."""
    ok: bool
    said: str

    def __bool__(self):
        return self.ok


class Editor:
    """One editor with config.json open.

    saved: what it shows after a good save; complaint: after anything else.  Both are looked for
    on the whole screen, so neither may be there before the keys of a save are typed.
    """
    command = ()
    saved = complaint = None
    leaves = frozenset()  # what it leaves beside the file, on any file system
    ignores = False       # whether it does not look at what close returns

    def __init__(self, place):
        self.screen = Terminal(place.work, [*self.command, place.file], cwd=place.folder,
                               env=place.env)
        try:
            self.wait(lambda shown: place.marker in shown, "the text")
        except BaseException:
            self.screen.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.screen.close()

    def type(self, keys):
        self.screen.type(keys)

    def wait(self, check, what=""):
        return self.screen.wait(check, f"{type(self).__name__}: {what}")

    def wait_for(self, pattern):
        return self.wait(lambda shown: re.search(pattern, shown, re.M), pattern)

    def edit(self, old, new):
        """Replace old by new in the buffer, and see it there."""
        self.replace(old, new)
        self.wait(lambda shown: new in shown and not self.has_said_something(shown), new)

    def has_said_something(self, shown):
        return re.search(self.saved, shown) or re.search(self.complaint, shown)

    def save(self):
        self.ask_to_save()
        shown = self.wait(self.has_said_something, "the end of a save")
        found = re.search(self.complaint, shown)
        return Outcome(not found, (found or re.search(self.saved, shown)).group())

    def replace(self, old, new):
        raise NotImplementedError

    def ask_to_save(self):
        raise NotImplementedError

    def quit(self):
        """As after a day's work: nothing is unsaved."""
        self.type(self.quit_keys)
        status = self.screen.wait_for_end()
        if status is None:
            raise TerminalError(f"{type(self).__name__} did not quit:\n{self.screen.screen()}")
        assert status == 0, status

    def abandon(self):
        """Quit although something is unsaved: each question is answered once."""
        self.type(self.quit_keys)
        questions = dict(self.unsaved)

        def has_ended(shown):
            for question in [one for one in questions if re.search(one, shown)]:
                self.type(questions.pop(question))
            return self.screen.has_ended()

        self.wait(has_ended, "the end")
        assert self.screen.wait_for_end() is not None


class Vim(Editor):
    command = ("vim",)
    saved = r'"[^"\n]*" [^\n]*written'
    # A question needs an answer, and is none of what a save should lead to.
    complaint = r"[EW]\d+:[^\n]*|WARNING:[^\n]*|ATTENTION"
    quit_keys = ":q\r"
    edits = 0

    def replace(self, old, new):
        self.run(f"%s/{old}/{new}/")

    def undo(self):
        self.run("undo")

    def run(self, command):
        """A command of vim's, without what it says.

        The colon ends whatever message still waits for a key.
        """
        self.edits += 1
        self.type(f":silent execute '{command}'"
                  f' | redraw | echo "edit {self.edits}"\r')
        self.wait_for(f"^edit {self.edits}")

    def ask_to_save(self):
        self.type(":w\r")

    def insist(self):
        """Save although the file has changed meanwhile: vim asks before that."""
        self.run("redraw!")  # what it has said before is not the answer
        self.ask_to_save()
        self.wait_for("Do you really want to write")
        self.type("y")
        shown = self.wait_for(r'"[^"\n]*" [^\n]*written|E\d+:[^\n]*')
        self.run("redraw!")
        return Outcome(not re.search(r"E\d+:", shown), shown)

    def is_modified(self):
        self.edits += 1
        self.type(f':echo "edit {self.edits}:" . &modified\r')
        return re.search(r"\d+:(\d)", self.wait_for(f"edit {self.edits}:\\d")).group(1) == "1"

    def abandon(self):
        self.type(":q!\r")
        assert self.screen.wait_for_end() is not None, self.screen.screen()


class VimWithoutBackup(Vim):
    command = ("vim", "-c", "set nobackup nowritebackup")


class VimCopying(Vim):
    command = ("vim", "-c", "set backupcopy=yes")


class VimRenaming(Vim):
    command = ("vim", "-c", "set backupcopy=no")


class Neovim(Vim):
    command = ("nvim",)


class Nano(Editor):
    command = ("nano",)
    saved = r"\[ Wrote \d+ lines? \]"
    complaint = r"\[ Error[^\]]*\]|\[ (?!Writing|Making|Wrote|Read|Replaced)[^\]]*\]|Save anyway[^\n]*|continue saving[^\n]*"
    quit_keys = ctrl("X")
    unsaved = [("Save modified buffer", "n")]

    def replace(self, old, new):
        self.type(ctrl("\\"))
        self.wait_for(r"Search \(to replace\)")
        self.type(old + "\r")
        self.wait_for("Replace with")
        self.type(new + "\r")
        self.wait_for("Replace this instance")
        self.type("a")
        self.wait_for(r"\[ Replaced 1 occurrence \]")

    def ask_to_save(self):
        self.type(ctrl("O"))
        self.wait_for("(?i)file name to write")
        self.type("\r")


class NanoWithBackup(Nano):
    command = ("nano", "-B")
    leaves = frozenset({"config.json~"})


class Micro(Editor):
    command = ("micro",)
    saved = r"Saved [^\n]*config\.json"
    complaint = r"(?i)(?:close|error|fsync|write|rename)[^\n]*config\.json: [^\n]*|\(y,n[^\n]*"
    quit_keys = ctrl("Q")
    unsaved = [("Save changes", "n")]

    def replace(self, old, new):
        self.type(ctrl("E"))
        self.wait_for(r"\n> ?$")
        self.type(f"replaceall {old} {new}\r")
        self.wait_for("Replaced 1 occurrence")

    def ask_to_save(self):
        self.type(ctrl("S"))


class Kakoune(Editor):
    command = ("kak",)
    saved = r"SAVED"
    complaint = r"error[^\n]*|reload [^\n]*\?"
    quit_keys = ":quit\r"
    ignores = True

    def replace(self, old, new):
        self.type(f"%s{old}\rc{new}{ESC}")
        self.wait(lambda shown: new in shown and "insert" not in shown.splitlines()[-1])

    def ask_to_save(self):
        # It says nothing after a save; the echo comes only after a good one.
        self.type(":write; echo SAVED\r")

    unsaved = [("modified", ":quit!\r")]


class Joe(Editor):
    command = ("joe",)
    saved = r"File config\.json saved"
    complaint = r"(?i)error[^\n]*|could not[^\n]*|file on disk is newer[^\n]*|\(y,n[^\n]*"
    quit_keys = ctrl("K") + "q"
    leaves = frozenset({"config.json~"})
    ignores = True
    unsaved = [(r"(?i)lose changes|save changes", "n")]

    def replace(self, old, new):
        self.type(ctrl("K") + "u" + ctrl("K") + "f")
        self.wait_for(r"Find")
        self.type(old + "\r")
        self.wait_for(r"\(I\)gnore")
        self.type("r\r")
        self.wait_for("Replace with")
        self.type(new + "\r")
        self.wait_for(r"Replace \(Y\)es")
        self.type("r")

    def ask_to_save(self):
        self.type(ctrl("K") + "d")
        self.wait_for("Name of file to save")
        self.type("\r")


class Mg(Editor):
    command = ("mg",)
    saved = r"Wrote [^\n]*config\.json"
    complaint = r"(?i)[^\n]*(?:error|unable|cannot|changed on disk|anyway)[^\n]*"
    quit_keys = ctrl("X") + ctrl("C")
    leaves = frozenset({"config.json~"})
    unsaved = [(r"Save file", "n"), ("really exit", "yes\r")]

    def save(self):
        """It says nothing of an error; only the mode line shows that the buffer is unsaved."""
        self.ask_to_save()
        # To the first line, after the save: the mode line says so when it is drawn anew.
        self.type(ESC + "<")
        shown = self.wait_for(r"-Mg: config\.json .*--L1-")
        mode_line = next(line for line in shown.splitlines() if "-Mg: " in line)
        return Outcome("**-Mg" not in mode_line, mode_line)

    def replace(self, old, new):
        self.type(ESC + "<" + ESC + "%")
        self.wait_for("Query replace")
        self.type(old + "\r")
        self.wait_for("with:")
        self.type(new + "\r")
        self.wait_for("Query replacing")
        self.type("!")
        self.wait_for("Replaced 1 occurrence")

    def ask_to_save(self):
        self.type(ctrl("X") + ctrl("S"))


class Emacs(Editor):
    command = ("emacs", "-nw")
    saved = r"Wrote [^\n]*config\.json"
    complaint = (r"[^\n]*(?:[Ww]rite error|[Ee]rror:|\(file-error|locked|on disk|since visited"
                 r"|[Ss]ave anyway|Opening output)[^\n]*")
    quit_keys = ctrl("X") + ctrl("C")
    leaves = frozenset({"config.json~"})
    unsaved = [(r"Save file", "n"), ("exit anyway", "yes\r")]

    def __init__(self, place):
        # No compiling of its own Lisp in the background: that goes on after the end.
        early = pathlib.Path(place.env["HOME"], ".emacs.d", "early-init.el")
        early.parent.mkdir(exist_ok=True)
        early.write_text("(setq native-comp-deferred-compilation nil)\n")
        super().__init__(place)

    def replace(self, old, new):
        self.type(ESC + "<" + ESC + "xreplace-string\r")
        self.wait_for("Replace string")
        self.type(old + "\r")
        self.wait_for("with:")
        self.type(new + "\r")
        self.wait_for("Replaced 1 occurrence")

    def ask_to_save(self):
        self.type(ctrl("X") + ctrl("S"))


EDITORS = {
    "vim": Vim,
    "vim-nowritebackup": VimWithoutBackup,
    "vim-backupcopy-yes": VimCopying,
    "vim-backupcopy-no": VimRenaming,
    "nvim": Neovim,
    "nano": Nano,
    "nano-B": NanoWithBackup,
    "micro": Micro,
    "kakoune": Kakoune,
    "joe": Joe,
    "mg": Mg,
    "emacs": Emacs,
}
