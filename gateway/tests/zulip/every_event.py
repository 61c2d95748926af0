"""Prints each event as a line of JSON, for ever: python every_event.py ZULIPRC [EVENT TYPE…]"""

import json
import sys

import zulip

client = zulip.Client(config_file=sys.argv[1])
print("ready", flush=True)
client.call_on_each_event(lambda event: print(json.dumps(event), flush=True), sys.argv[2:] or None)
