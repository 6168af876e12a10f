// Serves the built page beside a Prometheus and lets chromium turn each dashboard into a PNG.
// node shoot.mjs PROMETHEUS OUT [UPSTREAM]
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const [prometheus, out, upstream = '.+'] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const types = { '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json', '.css': 'text/css', '.svg': 'image/svg+xml' };

const server = createServer(async (request, response) => {
  try {
    const { pathname, search } = new URL(request.url, 'http://localhost');
    if (pathname.startsWith('/prometheus/')) {
      const answer = await fetch(prometheus + pathname.slice('/prometheus'.length) + search);
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      return response.end(Buffer.from(await answer.arrayBuffer()));
    }
    const path = normalize(pathname === '/' ? '/index.html' : pathname);
    const file = path.startsWith('/dashboards/') ? join(here, '..', path.slice('/dashboards/'.length)) : join(here, 'dist', path);
    const body = await readFile(file);
    response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' });
    response.end(body);
  } catch (error) {
    response.writeHead(404).end(String(error));
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const root = `http://127.0.0.1:${server.address().port}/`;

for (const [name, query] of [['overview', {}], ['upstream', { upstream }], ['gateway', {}], ['exporter', {}], ['prevention', {}], ['resources', {}]]) {
  const dashboard = JSON.parse(await readFile(join(here, '..', `${name}.json`)));
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const address = `${root}?${new URLSearchParams({ dashboard: name, ...query })}`;
  const file = join(out, `${name}.png`);
  const { stderr } = await promisify(execFile)('chromium', [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--enable-logging=stderr', '--log-level=0',
    `--window-size=1600,${bottom * 38 + 60}`, '--virtual-time-budget=30000', `--screenshot=${file}`, address,
  ], { timeout: 120000, maxBuffer: 1 << 26 });
  const said = stderr.split('\n').filter((line) => /CONSOLE/.test(line) && /error|uncaught|failed/i.test(line));
  console.log(file, said.slice(0, 10).join('\n'));
}
server.close();
