// A relay that keeps Parley's promise with as little as possible: it appends each delta to a stream in Redis, and shows
// it when Redis has answered. ENDPOINT=http://127.0.0.1:9000/ REDIS=6379 node stored.mjs 8001
import http from "node:http";
import net from "node:net";

const redis = net.connect(Number(process.env.REDIS), "127.0.0.1");
redis.setNoDelay(true);
let waiting = [];
let commands = "";
let answers = "";

redis.setEncoding("latin1").on("data", (data) => {
  const lines = (answers + data).split("\r\n");
  answers = lines.pop();
  // An id is a length and, in the next line, itself; a number is one line.
  for (const line of lines) if (line[0] !== "$") waiting.shift()(line);
});

/** Send a command with all others of this turn of the event loop. */
function command(...words) {
  if (!commands) setImmediate(send);
  commands += `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
  return new Promise((done) => waiting.push(done));
}

function send() {
  redis.write(commands);
  commands = "";
}

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
let replies = 0;

http
  .createServer((request, response) => {
    const content = new URL(request.url, "http://localhost").searchParams.get("q");
    const key = `reply:${++replies}`;
    const body = JSON.stringify({ model: "bench", stream: true, messages: [{ role: "user", content }] });
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const asked = http.request(process.env.ENDPOINT, { method: "POST", headers, agent }, async (answer) => {
      let rest = "";
      let last;
      for await (const chunk of answer.setEncoding("utf8")) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          if (!line.startsWith("data: {")) continue;
          const text = JSON.parse(line.slice(6)).choices[0].delta.content;
          if (!text) continue;
          last = command("XADD", key, "*", "text", text).then((id) =>
            response.write(`id: ${id}\nevent: delta\ndata: ${JSON.stringify({ text })}\n\n`),
          );
        }
      }
      await last;
      await command("EXPIRE", key, "600");
      response.end("event: end\ndata: {}\n\n");
    });
    asked.end(body);
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
