"""Event queues, by the official bindings."""

import json
import time
import unittest

from clients import ClientTest, WAIT_S_MAX


class QueueTest(ClientTest):
    def test_every_send_is_seen_once_and_in_order_though_the_server_is_killed_in_the_middle(self):
        server, last = self.server(), 500
        listener = self.script("every_event.py", server.zuliprc("bruno"), "message")
        listener.prints("ready")
        sender = self.script("numbered_sends.py", server.zuliprc("ada"), 1, last)
        for killed_after in (last // 4, last // 2):
            sender.prints(str(killed_after))
            server.kill_9()
            server.restart()
        sender.prints(str(last))
        listener.prints_part(f'"number {last}"')
        events = [json.loads(line) for line in listener.lines if line.startswith("{")]
        contents = [event["message"]["content"] for event in events]
        self.assertEqual(contents, [f"number {number}" for number in range(1, last + 1)])
        ids = [event["id"] for event in events]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(sender.noted, [])

    def test_a_queue_survives_the_server_and_goes_on_where_it_was(self):
        server = self.server()
        ada, bruno = self.client(server, "ada"), self.client(server, "bruno")
        queue = self.ok(bruno.register(event_types=["message"]))
        self.send(ada, "before")
        server.kill_9()
        server.restart()
        self.send(ada, "after")
        answer = self.ok(bruno.get_events(queue_id=queue["queue_id"], last_event_id=queue["last_event_id"]))
        contents = [event["message"]["content"] for event in answer["events"]]
        self.assertEqual(contents, ["before", "after"])
        self.assertEqual(answer["queue_id"], queue["queue_id"])
        acknowledged = answer["events"][0]["id"]
        again = self.ok(bruno.get_events(queue_id=queue["queue_id"], last_event_id=acknowledged))
        self.assertEqual([event["message"]["content"] for event in again["events"]], ["after"])

    def test_a_queue_that_is_none_says_so_in_the_words_that_clients_know(self):
        server = self.server()
        ada, bruno = self.client(server, "ada"), self.client(server, "bruno")
        queue = self.ok(ada.register())
        self.send(ada, "something")
        first = {"queue_id": queue["queue_id"], "last_event_id": queue["last_event_id"], "dont_block": True}
        event_id = self.ok(ada.get_events(**first))["events"][0]["id"]
        forged = queue["queue_id"][:-2] + ("AA" if queue["queue_id"][-2:] != "AA" else "BB")
        for client, queue_id, last in (
            (ada, "fb67bf8a-c031-47cc-84cf-ed80accacda8", 0),
            (ada, forged, queue["last_event_id"]),
            (bruno, queue["queue_id"], queue["last_event_id"]),
            (ada, queue["queue_id"], queue["last_event_id"] + 4096 * 1000),
            (ada, queue["queue_id"], event_id ^ 1),
        ):
            answer = client.get_events(queue_id=queue_id, last_event_id=last, dont_block=True)
            self.error(answer, "BAD_EVENT_QUEUE_ID")
            self.assertEqual(answer["msg"], f"Bad event queue id: {queue_id}")
            self.assertEqual(answer["queue_id"], queue_id)
        self.ok(ada.deregister(queue["queue_id"]))
        gone = ada.get_events(queue_id=queue["queue_id"], last_event_id=queue["last_event_id"])
        self.error(gone, "BAD_EVENT_QUEUE_ID")
        self.error(ada.deregister(queue["queue_id"]), "BAD_EVENT_QUEUE_ID")

    def test_a_queue_outside_the_logs_window_is_gone_and_its_client_registers_again(self):
        server = self.server("--resume-window", "1s")
        listener = self.script("every_event.py", server.zuliprc("bruno"), "message")
        listener.prints("ready")
        ada = self.client(server, "ada")
        queue = self.ok(ada.register(event_types=["message"]))
        self.send(ada, "first")
        listener.prints_part('"first"')
        server.kill_9()
        # What was said lies outside the window by now, and a start takes it from the log.
        time.sleep(2.5)
        server.restart()
        for word in range(3):
            self.send(ada, f"later {word}")
        deadline = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline:
            answer = ada.get_events(queue_id=queue["queue_id"], last_event_id=0, dont_block=True)
            if answer["result"] == "error":
                break
            time.sleep(0.5)
        self.error(answer, "BAD_EVENT_QUEUE_ID")
        # What was said between is lost to the listener, as its client knows; what comes after is not.
        while time.monotonic() < deadline and not any('"again"' in line for line in listener.lines):
            self.send(ada, "again")
            time.sleep(0.5)
        listener.prints_part('"again"')

    def test_an_idle_poll_hears_that_the_line_is_alive(self):
        server = self.server()
        ada, bruno = self.client(server, "ada"), self.client(server, "bruno")
        queue = self.ok(bruno.register(event_types=["typing"]))
        self.send(ada, "not for this queue")
        began = time.monotonic()
        answer = self.ok(bruno.get_events(queue_id=queue["queue_id"], last_event_id=queue["last_event_id"]))
        self.assertTrue(44 < time.monotonic() - began < 57, time.monotonic() - began)
        self.assertEqual([event["type"] for event in answer["events"]], ["heartbeat"])
        self.assertGreater(answer["events"][0]["id"], queue["last_event_id"])

    def test_polls_that_do_not_block_and_polls_that_name_no_queue(self):
        server = self.server()
        ada = self.client(server, "ada")
        made = self.ok(ada.get_events(dont_block=True, event_types=["message"]))
        self.assertEqual(made["events"], [])
        queue = {"queue_id": made["queue_id"], "last_event_id": made["last_event_id"]}
        self.assertEqual(self.ok(ada.get_events(**queue, dont_block=True))["events"], [])
        self.send(ada, "one")
        self.assertEqual(len(self.ok(ada.get_events(**queue, dont_block=True))["events"]), 1)
        self.error(ada.call_endpoint("events", method="GET"), "REQUEST_VARIABLE_MISSING")
        alias = ada.session.get(f"{ada.base_url.removesuffix('/api/')}/json/get_events", params={**queue, "dont_block": "true"})
        self.assertEqual(len(alias.json()["events"]), 1)

    def test_a_second_poll_finishes_the_first(self):
        server = self.server()
        listener = self.listen(self.client(server, "ada"), ["message"])
        other = self.client(server, "ada")
        began = time.monotonic()
        answer = other.get_events(
            queue_id=listener.queue_id, last_event_id=listener.state["last_event_id"], dont_block=True
        )
        self.assertEqual(self.ok(answer)["events"], [])
        self.assertLess(time.monotonic() - began, 5)

    def test_only_ones_own_message_has_its_local_id(self):
        server = self.server()
        ada = self.client(server, "ada")
        own, others = self.listen(ada, ["message"]), self.listen(self.client(server, "ada"), ["message"])
        message = {"type": "stream", "to": "general", "topic": "t", "content": "mine"}
        sent = self.ok(ada.send_message({**message, "queue_id": own.queue_id, "local_id": "17.02"}))
        again = self.ok(ada.send_message({**message, "queue_id": own.queue_id, "local_id": "17.02"}))
        self.assertEqual(sent["id"], again["id"])
        self.assertEqual(own.wait_for_message("mine")["local_message_id"], "17.02")
        self.assertNotIn("local_message_id", others.wait_for_message("mine"))

    def test_who_may_not_see_it_hears_nothing_of_it(self):
        server = self.server()
        ada, emre = self.client(server, "ada"), self.client(server, "emre")
        self.assertNotIn("leads", [s["name"] for s in self.ok(emre.get_streams())["streams"]])
        listener = self.listen(emre)
        self.send(ada, "secret", to="leads")
        self.send(ada, "public")
        listener.wait_for_message("public")
        self.assertNotIn("secret", json.dumps(listener.events))
        for narrow, passes in (([["stream", "general"]], True), ([["stream", "leads"]], False)):
            queue = self.ok(emre.register(event_types=["message"], narrow=narrow))
            self.send(ada, "narrowed")
            answer = self.ok(
                emre.get_events(queue_id=queue["queue_id"], last_event_id=queue["last_event_id"], dont_block=True)
            )
            self.assertEqual(len(answer["events"]), int(passes), narrow)

    def test_a_withdrawn_key_ends_the_poll(self):
        server = self.server()
        queue = self.ok(self.client(server, "emre").register())
        emre = self.client(server, "emre")
        emre.api_key = emre.session.auth = None
        answer = emre.session.get(f"{emre.base_url}v1/events", params={"queue_id": queue["queue_id"]})
        self.assertEqual((answer.status_code, answer.json()["code"]), (401, "UNAUTHORIZED"))
        self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="zulip"')


if __name__ == "__main__":
    unittest.main()
