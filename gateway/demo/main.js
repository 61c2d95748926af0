import { App } from "./app.js";
import { SignIn } from "./sign_in.js";
import { formatRoute, parseRoute } from "./route.js";

const root = /** @type {HTMLElement} */ (document.getElementById("root"));
/** @type {App | null} */
let app = null;
/** The user whose page is shown. @type {string | null} */
let shown = null;
const signIn = new SignIn(root, ({ name }) => {
  location.hash = formatRoute({ ...parseRoute(location.hash), user: name });
});

/** Shows what the address says: a user's chat, or the way to one. */
async function follow() {
  const { user, to, codec } = parseRoute(location.hash);
  if (app && user === shown) return app.go(to, codec);
  app?.stop();
  app = null;
  shown = user;
  const account = await signIn.account(user);
  if (parseRoute(location.hash).user !== user) return; // the address changed meanwhile: it was followed by another call
  if (!account) return signIn.show();
  app = new App(root, account, codec ?? "json", { onLeave: () => signIn.leave() });
  app.start(to);
}

addEventListener("hashchange", follow);
follow();
