"""zulip-terminal under a pseudo-terminal: keys go in, and what its screen shows comes out."""

import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time

import pexpect
import pyte

COLUMNS, ROWS = 140, 40
WAIT_S_MAX = 60

SETTINGS = """
[zterm]
theme=zt_dark
autohide=no_autohide
footer=enabled
notify=disabled
"""


class Terminal:
    """The terminal client of one user, started."""

    def __init__(self, zuliprc):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="squall-zulip-term-"))
        own = self.home / "zuliprc"
        own.write_text(pathlib.Path(zuliprc).read_text() + SETTINGS)
        own.chmod(0o600)
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        program = str(pathlib.Path(sys.executable).with_name("zulip-term"))
        environment = {**os.environ, "TERM": "xterm-256color", "HOME": str(self.home), "LANG": "C.UTF-8"}
        arguments = ["-c", str(own), "--color-depth", "256"]
        self.process = pexpect.spawn(program, arguments, dimensions=(ROWS, COLUMNS), env=environment, cwd=self.home)
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, words):
        """Waits until the screen shows these words."""
        with self.changed:
            if not self.changed.wait_for(lambda: words in self.text, WAIT_S_MAX):
                raise AssertionError(f"the screen never showed {words!r}:\n{self.text}")

    def shows_no_more(self, words):
        with self.changed:
            if not self.changed.wait_for(lambda: words not in self.text, WAIT_S_MAX):
                raise AssertionError(f"the screen still shows {words!r}:\n{self.text}")

    def types(self, keys):
        """Types key by key: the client takes several at once for a paste."""
        for key in [keys] if keys.startswith("\x1b") else keys:
            self.process.send(key)
            time.sleep(0.05)

    @property
    def is_running(self):
        return self.process.isalive()

    def log(self):
        """What the client wrote down of its own faults."""
        return "\n".join(path.read_text() for path in self.home.glob("*.log"))

    def stop(self):
        self.process.terminate(force=True)
        self.reader.join(WAIT_S_MAX)
        self.process.close()
        shutil.rmtree(self.home)

    def _read(self):
        while True:
            try:
                output = self.process.read_nonblocking(65536, timeout=None)
            except (pexpect.EOF, OSError, ValueError):
                return
            with self.changed:
                self.stream.feed(output)
                self.changed.notify_all()
