"""chat.py, which knows the protocol from SPEC.md alone, against the started product."""

import unittest

from support import Script, Server


class ChatTest(unittest.TestCase):
    def server(self, *options):
        server = Server(*options)
        self.addCleanup(server.stop)
        return server

    def script(self, *arguments):
        script = Script(*arguments)
        self.addCleanup(script.stop)
        return script

    def chat(self, server, name, stream="general", topic="snakes"):
        chat = self.script("chat.py", server.zuliprc(name), stream, topic)
        chat.notes("connected")
        return chat

    def test_two_users_talk_while_the_server_is_killed_and_restarted(self):
        server = self.server()
        ada, bruno = self.chat(server, "ada"), self.chat(server, "bruno")
        expected = []

        def say(script, name, content):
            script.types(content)
            expected.append(f"{name}: {content}")
            for listener in (ada, bruno):
                listener.prints(expected[-1])

        for number in range(3):
            say(ada, "ada", f"question {number}")
            say(bruno, "bruno", f"answer {number}")
        server.kill_9()
        dark = [f"in the dark {number}" for number in range(3)]
        for content in dark:
            ada.types(content)
        server.restart()
        bruno.notes("connected", 2)
        expected += [f"ada: {content}" for content in dark]
        say(bruno, "bruno", "light again")
        for listener in (ada, bruno):
            listener.prints("ada: in the dark 2")

        self.assertEqual(ada.lines[:6], expected[:6])
        self.assertEqual(sorted(ada.lines), sorted(expected))
        self.assertEqual([line for line in ada.lines if "dark" in line], expected[6:9])
        self.assertEqual(ada.lines, bruno.lines)

    def test_a_client_handed_on_by_a_drain_comes_back(self):
        server = self.server("--drain", "1s")
        ada, bruno = self.chat(server, "ada"), self.chat(server, "bruno")
        ada.types("before")
        bruno.prints("ada: before")
        server.sigterm()
        self.assertEqual(server.exit(), 0)
        server.restart()
        bruno.types("after")
        ada.prints("bruno: after")
        self.assertEqual(ada.lines, ["ada: before", "bruno: after"])

    def test_a_client_over_the_rate_limit_says_it_later_and_in_order(self):
        server = self.server("--rate-limit", "240")
        ada, bruno = self.chat(server, "ada"), self.chat(server, "bruno")
        contents = [f"number {number}" for number in range(250)]
        for content in contents:
            ada.types(content)
        bruno.prints("ada: number 249")
        self.assertEqual(bruno.lines, [f"ada: {content}" for content in contents])

    def test_the_ten_lines_of_the_readme_talk(self):
        server = self.server()
        bruno = self.chat(server, "bruno", topic="lunch")
        script = self.script("ten_lines.py", server.zuliprc("ada"), 1, "lunch", "Soup?")
        bruno.prints("ada: Soup?")
        script.prints_part("'type': 'sent'")

    def test_an_unknown_key_ends_the_script(self):
        server = self.server()
        path = server.data / "wrong.zuliprc"
        path.write_text(server.zuliprc("ada").read_text().replace("key=", "key=x").replace("key =", "key = x"))
        script = self.script("ten_lines.py", path, 1, "lunch", "Soup?")
        script.notes("4401")


if __name__ == "__main__":
    unittest.main()
