#!/usr/bin/env node
// Talks to Chronos with nothing but Node's own modules. The packages redis and ioredis work as well: point them at port 8080.
'use strict';
const net = require('net');

class Chronos {
    constructor(port = 8080, host = '127.0.0.1') {
        this.waiting = [];
        this.input = Buffer.alloc(0);
        this.socket = net.connect(port, host);
        this.socket.on('data', (data) => this.receive(data));
        this.socket.on('error', (error) => this.waiting.splice(0).forEach((w) => w.reject(error)));
    }

    // Sends a command; commands need not wait for each other's replies, which come in order.
    send(...words) {
        const parts = words.map((word) => Buffer.from(String(word)));
        this.socket.write(`*${parts.length}\r\n`);
        for (const part of parts) {
            this.socket.write(`$${part.length}\r\n`);
            this.socket.write(part);
            this.socket.write('\r\n');
        }
        return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    }

    receive(data) {
        this.input = Buffer.concat([this.input, data]);
        for (let reply; this.waiting.length && (reply = parse(this.input, 0)); ) {
            this.input = this.input.subarray(reply.end);
            const { resolve, reject } = this.waiting.shift();
            if (reply.value instanceof Error) reject(reply.value);
            else resolve(reply.value);
        }
    }

    close() {
        this.socket.end();
    }
}

// One reply from `at`: its value and where it ends, or null as long as it is not complete.
function parse(input, at) {
    const line = input.indexOf('\r\n', at);
    if (line < 0) return null;
    const text = input.toString('utf8', at + 1, line);
    const end = line + 2;
    switch (String.fromCharCode(input[at])) {
        case '-': return { value: new Error(text), end };
        case ':': return { value: Number(text), end };
        case '$': {
            const size = Number(text);
            if (size < 0) return { value: null, end };
            return input.length < end + size + 2 ? null : { value: input.toString('utf8', end, end + size), end: end + size + 2 };
        }
        case '*': {
            const items = [];
            let next = end;
            for (let i = 0; i < Number(text); i++) {
                const item = parse(input, next);
                if (!item) return null;
                items.push(item.value);
                next = item.end;
            }
            return { value: items, end: next };
        }
        default: return { value: text, end };
    }
}

async function main() {
    const chronos = new Chronos(Number(process.env.CHRONOS_PORT || 8080), process.env.CHRONOS_HOST);
    await chronos.send('SET', 'greeting', 'hello from node');
    console.log(await chronos.send('GET', 'greeting'));
    await chronos.send('MSET', 'node:a', 1, 'node:b', 2);
    console.log(await chronos.send('MGET', 'node:a', 'node:b', 'node:nobody'));
    chronos.close();
}

if (require.main === module) {
    main().catch((error) => {
        console.error(`client.js: ${error.message}`);
        process.exit(1);
    });
}

module.exports = { Chronos };
