"""A chat in the terminal, written from SPEC.md alone: python chat.py ZULIPRC STREAM TOPIC

Lines typed are sent to the topic; what is said there is printed as "name: text". A lost connection is
resumed: nothing is missed, doubled or sent twice.
"""

import asyncio
import base64
import configparser
import json
import random
import sys
import urllib.parse
import urllib.request
import uuid

import websockets

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 20.0
FATAL = {1003, 1007, 1009, *range(4400, 4500)}


class Api:
    """Calls of the HTTP API."""

    def __init__(self, site, email, key):
        self.base = f"{site}/api/v1/"
        self.authorization = "Basic " + base64.b64encode(f"{email}:{key}".encode()).decode()

    def get(self, path, **parameters):
        url = f"{self.base}{path}?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(url, headers={"Authorization": self.authorization})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


class Chat:
    """One user's session, over as many connections as it takes."""

    def __init__(self, zuliprc):
        config = configparser.ConfigParser()
        if not config.read(zuliprc):
            raise SystemExit(f"{zuliprc} can't be read")
        api = config["api"]
        self.key = api["key"]
        self.url = api["site"].replace("http", "ws", 1) + "/ws"
        self.api = Api(api["site"], api["email"], api["key"])
        self.position = None
        self.unanswered = {}  # send id -> send, in the order sent
        self.refused = set()  # ids of sends that wait to be tried again
        self.socket = None
        self.tasks = set()  # the event loop itself does not keep them

    async def send(self, to, content):
        """Sends a message; should the connection be away, it is sent when it is back."""
        send = {"type": "send", "send_id": uuid.uuid4().hex, "to": to, "content": content}
        self.unanswered[send["send_id"]] = send
        if self.refused:
            self.refused.add(send["send_id"])  # after those that wait to be tried again
        elif self.socket:
            await self._say(send)

    async def events(self):
        """Every event, in order and once, until the server refuses us for good."""
        bound = BACKOFF_FIRST_S
        while True:
            try:
                async with websockets.connect(self.url, subprotocols=["squall.v1.json"]) as socket:
                    async for message in self._session(socket):
                        if message["type"] == "welcome":
                            bound = BACKOFF_FIRST_S
                        elif message["type"] == "event":
                            yield message["event"]
            except (OSError, websockets.InvalidHandshake) as error:
                self._note(error or "nothing heard for too long")
            except websockets.ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code in FATAL:
                    raise
                if closed.rcvd and 4100 <= closed.rcvd.code < 4200:
                    bound = max(bound, 5.0)
                self._note(closed)
            self.socket = None
            await asyncio.sleep(random.uniform(0, bound))  # full jitter
            bound = min(2 * bound, BACKOFF_MAX_S)

    async def _session(self, socket):
        """The messages of one connection, the protocol's own duties done."""
        hello = {"type": "hello", "token": self.key}
        if self.position:
            hello["position"] = self.position
        await socket.send(json.dumps(hello))
        silence_s = 10.0
        while True:
            message = json.loads(await asyncio.wait_for(socket.recv(), silence_s))
            kind = message["type"]
            if kind == "welcome":
                silence_s = (message["heartbeat_ms"] + message["timeout_ms"]) / 1000
                self.position = message["position"]
                self.socket = socket
                self.refused.clear()
                self._note("connected")
                for send in list(self.unanswered.values()):
                    await self._say(send)
            elif kind == "event":
                self.position = {**self.position, "sequence": message["sequence"], "mark": message["mark"]}
            elif kind in ("position", "reset"):
                self.position = message if kind == "position" else message["position"]
                self.position = {field: self.position[field] for field in ("epoch", "sequence", "mark")}
                if kind == "reset":
                    self._note(f"some messages may be missing here: {message['reason']}")
            elif kind == "sent":
                self.unanswered.pop(message["send_id"], None)
            elif kind == "refused":
                await self._handle_refusal(message)
            elif kind == "ping":
                await self._say({"type": "pong", "active": True}, socket)
            elif kind == "goaway":
                self._after(message["after_ms"], socket.close)
            yield message

    async def _handle_refusal(self, message):
        send = self.unanswered.get(message["send_id"])
        if send is None:
            return
        if "retry_after_ms" not in message:
            del self.unanswered[message["send_id"]]
            self._note(f"not sent: {message['message']}: {send['content']}")
            return
        if not self.refused:
            self._after(message["retry_after_ms"], self._send_refused)
        self.refused.add(message["send_id"])

    async def _send_refused(self):
        send_ids, self.refused = self.refused, set()
        for send in [send for send in self.unanswered.values() if send["send_id"] in send_ids]:
            if self.socket:
                await self._say(send)

    def _after(self, delay_ms, action):
        async def act():
            await asyncio.sleep(delay_ms / 1000)
            await action()

        self.tasks.add(task := asyncio.create_task(act()))
        task.add_done_callback(self.tasks.discard)

    async def _say(self, message, socket=None):
        try:
            await (socket or self.socket).send(json.dumps(message))
        except websockets.ConnectionClosed:
            pass  # the reader finds out, and says it again after the resume

    @staticmethod
    def _note(words):
        print(f"[{words}]", file=sys.stderr, flush=True)


async def read_lines():
    """The lines typed, as they come."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().rstrip("\n")


async def main(zuliprc, stream, topic):
    chat = Chat(zuliprc)
    users = {user["user_id"]: user["email"].split("@")[0] for user in chat.api.get("users")["members"]}
    to = {"stream_id": chat.api.get("get_stream_id", stream=stream)["stream_id"], "topic": topic}

    async def listen():
        async for event in chat.events():
            if event["kind"] == "message" and event["to"] == to:
                print(f"{users.get(event['sender_id'], event['sender_id'])}: {event['content']}", flush=True)

    async def talk():
        async for line in read_lines():
            await chat.send(to, line)

    listener = asyncio.create_task(listen())
    await asyncio.wait([listener, asyncio.create_task(talk())], return_when=asyncio.FIRST_EXCEPTION)
    await listener


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
