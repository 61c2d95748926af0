import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A line between a page and the server that can be cut and mended. */
export class Relay {
  #listener;
  #sockets = new Set();
  #isCut = false;
  /** Where the line leads. */
  targetPort = 0;

  static async start() {
    const relay = new Relay();
    relay.#listener = createServer((socket) => relay.#carry(socket)).listen(0, "127.0.0.1");
    await once(relay.#listener, "listening");
    return relay;
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  /** Every connection breaks, and no new one comes about. */
  cut() {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#isCut = false;
  }

  stop() {
    this.cut();
    this.#listener.close();
  }

  #carry(near) {
    const far = this.#isCut ? null : connect(this.targetPort, "127.0.0.1");
    if (!far) return near.destroy();
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.#sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => (this.#sockets.delete(socket), other.destroy()));
      socket.pipe(other);
    }
  }
}
