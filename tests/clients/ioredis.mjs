// The everyday uses of the package ioredis.
import assert from 'node:assert/strict';
import Redis from 'ioredis';
import { restartServer, runAll, settings, until } from './common.mjs';

const connect = (more = {}) => new Redis({ port: settings.port, ...more }).on('error', () => {});
const client = connect();

async function stringsAndKeys() {
    assert.equal(await client.set('k', 'v'), 'OK');
    assert.equal(await client.set('k', 'w', 'NX'), null);
    assert.equal(await client.set('k', 'w', 'XX', 'GET'), 'v');
    await client.mset(new Map([['a', '1'], ['b', '2']]));
    assert.deepEqual(await client.mget('a', 'none', 'b'), ['1', null, '2']);
    assert.equal(await client.incrby('n', 5), 5);
    assert.equal(await client.incrbyfloat('f', 0.5), '0.5');
    assert.equal(await client.setex('gone', 100, 'x'), 'OK');
    assert.equal(await client.getdel('gone'), 'x');
    assert.equal(await client.bitfield('bits', 'SET', 'u8', 0, 200, 'GET', 'u4', 0).then(String), '0,12');
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await client.set(bytes, bytes);
    assert.deepEqual(await client.getBuffer(bytes), bytes);
    await client.restore('copy', 0, await client.dumpBuffer(bytes));
    assert.deepEqual(await client.getBuffer('copy'), bytes);
    await assert.rejects(client.incr('k'), /ERR value is not an integer or out of range/);
}

async function pipelines() {
    const pipeline = client.pipeline();
    for (let i = 0; i < 1000; i++) pipeline.set(`p${i}`, i).get(`p${i}`);
    const replies = await pipeline.exec();
    replies.forEach(([error, reply], i) => { assert.equal(error, null); assert.equal(reply, i % 2 ? String((i - 1) / 2) : 'OK'); });
    const auto = connect({ enableAutoPipelining: true });
    const values = await Promise.all(Array.from({ length: 3000 }, (_, i) => auto.incrby('auto', 1).then(() => i)));
    assert.equal(values.length, 3000);
    assert.equal(await auto.get('auto'), '3000');
    await auto.quit();
}

async function transactions() {
    assert.deepEqual(await client.multi().set('t', 1).incr('t').get('t').exec(), [[null, 'OK'], [null, 2], [null, '2']]);
    const workers = Array.from({ length: 4 }, () => connect());
    await Promise.all(workers.map(async (worker) => {
        for (let done = 0; done < 50;) {
            await worker.watch('watched');
            const value = Number(await worker.get('watched'));
            if (await worker.multi().set('watched', value + 1).exec()) done++;
        }
    }));
    assert.equal(await client.get('watched'), '200');
    await Promise.all(workers.map((worker) => worker.quit()));
    const failed = await client.multi().set('t', 'word').incr('t').exec();
    assert.equal(failed[0][1], 'OK');
    assert.match(failed[1][0].message, /not an integer/);
}

async function publishing() {
    const sub = connect();
    const heard = [];
    sub.on('message', (channel, message) => heard.push(`${channel} ${message}`));
    sub.on('pmessage', (pattern, channel, message) => heard.push(`${pattern} ${channel} ${message}`));
    assert.equal(await sub.subscribe('news'), 1);
    assert.equal(await sub.psubscribe('n?ws'), 2);
    assert.equal(await client.publish('news', 'hello'), 2);
    await until(() => heard.length === 2);
    assert.deepEqual(heard.sort(), ['n?ws news hello', 'news hello']);
    await sub.quit();
}

async function scanning() {
    const pipeline = client.pipeline();
    for (let i = 0; i < 2500; i++) pipeline.set(`scan:${i}`, 'x');
    await pipeline.exec();
    const found = new Set();
    for await (const keys of client.scanStream({ match: 'scan:*', count: 100 })) for (const key of keys) found.add(key);
    assert.equal(found.size, 2500);
}

async function encrypted() {
    const tls = connect({ host: 'localhost', port: settings.tlsPort, tls: { ca: settings.ca } });
    const long = 'x'.repeat(100000);
    await tls.set('tls', long);
    assert.equal(await tls.get('tls'), long);
    await tls.quit();
}

async function restarts() {
    const sub = connect();
    let heard = 0;
    sub.on('message', () => heard++);
    await sub.subscribe('after');
    await client.set('kept', 'yes');
    await restartServer();
    assert.equal(await client.get('kept'), 'yes');
    await until(async () => { await client.publish('after', 'x'); return heard > 0; });
}

await runAll([stringsAndKeys, pipelines, transactions, publishing, scanning, encrypted, restarts], () => client.flushall());
