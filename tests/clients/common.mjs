// What the programs of both Node clients have in common. usage: PROGRAM PORT TLS_PORT CA-FILE DIR; DIR is where to ask for a restart of
// the server.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [port, tlsPort, ca, place] = process.argv.slice(2);
export const settings = { port: Number(port), tlsPort: Number(tlsPort), ca: readFileSync(ca) };

export async function restartServer() {
    writeFileSync(`${place}/restart`, '');
    while (!existsSync(`${place}/restarted`)) await sleep(50);
}

export async function until(what) {
    while (!(await what())) await sleep(50);
}

// Runs them one after the other; a client that does not come to an end is the test's to stop, by its time limit.
export async function runAll(uses, before) {
    for (const use of uses) {
        await before();
        await use();
        console.log(use.name);
    }
    process.exit(0);
}
