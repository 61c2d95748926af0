"""zulip-terminal, unmodified, on Squall."""

from clients import ClientTest
from terminal import Terminal


class TerminalTest(ClientTest):
    def terminal(self, server, name):
        terminal = Terminal(server.zuliprc(name))
        self.addCleanup(terminal.stop)
        return terminal

    def test_it_shows_what_the_bindings_send_and_they_get_what_is_typed(self):
        server = self.server()
        ada = self.client(server, "ada")
        ada.update_presence({"status": "active"})
        listener = self.listen(ada, ["message", "typing", "presence"])
        terminal = self.terminal(server, "bruno")
        for words in ("Bruno Castellani (bruno@demo.example) - Demo", "# general", "P leads", "Ada Lindqvist"):
            terminal.shows(words)
        terminal.shows("Welcome to Squall!")
        listener.wait_for("presence", email="bruno@demo.example")

        self.send(ada, "**Soup** for @**Bruno Castellani**?")
        terminal.shows("Mentions         [#]      1")
        # To the messages, and to the last of them.
        terminal.types("lG")
        terminal.shows("Soup for @Bruno Castellani?")

        # Compose to a stream, a topic, some words; Ctrl-D sends.
        terminal.types("c")
        terminal.shows("✗")
        terminal.types("general")
        terminal.types("\t")
        terminal.types("from the terminal")
        terminal.types("\t")
        terminal.types("Noodles, please.")
        terminal.types("\x04")
        event = listener.wait_for_message("Noodles, please.")
        self.assertEqual(event["message"]["subject"], "from the terminal")
        self.assertEqual(event["message"]["sender_email"], "bruno@demo.example")
        terminal.shows("Noodles, please.")
        terminal.types("\x1b")

        server.kill_9()
        server.restart()
        self.send(ada, "Back again.")
        terminal.shows("# general                 2")
        terminal.types("G")
        terminal.shows("Back again.")
        self.assertTrue(terminal.is_running)
        self.assertEqual(terminal.log(), "")
