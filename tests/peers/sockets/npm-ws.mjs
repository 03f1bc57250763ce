// The npm package `ws` as a client of the class `Room` of the conformance guest.
//   node npm-ws.mjs ROOM_URL MODULES_FOLDER
// Any wrong answer ends it with an error. Everything that it does on purpose ends by a closing frame.
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const [url, modules] = process.argv.slice(2);
const WebSocket = createRequire(`${modules}/`)("ws");
const DEADLINE_MS = 1_800_000; // for all of it
setTimeout(() => { throw new Error("nothing came in time"); }, DEADLINE_MS).unref();

// A socket whose events are taken one by one.
async function open(query = "", protocols = [], options = {}) {
  const socket = new WebSocket(url + query, protocols, { maxPayload: 0, closeTimeout: DEADLINE_MS, ...options });
  const come = [], waiting = [];
  const put = (event) => (waiting.shift() ?? ((e) => come.push(e)))(event);
  socket.on("message", (data, isBinary) => put(isBinary ? { binary: data } : { text: data.toString() }));
  socket.on("pong", (data) => put({ pong: data.toString() }));
  socket.on("close", (code, reason) => put({ close: code, reason: reason.toString() }));
  const next = () => (come.length ? Promise.resolve(come.shift()) : new Promise((done) => waiting.push(done)));
  await new Promise((done, fail) => { socket.once("open", done); socket.once("error", fail); });
  return { socket, next, send: (data, how) => socket.send(data, how), ask: (data) => (socket.send(data), next()) };
}

async function messages() {
  const { socket, next, send, ask } = await open();
  assert.equal(socket.extensions, "", "compression was offered and must not be taken");
  assert.deepEqual(await ask("echo grüße 🦀"), { text: "grüße 🦀" });
  for (const bytes of [Buffer.alloc(0), Buffer.from(Array.from({ length: 256 }, (_, i) => i)), Buffer.alloc(20 << 20, 7)]) {
    const { binary } = await ask(bytes);
    assert.ok(binary?.equals(bytes), `${bytes.length} bytes came back otherwise`);
  }
  for (const length of [125, 126, 65_535, 65_536, (32 << 20) - "length ".length]) {
    assert.deepEqual(await ask(`length ${"x".repeat(length)}`), { text: `${length}` });
  }
  send("ec", { fin: false });
  socket.ping("between");
  send("ho in ", { fin: false });
  send("pieces", { fin: true });
  assert.deepEqual(await next(), { pong: "between" });
  assert.deepEqual(await next(), { text: "in pieces" });
  socket.close(4001, "bye");
  assert.deepEqual(await next(), { close: 4001, reason: "bye" });
}

async function closes() {
  for (const [code, reason] of [[1000, ""], [1011, "sorry"], [3000, "x".repeat(123)], [4999, ""]]) {
    const { next, send } = await open();
    send(`close ${code} ${reason}`);
    assert.deepEqual(await next(), { close: code, reason });
  }
  const { socket, next } = await open();
  socket.close();
  assert.deepEqual(await next(), { close: 1005, reason: "" });
  const large = await open();
  large.socket.on("error", () => {}); // it may still be writing when the node has closed
  large.send(Buffer.alloc((32 << 20) + 1));
  assert.equal((await large.next()).close, 1009);
}

async function handshakes() {
  const chosen = await open("?protocol=v2", ["v1", "v2"]);
  assert.equal(chosen.socket.protocol, "v2");
  chosen.socket.close(1000);
  await chosen.next();
  await assert.rejects(open("", [], { origin: "http://elsewhere.example" }), /403/);
}

async function many() {
  const all = await Promise.all(Array.from({ length: 100 }, () => open("?tags=many")));
  all[0].send("broadcast to all");
  for (const { next } of all) assert.deepEqual(await next(), { text: "to all" });
  for (const { socket } of all) socket.close(1000);
  for (const { next } of all) assert.deepEqual(await next(), { close: 1000, reason: "" });
}

await messages();
await closes();
await handshakes();
await many();
