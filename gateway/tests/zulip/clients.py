"""Real Zulip clients, and the started product under them."""

import json
import pathlib
import sys
import threading
import unittest

import zulip

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "python"))

from support import Script, Server, WAIT_S_MAX  # noqa: E402,F401


class ClientTest(unittest.TestCase):
    """Tests on a server with the demo realm: ada and chidi are administrators, the rest members."""

    def server(self, *options):
        server = Server(*options)
        self.addCleanup(server.stop)
        return server

    def client(self, server, name, **options):
        client = zulip.Client(config_file=str(server.zuliprc(name)), **options)
        self.addCleanup(lambda: client.session and client.session.close())
        return client

    def listen(self, client, event_types=None, **options):
        listener = Listener(client, event_types, **options)
        self.addCleanup(listener.stop)
        return listener

    def script(self, name, *arguments):
        script = Script(HERE / name, *arguments)
        self.addCleanup(script.stop)
        return script

    def ok(self, answer):
        self.assertEqual(answer["result"], "success", answer)
        return answer

    def error(self, answer, code):
        self.assertEqual((answer["result"], answer.get("code")), ("error", code), answer)
        return answer

    def send(self, client, content, topic="lunch", to="general"):
        message = {"type": "stream", "to": to, "topic": topic, "content": content}
        return self.ok(client.send_message(message))["id"]


class Listener:
    """A queue that a thread polls with the bindings' own calls, and its events as they come."""

    def __init__(self, client, event_types=None, **options):
        self.client = client
        self.events = []
        self.changed = threading.Condition()
        self.state = client.register(event_types=event_types, **options)
        if self.state["result"] != "success":
            raise AssertionError(self.state)
        self.queue_id = self.state["queue_id"]
        self.stopped = False
        self.thread = threading.Thread(target=self._poll, daemon=True)
        self.thread.start()

    def wait(self, matches, what="an event"):
        """Waits for the first event that matches, and returns it."""

        def found():
            return next((event for event in self.events if matches(event)), None)

        with self.changed:
            if not self.changed.wait_for(lambda: found() is not None, WAIT_S_MAX):
                raise AssertionError(f"waited in vain for {what}; there were {json.dumps(self.events, indent=1)}")
            return found()

    def wait_for(self, kind, **fields):
        """Waits for an event of this type with these fields."""

        def matches(event):
            return event["type"] == kind and all(event.get(name) == value for name, value in fields.items())

        return self.wait(matches, f"{kind} with {fields}")

    def wait_for_message(self, content):
        return self.wait(lambda e: e["type"] == "message" and e["message"]["content"] == content, content)

    def stop(self):
        self.stopped = True
        self.client.deregister(self.queue_id)
        self.thread.join(WAIT_S_MAX)

    def _poll(self):
        last = self.state["last_event_id"]
        while not self.stopped:
            answer = self.client.get_events(queue_id=self.queue_id, last_event_id=last)
            if answer["result"] != "success":
                return
            with self.changed:
                for event in answer["events"]:
                    last = max(last, event["id"])
                    self.events.append(event)
                self.changed.notify_all()
