"""Sends numbered messages, one after the other, as any script does: python numbered_sends.py ZULIPRC FIRST LAST"""

import sys

import zulip

zuliprc, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = zulip.Client(config_file=zuliprc)
for number in range(first, last + 1):
    message = {"type": "stream", "to": "general", "topic": "numbers", "content": f"number {number}"}
    answer = client.send_message(message)
    if answer["result"] != "success":
        raise SystemExit(f"{number}: {answer}")
    print(number, flush=True)
