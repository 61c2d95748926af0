"""The product as a process, and chat.py as one."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
WAIT_S_MAX = 60


class Server:
    """A gateway with a data directory of its own: started, killed, started again."""

    def __init__(self, *options):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="squall-python-"))
        self.options = options if "--rate-limit" in options else (*options, "--rate-limit", "0")
        self.listen = self.admin = "127.0.0.1:0"
        self.restart()

    def restart(self):
        binary = os.environ.get("SQUALL_GATEWAY")
        if not binary:
            raise RuntimeError("SQUALL_GATEWAY must name the gateway's binary: run `make test-python`")
        addresses = ["--listen", self.listen, "--admin-listen", self.admin, "--data-dir", self.data]
        command = [binary, *addresses, "--log", "warn", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        found = {}
        for line in self.process.stdout:
            if match := re.search(r"(listening|admin) on http://([\d.]+:\d+)", line):
                found[match[1]] = match[2]
            if len(found) == 2:
                break
        else:
            self.process.wait()
            raise RuntimeError("the server ended before it listened")
        self.listen, self.admin = found["listening"], found["admin"]
        self.reader = threading.Thread(target=self.process.stdout.read)
        self.reader.start()

    def kill_9(self):
        self.process.kill()
        self.exit()

    def sigterm(self):
        self.process.terminate()

    def exit(self):
        """Waits for the end of the process, and tells how it ended."""
        status = self.process.wait(WAIT_S_MAX)
        self.reader.join()
        self.process.stdout.close()
        return status

    def stop(self):
        self.kill_9()
        shutil.rmtree(self.data)

    def zuliprc(self, name):
        return self.data / "demo" / f"{name}.zuliprc"


class Script:
    """A script of this directory as a process; what it prints is waited for line by line."""

    def __init__(self, name, *arguments):
        command = [sys.executable, HERE / name, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.lines, self.noted = [], []
        self.changed = threading.Condition()
        self.readers = [
            threading.Thread(target=self._read, args=(pipe, kept))
            for pipe, kept in ((self.process.stdout, self.lines), (self.process.stderr, self.noted))
        ]
        for reader in self.readers:
            reader.start()

    def types(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def prints(self, line):
        """Waits until the line was printed."""
        self._wait(lambda: line in self.lines, line)

    def prints_part(self, words):
        """Waits until a line with these words was printed."""
        self._wait(lambda: any(words in line for line in self.lines), words)

    def notes(self, words, count=1):
        """Waits until standard error told these words so many times."""
        self._wait(lambda: sum(words in line for line in self.noted) >= count, words)

    def stop(self):
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        self.process.stdin.close()

    def _wait(self, holds, words):
        with self.changed:
            if not self.changed.wait_for(holds, WAIT_S_MAX):
                raise AssertionError(f"waited in vain for {words!r}; printed {self.lines}, noted {self.noted}")

    def _read(self, pipe, kept):
        with pipe:
            for line in pipe:
                with self.changed:
                    kept.append(line.rstrip("\n"))
                    self.changed.notify_all()
