"""Presence and typing, by the official bindings."""

from clients import ClientTest


class PresenceTest(ClientTest):
    def test_presence_in_its_older_form(self):
        server = self.server()
        ada, bruno = self.client(server, "ada"), self.client(server, "bruno")
        listener = self.listen(bruno, ["presence"])
        answer = self.ok(ada.update_presence({"status": "active", "new_user_input": True}))
        own = answer["presences"]["ada@demo.example"]
        self.assertEqual(own["aggregated"]["status"], "active")
        self.assertEqual(own["website"]["pushable"], False)
        event = listener.wait_for("presence", email="ada@demo.example")
        self.assertEqual(event["presence"]["website"]["status"], "active")
        everybody = self.ok(bruno.get_realm_presence())
        self.assertIn("ada@demo.example", everybody["presences"])
        of_one = self.ok(bruno.get_user_presence("ada@demo.example"))
        self.assertEqual(of_one["presence"]["aggregated"]["status"], "active")
        registered = self.ok(bruno.register(fetch_event_types=["presence"]))
        self.assertIn("ada@demo.example", registered["presences"])
        self.ok(ada.update_presence({"status": "idle"}))
        listener.wait(lambda e: e["presence"]["website"]["status"] == "idle", "ada to be idle")

    def test_presence_in_its_modern_form(self):
        server = self.server()
        ada, bruno = self.client(server, "ada"), self.client(server, "bruno")
        modern = {"simplified_presence_events": True}
        listener = self.listen(bruno, ["presence"], client_capabilities=modern, slim_presence=True)
        ada_id, bruno_id = (str(self.ok(client.get_profile())["user_id"]) for client in (ada, bruno))
        request = {"status": "active", "last_update_id": -1}
        first = self.ok(ada.update_presence(request))
        self.assertIn("active_timestamp", first["presences"][ada_id])
        event = listener.wait(lambda e: ada_id in e["presences"], "ada's presence")
        self.assertIn("active_timestamp", event["presences"][ada_id])
        self.ok(bruno.update_presence({"status": "idle", "last_update_id": -1}))
        listener.wait(lambda e: bruno_id in e["presences"], "bruno's presence")
        later = self.ok(ada.update_presence({**request, "last_update_id": first["presence_last_update_id"]}))
        self.assertGreaterEqual(later["presence_last_update_id"], first["presence_last_update_id"])
        self.assertIn("idle_timestamp", later["presences"][bruno_id])
        self.assertNotIn("active_timestamp", later["presences"][bruno_id])
        self.assertNotIn("presences", self.ok(ada.update_presence({"status": "active", "ping_only": True})))

    def test_what_is_no_presence_is_refused(self):
        server = self.server()
        ada = self.client(server, "ada")
        answer = self.error(ada.update_presence({"status": "away"}), "BAD_REQUEST")
        self.assertEqual(answer["msg"], "Invalid status: away")
        self.error(ada.update_presence({}), "REQUEST_VARIABLE_MISSING")
        self.assertEqual(self.error(ada.get_user_presence("nobody@demo.example"), "BAD_REQUEST")["msg"], "No such user")
        absent = self.error(ada.get_user_presence("emre@demo.example"), "BAD_REQUEST")
        self.assertEqual(absent["msg"], "No presence data for emre@demo.example")

    def test_typing_is_told_to_who_is_written_to(self):
        server = self.server()
        ada, bruno = self.client(server, "ada"), self.client(server, "bruno")
        listener = self.listen(bruno, ["typing"], client_capabilities={"stream_typing_notifications": True})
        bruno_id = self.ok(bruno.get_profile())["user_id"]
        self.ok(ada.set_typing_status({"to": [bruno_id], "op": "start"}))
        event = listener.wait_for("typing", op="start", message_type="direct")
        self.assertEqual(event["sender"]["email"], "ada@demo.example")
        stream_id = self.ok(ada.get_stream_id("general"))["stream_id"]
        self.ok(ada.set_typing_status({"type": "stream", "stream_id": stream_id, "topic": "lunch", "op": "stop"}))
        listener.wait_for("typing", op="stop", message_type="stream", stream_id=stream_id, topic="lunch")
