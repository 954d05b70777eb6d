// A client made of the TypeScript SDK: does what its arguments say, and writes one JSON line for each thing.
//
// typescript_client.mjs MODULES KIND URL CWD [SESSION]
//
// KIND is http, ws, or connect, whose URL is a command. ACPRELAY_TOKEN is shown to the relay, if it is set. It
// opens a session, or loads SESSION, and then prompts with each line of its standard input.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

const [modules, kind, url, cwd, known] = process.argv.slice(2);
const { resolve } = createRequire(join(modules, "package.json"));
const load = (name) => import(pathToFileURL(resolve(name)).href);
const acp = await load("@agentclientprotocol/sdk");
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const token = process.env.ACPRELAY_TOKEN;
const headers = token ? { Authorization: `Bearer ${token}` } : {};

let hangUp = () => {};

async function connect() {
    if (kind === "connect") {
        const [program, ...options] = url.split(" ");
        const { stdin, stdout } = spawn(program, options, { stdio: ["pipe", "pipe", "inherit"] });
        hangUp = () => stdin.destroy();
        return acp.ndJsonStream(Writable.toWeb(stdin), Readable.toWeb(stdout));
    }
    if (kind === "http") {
        return (await load("@agentclientprotocol/sdk/experimental/http-client")).createHttpStream(url, { headers });
    }
    const { createWebSocketStream } = await load("@agentclientprotocol/sdk/experimental/ws-client");
    return createWebSocketStream(url, { headers, WebSocket: (await load("ws")).default });
}

const { agent, client: ours } = acp.methods;
const app = acp
    .client({ name: "third-party" })
    .onNotification(ours.session.update, ({ params: { sessionId, update, _meta } }) =>
        say({ update: update.sessionUpdate, sessionId, seq: _meta.acprelay.seq, text: update.content?.text }),
    )
    .onRequest(ours.session.requestPermission, ({ params: { options } }) => {
        const { optionId } = options.find((option) => option.kind === "allow_once");
        say({ asked: optionId });
        return { outcome: { outcome: "selected", optionId } };
    });

await app.connectWith(await connect(), async (context) => {
    const greeting = await context.request(agent.initialize, {
        protocolVersion: acp.PROTOCOL_VERSION,
        clientCapabilities: {},
    });
    say({ greeting: greeting.agentInfo?.name ?? "" });
    let sessionId = known;
    if (known) {
        await context.request(agent.session.load, { sessionId, cwd, mcpServers: [] });
        say({ loaded: sessionId });
    } else {
        ({ sessionId } = await context.request(agent.session.new, { cwd, mcpServers: [] }));
        say({ opened: sessionId });
    }
    for await (const text of createInterface({ input: process.stdin })) {
        const prompt = [{ type: "text", text }];
        const { stopReason } = await context.request(agent.session.prompt, { sessionId, prompt });
        say({ stopReason });
    }
});
hangUp();
