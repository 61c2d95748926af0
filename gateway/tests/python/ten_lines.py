# Says one thing and prints all that happens: python ten_lines.py squall-data/demo/ada.zuliprc 1 lunch "Soup?"
import asyncio, configparser, json, sys, uuid, websockets

async def main(zuliprc, stream_id, topic, content):
    (config := configparser.ConfigParser()).read(zuliprc)
    url = config["api"]["site"].replace("http", "ws", 1) + "/ws"
    async with websockets.connect(url, subprotocols=["squall.v1.json"]) as socket:
        say = lambda **message: socket.send(json.dumps(message))
        await say(type="hello", token=config["api"]["key"])
        await say(type="send", send_id=uuid.uuid4().hex, to={"stream_id": int(stream_id), "topic": topic}, content=content)
        async for message in (json.loads(text) async for text in socket):
            await say(type="pong", active=True) if message["type"] == "ping" else print(message, flush=True)

asyncio.run(main(*sys.argv[1:]))
