/** Keeps everything that a client tells, by kind. */
export function record(emitter, ...kinds) {
  const told = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (const kind of kinds) emitter.on(kind, (detail) => told[kind].push(detail));
  return told;
}
