// Three clients nobody here wrote watch one account: curl and Chromium's EventSource on /v1/stream, and the WebSocket of Node on
// /v1/ws. Each reconnects by itself with the id of its last frame. Reads `done N` on standard input, waits until each client has
// seen N events or a minute is over, and prints one JSON line: what each saw, in order, and how often it connected.
//
// Environment: WEIR_URL, WEIR_TOKEN (only scope events:read), PAGE_PORT, CHROMIUM, PROFILE (a directory of its own).
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const { WEIR_URL, WEIR_TOKEN, PAGE_PORT, CHROMIUM, PROFILE } = process.env;
const seen = { curl: [], chromium: [], websocket: [] };
const opened = { curl: 0, chromium: 0, websocket: 0 };
const children = new Set();
let over = false;

function start(command, args, options) {
  const child = spawn(command, args, options);
  children.add(child);
  child.on('exit', () => children.delete(child));
  child.on('error', (error) => process.stderr.write(`${command}: ${error.message}\n`));
  return child;
}

// The token goes in by standard input: arguments can be read by everybody on the machine.
function curl(last) {
  if (over) return;
  const child = start('curl', ['--disable', '--silent', '--no-buffer', '--noproxy', '*', '--config', '-']);
  const header = last ? `header = "Last-Event-ID: ${last}"\n` : '';
  child.stdin.end(`url = "${WEIR_URL}/v1/stream"\nheader = "Authorization: Bearer ${WEIR_TOKEN}"\n${header}`);
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('id: ')) last = line.slice(4);
    if (!line.startsWith('data: ')) return;
    const frame = JSON.parse(line.slice(6));
    if (frame.type === 'heartbeat') opened.curl += 1;
    if (frame.type === 'event') seen.curl.push(frame.event_id);
  });
  child.on('close', () => setTimeout(() => curl(last), 200));
}

function websocket(last) {
  if (over) return;
  const after = last ? `&after=${last}` : '';
  const socket = new WebSocket(`${WEIR_URL.replace('http', 'ws')}/v1/ws?access_token=${WEIR_TOKEN}${after}`);
  socket.onopen = () => { opened.websocket += 1; };
  socket.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    last = frame.id;
    if (frame.type === 'event') seen.websocket.push(frame.event_id);
  };
  socket.onerror = () => {};
  socket.onclose = () => setTimeout(() => websocket(last), 200);
}

// A restart answers 503 or refuses: there EventSource gives up, as its standard says, and the page opens another.
const page = `<!doctype html><meta charset="utf-8"><title>watch</title><script>
let last = null;
// One after the other: requests under way together may overtake each other.
let told = Promise.resolve();
const tell = (path, text) => { told = told.then(() => fetch(path, { method: 'POST', body: text })); };
function watch() {
  const after = last ? '&after=' + last : '';
  const source = new EventSource('${WEIR_URL}/v1/stream?access_token=${WEIR_TOKEN}' + after);
  source.onopen = () => tell('/opened', '');
  source.onmessage = (event) => { last = event.lastEventId; tell('/seen', JSON.parse(event.data).event_id); };
  source.addEventListener('heartbeat', (event) => { last = event.lastEventId; });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(watch, 200); };
}
watch();
</script>`;

createServer((request, answer) => {
  let body = '';
  request.on('data', (piece) => { body += piece; });
  request.on('end', () => {
    if (request.url === '/seen') seen.chromium.push(body);
    if (request.url === '/opened') opened.chromium += 1;
    answer.setHeader('content-type', 'text/html');
    answer.end(request.url === '/' ? page : '');
  });
}).listen(Number(PAGE_PORT), '127.0.0.1', () => {
  const quiet = { stdio: 'ignore' };
  start(CHROMIUM, ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    `--user-data-dir=${PROFILE}`, `http://127.0.0.1:${PAGE_PORT}/`], quiet);
});
curl(null);
websocket(null);

const ready = setInterval(() => {
  if (Object.values(opened).every((times) => times > 0)) {
    clearInterval(ready);
    process.stdout.write('watching\n');
  }
}, 50);

createInterface({ input: process.stdin }).on('line', async (line) => {
  const wanted = Number(line.split(' ')[1]);
  const until = Date.now() + 60_000;
  while (Date.now() < until && Object.values(seen).some((ids) => ids.length < wanted)) {
    await new Promise((later) => setTimeout(later, 50));
  }
  // Anything that comes twice would come about now.
  await new Promise((later) => setTimeout(later, 1_000));
  over = true;
  process.stdout.write(`${JSON.stringify({ seen, opened })}\n`);
  for (const child of children) child.kill('SIGKILL');
  process.exit(0);
});
