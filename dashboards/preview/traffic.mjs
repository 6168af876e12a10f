// Writes the logs of a gateway with some traffic, as nginx does in the format that says most: what goes well, what is
// retried, what fails for two reasons at two backends, who did not wait, and a health checker. For as long as it is left.
// node traffic.mjs FOLDER
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.argv[2];
const [first, second] = ['10.0.0.11:8080', '10.0.0.12:8080'];
let id = 0;

function request(now, host, status, attempts, agent = 'Mozilla/5.0') {
  const of = (key) => attempts.map((attempt) => attempt[key]).join(', ');
  const [, date, month, year] = now.toUTCString().split(/[ ,]+/);
  const path = `/api/orders/${++id}`;
  for (const { backend, error } of attempts) {
    if (!error) continue;
    const time = now.toISOString().slice(0, 19).replace('T', ' ').replaceAll('-', '/');
    appendFileSync(join(folder, 'error.log'), `${time} [error] 7#7: *${id} ${error}, client: 192.0.2.7, server: ${host}, request: "GET ${path} HTTP/1.1", upstream: "http://${backend}${path}", host: "${host}"\n`);
  }
  const time = `${date}/${month}/${year}:${now.toISOString().slice(11, 19)} +0000`;
  appendFileSync(join(folder, 'access.log'),
    `192.0.2.7 - - [${time}] "GET ${path} HTTP/1.1" ${status} 157 "-" "${agent}" ua="${of('backend')}" us="${of('status')}" ut="${of('time')}" uc="${of('connect')}" uh="${of('head')}" ub="${of('bytes')}" rt=${attempts.at(-1).time} id=${id.toString(16).padStart(32, '0')} done="OK" host="${host}" up="app"\n`);
}

const well = (backend, time) => ({ backend, status: 200, time: time.toFixed(3), connect: '0.001', head: time.toFixed(3), bytes: 700 });
const ill = (backend, status, error, time = '0.000') => ({ backend, status, time, connect: '-', head: '-', bytes: 0, error });
const refused = 'connect() failed (111: Connection refused) while connecting to upstream';
const late = 'upstream timed out (110: Connection timed out) while reading response header from upstream';

setInterval(() => {
  const now = new Date();
  const bad = Math.floor(now / 1000) % 150 > 90;
  for (let number = 0; number < 30; number++) {
    const host = number % 3 ? 'shop.example' : 'search.example';
    const time = 0.01 + Math.random() ** 6 * (host === 'shop.example' ? 2 : 0.4);
    const backend = Math.random() < 0.5 ? first : second;
    const at = Math.random();
    if (at < 0.03) request(now, host, 200, [ill(first, 502, refused), well(second, time)]);
    else if (at < 0.04) request(now, host, 499, [{ ...ill(second, '-'), time: '1.500' }]);
    else if (at < 0.06) request(now, host, 200, [well(second, 0.002)], 'kube-probe/1.31');
    else if (bad && at < 0.16 && host === 'shop.example') request(now, host, 502, [ill(first, 502, refused)]);
    else if (bad && at < 0.2) request(now, host, 504, [ill(second, 504, late, '5.000')]);
    else request(now, host, Math.random() < 0.05 ? 304 : 200, [well(backend, time)]);
  }
}, 1000);
