// The everyday uses of the package redis.
import assert from 'node:assert/strict';
import { createClient, createClientPool, RESP_TYPES } from 'redis';
import { restartServer, runAll, settings, until } from './common.mjs';

const socket = { port: settings.port };
const quiet = (client) => client.on('error', () => {});
const client = await quiet(createClient({ socket })).connect();

async function stringsAndKeys() {
    assert.equal(await client.set('k', 'v'), 'OK');
    assert.equal(await client.set('k', 'w', { condition: 'NX' }), null);
    assert.equal(await client.set('k', 'w', { condition: 'XX', GET: true }), 'v');
    assert.equal(await client.get('none'), null);
    await client.mSet({ a: '1', b: '2' });
    assert.deepEqual(await client.mGet(['a', 'none', 'b']), ['1', null, '2']);
    assert.equal(await client.incrBy('n', 5), 5);
    assert.equal(await client.expire('n', 100), 1);
    assert.ok((await client.ttl('n')) <= 100);
    assert.equal(await client.del(['a', 'b', 'none']), 2);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await client.set('bytes', bytes);
    const raw = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    assert.deepEqual(await raw.get('bytes'), bytes);
    await assert.rejects(client.incr('k'), /value is not an integer or out of range/);
    assert.match(await client.info(), /redis_version:/);
}

async function pools() {
    const pool = await quiet(createClientPool({ socket }, { minimum: 1, maximum: 3 })).connect();
    await Promise.all(Array.from({ length: 400 }, () => pool.incr('pooled')));
    assert.equal(await pool.get('pooled'), '400');
    const add = () => pool.execute(async (one) => {
        for (;;) {
            await one.watch('watched');
            const value = Number(await one.get('watched'));
            try {
                return await one.multi().set('watched', value + 1).exec();
            } catch (e) {
                if (e.constructor.name !== 'WatchError') throw e;
            }
        }
    });
    await Promise.all(Array.from({ length: 100 }, add));
    assert.equal(await pool.get('watched'), '100');
    await pool.close();
}

async function pipelinesAndTransactions() {
    const values = await Promise.all(Array.from({ length: 5000 }, (_, i) => client.set(`p${i}`, i).then(() => client.get(`p${i}`))));
    values.forEach((value, i) => assert.equal(value, String(i)));
    assert.deepEqual(await client.multi().set('t', 1).incr('t').get('t').exec(), ['OK', 2, '2']);
    await client.watch('t');
    const other = await createClient({ socket }).connect();
    await other.set('t', 'other');
    await assert.rejects(client.multi().set('t', 'mine').exec(), (e) => e.constructor.name === 'WatchError');
    assert.equal(await client.get('t'), 'other');
    await other.close();
}

async function publishing(RESP = 2) {
    const sub = await quiet(createClient({ socket, RESP })).connect();
    const heard = [];
    await sub.subscribe('news', (message) => heard.push(message));
    await sub.pSubscribe('n?ws', (message, channel) => heard.push(`${channel} ${message}`));
    assert.equal(await client.publish('news', 'hello'), 2);
    await until(() => heard.length === 2);
    assert.deepEqual(heard.sort(), ['hello', 'news hello']);
    await sub.unsubscribe('news');
    await sub.pUnsubscribe();
    assert.equal(String(await sub.ping()), 'PONG');
    await sub.close();
}

async function scanning() {
    for (let i = 0; i < 25; i++) await client.mSet(Object.fromEntries(Array.from({ length: 100 }, (_, k) => [`scan:${i * 100 + k}`, 'x'])));
    const found = new Set();
    for await (const keys of client.scanIterator({ MATCH: 'scan:*', COUNT: 100 })) for (const key of keys) found.add(key);
    assert.equal(found.size, 2500);
}

async function resp3() {
    const three = await quiet(createClient({ socket, RESP: 3 })).connect();
    assert.equal(await three.set('k', 'v'), 'OK');
    assert.equal(await three.get('k'), 'v');
    assert.equal(typeof (await three.configGet('maxclients')).maxclients, 'string');
    await publishing(3);
    await three.close();
    // Values that the client keeps: the server says when they change.
    const caching = await quiet(createClient({ socket, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100 } })).connect();
    for (let i = 0; i < 50; i++) {
        await client.set('cached', String(i));
        await until(async () => (await caching.get('cached')) === String(i));
    }
    await caching.close();
}

async function encrypted() {
    const tls = await quiet(createClient({ socket: { host: 'localhost', port: settings.tlsPort, tls: true, ca: settings.ca } })).connect();
    const long = 'x'.repeat(100000);
    await tls.set('tls', long);
    assert.equal(await tls.get('tls'), long);
    await tls.close();
    const wary = createClient({ socket: { host: 'localhost', port: settings.tlsPort, tls: true, reconnectStrategy: false } });
    await assert.rejects(quiet(wary).connect(), /certificate/);
}

async function restarts() {
    const sub = await quiet(createClient({ socket })).connect();
    let heard = 0;
    await sub.subscribe('after', () => heard++);
    await client.set('kept', 'yes');
    await restartServer();
    await until(() => client.isReady);
    assert.equal(await client.get('kept'), 'yes');
    await until(async () => { await client.publish('after', 'x'); return heard > 0; });
}

await runAll([stringsAndKeys, pools, pipelinesAndTransactions, publishing.bind(null, 2), scanning, resp3, encrypted, restarts],
             () => client.flushAll());
